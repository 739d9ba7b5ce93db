// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An order by DNS-01 at pebble, through the API of a DNS provider: what is published there is what pebble finds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::{sync::Arc, time::Duration};

use mandate_acme::{
    AcmeConfig, AcmeIssuer,
    caa::guard::CaaMode,
    challenge::ChallengeStore,
    dns::Dns,
    issuer::{CertificateIssuer, CertificateRequest, IssueError},
    keys::{DevelopmentKeys, P256Key},
    name::{DomainName, Subject},
};
use mandate_cli::demo::pebble::{Pebble, Rules};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use cloudflare_api::{Api, TOKEN};

#[path = "../../gateway/acme/tests/providers/cloudflare_api.rs"]
mod cloudflare_api;
#[path = "../../gateway/acme/tests/providers/name_server.rs"]
mod name_server;

const ZONE: &str = "tee.test";

fn name(text: &str) -> DomainName {
    DomainName::try_from(text).unwrap()
}

async fn order(api: &Api, token: &str) -> Result<String, IssueError> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let server = name_server::start(Arc::clone(&api.book)).await;
    let pebble = Pebble::start_asking(dir.path(), 9, server, &Rules::default()).await.unwrap();
    let config = AcmeConfig {
        directory: pebble.directory_url.clone(),
        extra_roots: vec![CertificateDer::from_pem_slice(pebble.ca_pem.as_bytes()).unwrap()],
        issuer: "pebble.test".to_owned(),
        timeout: Duration::from_secs(60),
        external_account: None,
        caa: CaaMode::Reconcile,
    };
    let ambient = name_server::with_port_53(server);
    let zone = Arc::new(api.zone(ZONE, token, Vec::new()));
    let dns = Arc::new(Dns::new(vec![zone], vec![server], Duration::from_secs(10), &ambient));
    let keys = Arc::new(DevelopmentKeys::new([7; 32].into()));
    let issuer = AcmeIssuer::new(config, keys, Arc::new(ChallengeStore::default()), dns, ambient).unwrap();
    let key = Arc::new(P256Key::derive(&[9; 32].into()).unwrap());
    let request = CertificateRequest::new(Subject::Wildcard(name(ZONE)), key);
    issuer.issue(&request).await.map(|issued| issued.account_uri)
}

#[tokio::test]
async fn wildcard_is_validated_through_cloudflare() {
    let api = Api::start().await;
    api.insert(
        ZONE,
        "CAA",
        serde_json::json!({ "data": { "flags": 0, "tag": "issue", "value": "old.test" } }),
    );
    let account = order(&api, TOKEN).await.unwrap();
    let value = format!("pebble.test; accounturi={account}; validationmethods=dns-01");
    assert_eq!(api.contents(ZONE, "CAA"), [value.as_str(), value.as_str()]);
    // Two challenges, for the domain and for all below it, came and went.
    let history = api.book.lock().unwrap().history.clone();
    let challenges = history.iter().map(|rows| rows.iter().filter(|row| row.kind == "TXT").count());
    let challenges: Vec<_> = challenges.collect();
    assert_eq!((challenges.iter().max(), challenges.last()), (Some(&2), Some(&0)));
}

#[tokio::test]
async fn attack_nothing_is_ordered_by_whoever_may_not_change_the_zone() {
    let api = Api::start().await;
    let refused = order(&api, "wrong").await.unwrap_err();
    assert!(matches!(refused, IssueError::Dns { .. }), "{refused}");
    assert!(api.book.lock().unwrap().rows.is_empty());
}
