// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Orders by DNS-01 at pebble, and CAA, with DNS servers that we did not write: BIND, Knot and PowerDNS, each where it is
//! installed; and what pebble refuses.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{sync::Arc, time::Duration};

use mandate_acme::{
    AcmeConfig, AcmeIssuer, ExternalAccount,
    caa::guard::CaaMode,
    challenge::ChallengeStore,
    dns::{Dns, Zone},
    issuer::{CertificateIssuer, CertificateRequest, IssueError},
    keys::{DevelopmentKeys, P256Key},
    name::{DomainName, Subject},
};
use mandate_cli::demo::pebble::{Pebble, Rules};
use mandate_runtime::Ambient;
use mandate_test::dns::{Kind, SECRET, Server, ZONE};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const WRONG_SECRET: &str = "/////////////////////////////////////////w8=";
/// An account that the authority's operator knows: its id, and its key in base64url.
const EXTERNAL: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");
const WRONG_EXTERNAL_KEY: &str = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH";

fn config(pebble: &Pebble, issuer: &str, caa: CaaMode) -> AcmeConfig {
    AcmeConfig {
        directory: pebble.directory_url.clone(),
        extra_roots: vec![CertificateDer::from_pem_slice(pebble.ca_pem.as_bytes()).unwrap()],
        issuer: issuer.to_owned(),
        timeout: Duration::from_secs(60),
        external_account: None,
        caa,
    }
}

fn issuer_with(config: AcmeConfig, dns: Arc<Dns>) -> AcmeIssuer {
    let keys = Arc::new(DevelopmentKeys::new([7; 32].into()));
    AcmeIssuer::new(config, keys, Arc::new(ChallengeStore::default()), dns, Ambient::system()).unwrap()
}

fn issuer(server: &Server, pebble: &Pebble, issuer: &str, caa: CaaMode, secret: &str) -> AcmeIssuer {
    issuer_with(config(pebble, issuer, caa), server.dns(&name(ZONE), secret).unwrap())
}

async fn pebble(server: &Server, rules: Rules<'_>) -> Pebble {
    Pebble::start_asking(server.dir.path(), 9, server.addr, &rules).await.unwrap()
}

fn name(text: &str) -> DomainName {
    DomainName::try_from(text).unwrap()
}

fn request() -> CertificateRequest {
    CertificateRequest::new(Subject::Wildcard(name(ZONE)), key())
}

fn request_for(domain: &str) -> CertificateRequest {
    CertificateRequest::new(Subject::Domain(name(domain)), key())
}

fn key() -> Arc<P256Key> {
    Arc::new(P256Key::derive(&[9; 32].into()).unwrap())
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

async fn each(test: impl AsyncFn(Kind, Server)) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut ran = 0;
    for kind in Kind::ALL {
        match kind.start(&[ZONE]).await.unwrap() {
            Some(server) => {
                test(kind, server).await;
                ran += 1;
            }
            None => eprintln!("{kind:?} is not installed: apt-get install {}", kind.packages()),
        }
    }
    eprintln!("{ran} servers");
}

#[tokio::test]
async fn wildcard_is_validated_through_dns_behind_caa_that_permits_nobody_else() {
    each(async |_, server| {
        let pebble = pebble(&server, Rules::default()).await;
        let issuer = issuer(&server, &pebble, "pebble.test", CaaMode::Reconcile, SECRET);
        let issued = issuer.issue(&request()).await.unwrap();
        assert_eq!(names_of(&issued.chain[0]), ["*.tee.test", "tee.test"]);
        let dns = server.dns(&name(ZONE), SECRET).unwrap();
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
    each(async |_, server| {
        let environment =
            [("PEBBLE_WFE_NONCEREJECT", "10"), ("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "1")];
        let pebble = pebble(&server, Rules { environment: &environment, ..Rules::default() }).await;
        let issuer = issuer(&server, &pebble, "pebble.test", CaaMode::Reconcile, SECRET);
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
    each(async |_, server| {
        let pebble = pebble(&server, Rules::default()).await;
        let refused =
            issuer(&server, &pebble, "pebble.test", CaaMode::Require, SECRET).issue(&request()).await;
        // Above the zone the server refuses to say: that is not known, and not permission either.
        assert!(matches!(refused, Err(IssueError::Caa { .. } | IssueError::Dns { .. })), "{refused:?}");
        let refused =
            issuer(&server, &pebble, "pebble.test", CaaMode::Reconcile, WRONG_SECRET).issue(&request()).await;
        assert!(matches!(refused, Err(IssueError::Dns { .. })), "{refused:?}");
        assert_eq!(
            server.dns(&name(ZONE), SECRET).unwrap().relevant_caa(&name(ZONE)).await.unwrap_or(None),
            None
        );
        // Somebody else's records are found by whoever may not mend them.
        issuer(&server, &pebble, "other.test", CaaMode::Reconcile, SECRET)
            .check(request().subject())
            .await
            .unwrap();
        let refused =
            issuer(&server, &pebble, "pebble.test", CaaMode::Require, SECRET).issue(&request()).await;
        assert!(matches!(refused, Err(IssueError::Caa { .. })), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn there_is_no_moment_without_caa_while_it_is_replaced() {
    each(async |_, server| {
        let pebble = pebble(&server, Rules::default()).await;
        let subject = Subject::Wildcard(name(ZONE));
        let issuers =
            ["one.test", "two.test"].map(|by| issuer(&server, &pebble, by, CaaMode::Reconcile, SECRET));
        issuers[0].check(&subject).await.unwrap();
        let dns = server.dns(&name(ZONE), SECRET).unwrap();
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

/// Nothing of a failed order is left but the CAA records that let the next one be placed.
async fn nothing_is_left(server: &Server, issuer: &AcmeIssuer, subject: &Subject) {
    let zone = server.zone(&name(ZONE), SECRET, Vec::new()).unwrap();
    let left = server.dns(&name(ZONE), SECRET).unwrap().challenges(&zone, subject.domain()).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    issuer.check(subject).await.unwrap();
}

#[track_caller]
fn refused(outcome: Result<impl Sized, IssueError>, words: &[&str]) {
    let error = outcome.err().unwrap();
    assert!(matches!(error, IssueError::Refused { .. }), "{error}");
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[tokio::test]
async fn refused_name_is_told_with_the_authoritys_reason_and_the_next_order_is_issued() {
    each(async |_, server| {
        let rules = Rules { strict: true, blocked: &["blocked.tee.test"], ..Rules::default() };
        let pebble = pebble(&server, rules).await;
        let orders = issuer(&server, &pebble, "pebble.test", CaaMode::Reconcile, SECRET);
        let forbidden = request_for("blocked.tee.test");
        let words =
            ["pebble.test", "blocked.tee.test", "urn:ietf:params:acme:error:rejectedIdentifier", "policy"];
        refused(orders.issue(&forbidden).await, &words);
        let requires = issuer(&server, &pebble, "pebble.test", CaaMode::Require, SECRET);
        nothing_is_left(&server, &requires, forbidden.subject()).await;
        let issued = orders.issue(&request_for("app.tee.test")).await.unwrap();
        assert_eq!(names_of(&issued.chain[0]), ["app.tee.test"]);
    })
    .await;
}

#[tokio::test]
async fn failed_validation_is_told_with_the_authoritys_reason_and_leaves_no_record() {
    each(async |kind, server| {
        // The authority asks a server that never learns of the records.
        let elsewhere = kind.start(&[ZONE]).await.unwrap().unwrap();
        let pebble = pebble(&elsewhere, Rules::default()).await;
        let fails = issuer(&server, &pebble, "pebble.test", CaaMode::Reconcile, SECRET);
        for request in [request_for("app.tee.test"), request()] {
            let name = request.name().as_str();
            refused(fails.issue(&request).await, &["pebble.test", name, "acme:error:", "TXT"]);
            let requires = issuer(&server, &pebble, "pebble.test", CaaMode::Require, SECRET);
            nothing_is_left(&server, &requires, request.subject()).await;
        }
        // By the same account, at the server that is asked.
        let works = issuer(&elsewhere, &pebble, "pebble.test", CaaMode::Reconcile, SECRET);
        works.issue(&request()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn record_that_a_nameserver_never_shows_ends_the_order_and_is_taken_back() {
    each(async |kind, server| {
        let lagging = kind.start(&[ZONE]).await.unwrap().unwrap();
        let pebble = pebble(&server, Rules::default()).await;
        let zone: Arc<dyn Zone> =
            Arc::new(server.zone(&name(ZONE), SECRET, vec![server.addr, lagging.addr]).unwrap());
        let patience = Duration::from_millis(200);
        let dns = Dns::new(vec![zone], vec![server.addr], patience, &Ambient::system());
        let orders = issuer_with(config(&pebble, "pebble.test", CaaMode::Off), Arc::new(dns));
        let error = orders.issue(&request()).await.err().unwrap();
        assert!(matches!(&error, IssueError::Dns { name, .. } if name.as_str() == ZONE), "{error}");
        let works = issuer(&server, &pebble, "pebble.test", CaaMode::Reconcile, SECRET);
        works.check(request().subject()).await.unwrap();
        nothing_is_left(&server, &works, request().subject()).await;
        works.issue(&request()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn account_is_made_only_for_whom_the_authoritys_operator_knows() {
    each(async |_, server| {
        let rules = Rules { external_accounts: &[EXTERNAL], ..Rules::default() };
        let pebble = pebble(&server, rules).await;
        let with = |external: Option<(&str, &str)>| {
            let external = external.map(|(id, key)| ExternalAccount::new(id.to_owned(), key).unwrap());
            let config = config(&pebble, "pebble.test", CaaMode::Reconcile);
            issuer_with(
                AcmeConfig { external_account: external, ..config },
                server.dns(&name(ZONE), SECRET).unwrap(),
            )
        };
        let required = ["urn:ietf:params:acme:error:externalAccountRequired", "set external_account", ZONE];
        refused(with(None).issue(&request()).await, &required);
        let (id, key) = EXTERNAL;
        for (id, key, why) in [(id, WRONG_EXTERNAL_KEY, "external account binding"), ("kid-2", key, "kid")] {
            let words = ["urn:ietf:params:acme:error:", ZONE, why];
            refused(with(Some((id, key))).issue(&request()).await, &words);
        }
        // Nobody was let in, so no account was pinned.
        assert_eq!(
            server.dns(&name(ZONE), SECRET).unwrap().relevant_caa(&name(ZONE)).await.unwrap_or(None),
            None
        );
        let first = with(Some(EXTERNAL)).issue(&request()).await.unwrap();
        // After a restart the account is there already.
        let second = with(Some(EXTERNAL)).issue(&request()).await.unwrap();
        assert_eq!(first.account_uri, second.account_uri);
    })
    .await;
}
