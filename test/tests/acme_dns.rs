// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Orders by DNS-01 at pebble, and CAA, with DNS servers that we did not write: BIND and Knot, each where it is installed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/dns_server.rs"]
mod dns_server;

use std::{sync::Arc, time::Duration};

use dns_server::{KINDS, SECRET, Server};
use mandate_acme::{
    AcmeConfig, AcmeIssuer,
    caa::guard::CaaMode,
    challenge::ChallengeStore,
    dns::Dns,
    issuer::{CertificateIssuer, CertificateRequest, IssueError},
    keys::{DevelopmentKeys, P256Key},
    name::{DomainName, Subject},
};
use mandate_cli::demo::pebble::Pebble;
use mandate_runtime::Ambient;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const ZONE: &str = "tee.test";
const WRONG_SECRET: &str = "/////////////////////////////////////////w8=";

/// One that answers for [`ZONE`], with pebble and clients beside.
struct World(Server);

impl World {
    fn dns(&self, secret: &str) -> Arc<Dns> {
        self.0.dns(&name(ZONE), secret)
    }

    fn issuer(&self, pebble: &Pebble, issuer: &str, caa: CaaMode, secret: &str) -> AcmeIssuer {
        let config = AcmeConfig {
            directory: pebble.directory_url.clone(),
            extra_roots: vec![CertificateDer::from_pem_slice(pebble.ca_pem.as_bytes()).unwrap()],
            issuer: issuer.to_owned(),
            timeout: Duration::from_secs(60),
            external_account: None,
            caa,
        };
        let keys = Arc::new(DevelopmentKeys::new([7; 32].into()));
        let challenges = Arc::new(ChallengeStore::default());
        AcmeIssuer::new(config, keys, challenges, self.dns(secret), Ambient::system()).unwrap()
    }

    async fn pebble(&self, environment: &[(&str, &str)]) -> Pebble {
        Pebble::start_asking(self.0.dir.path(), 9, self.0.addr, environment).await.unwrap()
    }
}

fn name(text: &str) -> DomainName {
    DomainName::try_from(text).unwrap()
}

fn request() -> CertificateRequest {
    let key = P256Key::derive(&[9; 32].into()).unwrap();
    CertificateRequest::new(Subject::Wildcard(name(ZONE)), Arc::new(key))
}

fn names_of(leaf: &[u8]) -> Vec<String> {
    let (_, parsed) = X509Certificate::from_der(leaf).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap().value.general_names.iter();
    let names = names.map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other:?}"),
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

async fn each(test: impl AsyncFn(World)) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut ran = 0;
    for kind in KINDS {
        match kind.start(&[ZONE]).await {
            Some(server) => {
                test(World(server)).await;
                ran += 1;
            }
            None => eprintln!("{kind:?} is not installed: apt-get install bind9 knot"),
        }
    }
    eprintln!("{ran} servers");
}

#[tokio::test]
async fn wildcard_is_validated_through_dns_behind_caa_that_permits_nobody_else() {
    each(async |server| {
        let pebble = server.pebble(&[]).await;
        let issuer = server.issuer(&pebble, "pebble.test", CaaMode::Reconcile, SECRET);
        let issued = issuer.issue(&request()).await.unwrap();
        assert_eq!(names_of(&issued.chain[0]), ["*.tee.test", "tee.test"]);
        let dns = server.dns(SECRET);
        let published = dns.relevant_caa(&name(ZONE)).await.unwrap().unwrap();
        let text: Vec<_> = published.properties.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 2, "{text:?}");
        for record in &text {
            assert!(record.contains("pebble.test") && record.contains(&issued.account_uri), "{record}");
            assert!(record.contains("validationmethods=dns-01"), "{record}");
        }
        // Once more, with everything as it should be.
        issuer.issue(&request()).await.unwrap();
        issuer.check(request().subject()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn bad_nonces_and_slow_validation_hold_an_order_up_and_do_not_end_it() {
    each(async |server| {
        let environment =
            [("PEBBLE_WFE_NONCEREJECT", "10"), ("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "1")];
        let pebble = server.pebble(&environment).await;
        let issuer = server.issuer(&pebble, "pebble.test", CaaMode::Reconcile, SECRET);
        // The library asks three times with a fresh nonce; pebble rejects at random, so that an order may need another try.
        let mut tries = 0;
        while let Err(error) = issuer.issue(&request()).await {
            assert!(matches!(error, IssueError::Unreachable { .. }), "{error}");
            tries += 1;
            assert!(tries < 10, "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn attack_order_without_caa_is_not_placed() {
    each(async |server| {
        let pebble = server.pebble(&[]).await;
        let refused = server.issuer(&pebble, "pebble.test", CaaMode::Require, SECRET).issue(&request()).await;
        // Above the zone the server refuses to say: that is not known, and not permission either.
        assert!(matches!(refused, Err(IssueError::Caa { .. } | IssueError::Dns { .. })), "{refused:?}");
        let refused =
            server.issuer(&pebble, "pebble.test", CaaMode::Reconcile, WRONG_SECRET).issue(&request()).await;
        assert!(matches!(refused, Err(IssueError::Dns { .. })), "{refused:?}");
        assert_eq!(server.dns(SECRET).relevant_caa(&name(ZONE)).await.unwrap_or(None), None);
        // Somebody else's records are found by whoever may not mend them.
        server
            .issuer(&pebble, "other.test", CaaMode::Reconcile, SECRET)
            .check(request().subject())
            .await
            .unwrap();
        let refused = server.issuer(&pebble, "pebble.test", CaaMode::Require, SECRET).issue(&request()).await;
        assert!(matches!(refused, Err(IssueError::Caa { .. })), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn there_is_no_moment_without_caa_while_it_is_replaced() {
    each(async |server| {
        let pebble = server.pebble(&[]).await;
        let subject = Subject::Wildcard(name(ZONE));
        let issuers =
            ["one.test", "two.test"].map(|issuer| server.issuer(&pebble, issuer, CaaMode::Reconcile, SECRET));
        issuers[0].check(&subject).await.unwrap();
        let dns = server.dns(SECRET);
        let replacing = async {
            for turn in 0..20 {
                issuers[(turn + 1) % 2].check(&subject).await.unwrap();
            }
        };
        let (zone, mut looks) = (name(ZONE), 0);
        let mut replacing = std::pin::pin!(replacing);
        loop {
            let looked = dns.relevant_caa(&zone);
            tokio::select! {
                () = &mut replacing => break,
                found = looked => {
                    let found = found.unwrap().expect("a moment without CAA");
                    assert_eq!((found.at.trim_end_matches('.'), found.properties.len()), (ZONE, 2));
                    looks += 1;
                }
            }
        }
        assert!(looks > 10, "{looks} looks");
    })
    .await;
}
