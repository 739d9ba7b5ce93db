// SPDX-License-Identifier: Apache-2.0 OR MIT
//! CAA and challenges in a zone at Cloudflare.

use std::{sync::Arc, time::Duration};

use mandate_acme::{
    caa::{
        Method,
        guard::{CaaMode, Guard},
    },
    dns::{Change, Dns, DnsError, Zone},
    issuer::IssueError,
    name::Subject,
};
use mandate_runtime::Ambient;
use serde_json::json;

use super::{
    ZONE,
    cloudflare_api::{Api, TOKEN, contents},
    name, name_server, property,
};

const ACCOUNT: &str = "https://ca.test/acct/1";

fn subject() -> Subject {
    Subject::Wildcard(name(ZONE))
}

/// Old records: another authority's, for every account, and where to complain.
async fn api_with_old_caa() -> Api {
    let api = Api::start().await;
    for (tag, value) in [("issue", "old.test"), ("issuewild", "old.test"), ("iodef", "mailto:a@tee.test")] {
        api.insert(ZONE, "CAA", json!({ "data": { "flags": 0, "tag": tag, "value": value } }));
    }
    api
}

#[tokio::test]
async fn caa_is_never_without_a_permission_while_it_is_replaced() {
    let api = api_with_old_caa().await;
    let server = name_server::start(Arc::clone(&api.book)).await;
    // Its servers are found by its NS records.
    let zone = api.zone(ZONE, TOKEN, Vec::new());
    let ambient = name_server::with_port_53(server);
    let dns = Arc::new(Dns::new(vec![Arc::new(zone)], vec![server], Duration::from_secs(10), &ambient));
    let guard = Guard::new(CaaMode::Reconcile, "ca.test".to_owned(), dns);
    guard.ensure(&subject(), ACCOUNT, Method::Dns01).await.unwrap();
    guard.ensure(&subject(), ACCOUNT, Method::Dns01).await.unwrap();

    let value = format!("ca.test; accounturi={ACCOUNT}; validationmethods=dns-01");
    let value = value.as_str();
    assert_eq!(api.contents(ZONE, "CAA"), [value, value, "mailto:a@tee.test"]);
    let history = api.book.lock().unwrap().history.clone();
    let [added, alone] = history.as_slice() else { panic!("{} batches", history.len()) };
    // Deletes come first in a batch and records travel one by one, so new and old have to stand together once.
    assert_eq!(contents(added, ZONE, "CAA"), [value, value, "mailto:a@tee.test", "old.test", "old.test"]);
    assert_eq!(contents(alone, ZONE, "CAA"), [value, value, "mailto:a@tee.test"]);
}

#[tokio::test]
async fn challenges_come_and_go_without_touching_others() {
    let api = Api::start().await;
    let server = name_server::start(Arc::clone(&api.book)).await;
    let zone: Arc<dyn Zone> = Arc::new(api.zone(ZONE, TOKEN, vec![server]));
    let dns = Dns::new(vec![Arc::clone(&zone)], Vec::new(), Duration::from_secs(10), &Ambient::system());
    let owner = "_acme-challenge.app.tee.test";
    for other in ["other-1", "other-2", "other-3"] {
        api.insert(owner, "TXT", json!({ "content": other }));
    }
    let add = |value: &str| Change::AddChallenge(name("app.tee.test"), value.to_owned());
    let remove = |value: &str| Change::RemoveChallenge(name("app.tee.test"), value.to_owned());
    let values = ["one".to_owned(), "two".to_owned()];
    zone.apply(&[add("one"), add("two")]).await.unwrap();
    zone.apply(&[add("one")]).await.unwrap();
    dns.until_challenges(zone.as_ref(), &name("app.tee.test"), &values).await.unwrap();
    assert_eq!(api.contents(owner, "TXT"), ["\"one\"", "\"two\"", "other-1", "other-2", "other-3"]);
    // An order that was cut short may have written one of them only, or none.
    zone.apply(&[remove("one"), remove("two"), remove("three")]).await.unwrap();
    zone.apply(&[remove("one")]).await.unwrap();
    assert_eq!(api.contents(owner, "TXT"), ["other-1", "other-2", "other-3"]);
    assert_eq!(api.book.lock().unwrap().history.len(), 2);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let api = Api::start().await;
    let change = [Change::ReplaceCaa(name(ZONE), vec![property(128, "issue", ";")])];
    let refused = api.zone(ZONE, "wrong", Vec::new()).apply(&change).await.unwrap_err();
    assert!(matches!(refused, DnsError::Credentials { status: 403, .. }), "{refused}");
    assert!(refused.to_string().contains("Authentication error (10000)"), "{refused}");
    let refused = api.zone("tee.example", TOKEN, Vec::new()).apply(&change).await.unwrap_err();
    assert!(matches!(refused, DnsError::NoZone { .. }), "{refused}");
    let outside = [Change::AddChallenge(name("tee.example"), "one".to_owned())];
    let refused = api.zone(ZONE, TOKEN, Vec::new()).apply(&outside).await.unwrap_err();
    assert!(refused.to_string().contains("9005"), "{refused}");
    assert!(api.book.lock().unwrap().rows.is_empty());
}

#[tokio::test]
async fn order_is_not_permitted_while_nobody_knows_what_is_published() {
    let api = api_with_old_caa().await;
    let zone: Arc<dyn Zone> = Arc::new(api.zone(ZONE, TOKEN, Vec::new()));
    let ambient = Ambient::system();
    let dns = Arc::new(Dns::new(vec![zone], Vec::new(), Duration::from_secs(1), &ambient));
    let guard = Guard::new(CaaMode::Reconcile, "ca.test".to_owned(), dns);
    let unknown = guard.ensure(&subject(), ACCOUNT, Method::Dns01).await;
    assert!(matches!(unknown, Err(IssueError::Dns { .. })), "{unknown:?}");
    assert!(api.book.lock().unwrap().history.is_empty());
}
