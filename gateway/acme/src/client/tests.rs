// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What needs no authority; with one: test/tests/acme_dns.rs and gateway_acme.rs.

use mandate_runtime::clock::ManualClock;
use serde_json::json;
use zeroize::Zeroizing;

use super::*;
use crate::keys::DevelopmentKeys;

fn issuer(clock: &Arc<ManualClock>) -> AcmeIssuer {
    let ambient = Ambient { clock: Arc::clone(clock) as _, ..Ambient::system() };
    let config = AcmeConfig {
        directory: "https://127.0.0.1:1/dir".to_owned(),
        extra_roots: Vec::new(),
        issuer: "ca.example".to_owned(),
        timeout: Duration::from_secs(60),
        external_account: None,
        caa: CaaMode::Require,
    };
    let keys = Arc::new(DevelopmentKeys::new(Zeroizing::new([1; 32])));
    let dns = Arc::new(Dns::new(Vec::new(), Vec::new(), Duration::ZERO, &ambient));
    AcmeIssuer::new(config, keys, Arc::default(), dns, ambient).unwrap()
}

fn name() -> DomainName {
    "app.example.org".parse().unwrap()
}

fn problem(kind: &str) -> instant_acme::Problem {
    serde_json::from_value(json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "no" }))
        .unwrap()
}

#[test]
fn wildcard_outside_our_zones_is_not_ordered() {
    let issuer = issuer(&Arc::new(ManualClock::new(0)));
    assert_eq!(issuer.method(&Subject::Domain(name())).unwrap(), Method::TlsAlpn01);
    assert!(matches!(issuer.method(&Subject::Wildcard(name())), Err(IssueError::Request { .. })));
}

#[test]
fn not_now_is_told_from_no() {
    let issuer = issuer(&Arc::new(ManualClock::new(0)));
    let read = |kind, wish| issuer.refusal(&name(), problem(kind), wish);
    let week = Duration::from_secs(7 * 86_400);
    for (wish, expected) in [(Some(week), week), (None, RATE_LIMIT)] {
        let limited = read("rateLimited", wish);
        assert!(matches!(limited, IssueError::RateLimited { after, .. } if after == expected), "{limited}");
    }
    for kind in ["serverInternal", "badNonce"] {
        assert!(matches!(read(kind, None), IssueError::Unreachable { .. }), "{kind}");
        assert!(is_for_now(&problem(kind)));
    }
    for kind in ["unauthorized", "caa", "rejectedIdentifier"] {
        assert!(matches!(read(kind, Some(week)), IssueError::Refused { .. }), "{kind}");
        assert!(!is_for_now(&problem(kind)));
    }
    assert!(is_for_now(&problem("rateLimited")));
}

#[tokio::test]
async fn work_that_does_not_end_is_given_up() {
    let clock = Arc::new(ManualClock::new(0));
    let (issuer, name) = (issuer(&clock), name());
    let mut work = std::pin::pin!(issuer.in_time(&name, futures::future::pending::<Result<(), Problem>>()));
    for _ in 0..100 {
        tokio::select! {
            given_up = &mut work => {
                return assert!(matches!(given_up, Err(IssueError::Timeout { .. })));
            }
            () = tokio::task::yield_now() => clock.advance(Duration::from_secs(1)),
        }
    }
    panic!("it is waited for");
}

#[tokio::test]
async fn attack_directory_without_tls_is_not_spoken_to() {
    let issuer = issuer(&Arc::new(ManualClock::new(0)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/dir", listener.local_addr().unwrap());
    let request = ::http::Request::get(url).body(instant_acme::BodyWrapper::default()).unwrap();
    let refused = issuer.http.whole(request).await.map(|_| ()).unwrap_err();
    assert!(chain_of(&refused).contains("over https alone"), "{}", chain_of(&refused));
}

#[test]
fn chain_is_pem_and_bounded() {
    let one = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert_eq!(parse_chain(&one.repeat(2)).unwrap().len(), 2);
    assert_eq!(parse_chain(""), None);
    assert_eq!(parse_chain("no certificate at all"), None);
    assert_eq!(parse_chain(&one.replace("MAA=", "!")), None);
    assert_eq!(parse_chain(&one.repeat(MAX_CHAIN_PEM / one.len() + 1)), None);
}
