// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway's own pages when its guest agent, its certificates or its quotes are not what they were.

use std::time::Duration;

use mandate_gateway::Settings;
use mandate_model::wire::upstream::AcmeInfo;
use rustls::AlertDescription;
use serde_json::{Value, json};

use crate::{
    guest_agent::GuestAgent,
    instance::Instance,
    provenance::{about, ask, open, page, world},
    scripted::{Mischief, TestCa},
    world::{APP, BASE, DOMAIN, NOW, World, alert},
};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn with(mut answer: Value, field: &str, value: impl Into<Value>) -> Value {
    answer[field] = value.into();
    answer
}

/// Left out would be a claim as well: that the committee has said nothing yet, or that nobody vouches for a key.
#[tokio::test]
async fn attack_answer_of_the_agent_that_is_no_answer_is_not_left_out_but_an_error() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    let (domain, gateway) = (about(None), "/.well-known/mandate/gateway".to_owned());
    let (statement, key) = (agent.statement(), json!({ "key": "01".repeat(32), "signature_chain": ["00"] }));
    for (at, status, answer, path) in [
        ("/Statement", 500, json!({ "error": "a secret detail" }), &domain),
        ("/Statement", 200, with(statement.clone(), "app_id", "6a6a"), &domain),
        ("/Statement", 200, with(statement.clone(), "kms_auth", "0x"), &domain),
        ("/Statement", 200, with(statement.clone(), "ethereum", ""), &domain),
        ("/Statement", 200, with(statement.clone(), "ca_spki_sha256", "zz"), &domain),
        ("/Statement", 200, with(statement.clone(), "signature", "2"), &domain),
        ("/Evidence", 200, json!({ "evidence": "zz" }), &domain),
        ("/GetKey", 200, with(key.clone(), "signature_chain", json!([])), &domain),
        ("/GetKey", 200, with(key.clone(), "signature_chain", json!(["zz"])), &domain),
        ("/GetKey", 200, with(key.clone(), "key", "00".repeat(32)), &domain),
        ("/Info", 200, json!({ "app_id": "6a6a" }), &gateway),
        ("/Info", 200, json!({}), &gateway),
    ] {
        let what = format!("{at} {answer}");
        *agent.broken.lock().unwrap() = Some((at, status, answer));
        let (status, body) = ask(open(&world, BASE).await, path).await;
        assert_eq!(status, 502, "{what}: {body}");
        assert!(!body.contains("secret detail"), "{body}");
    }
    *agent.broken.lock().unwrap() = None;
    assert_eq!(ask(open(&world, BASE).await, &domain).await.0, 200);
}

#[tokio::test]
async fn quotes_are_made_anew_after_an_hour() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    page::<AcmeInfo>(&world, "/.dstack/acme-info").await;
    world.clock.advance(Duration::from_secs(3_599));
    page::<AcmeInfo>(&world, "/.dstack/acme-info").await;
    assert_eq!(agent.made(), 3);
    world.clock.advance(Duration::from_secs(1));
    page::<AcmeInfo>(&world, "/.dstack/acme-info").await;
    assert_eq!(agent.made(), 6);
}

#[tokio::test]
async fn domain_whose_certificate_is_over_is_neither_served_nor_spoken_of() {
    let world = World::start_whole(|_, _| {}).await;
    world.chain.approve(DOMAIN, APP);
    // It is 2026.
    world.ca.set_life(2020, 2027);
    world.order(DOMAIN).await.unwrap();
    assert_eq!(ask(open(&world, BASE).await, &about(None)).await.0, 200);
    world.ca.set(Mischief::Refuses);
    world.clock.advance(YEAR);
    assert_eq!(ask(open(&world, BASE).await, &about(None)).await.0, 404);
    let app = Instance::echo().await;
    world.register(APP, &app).await;
    assert_eq!(alert(world.browse(DOMAIN, &[]).await), AlertDescription::UnrecognisedName);
}

#[tokio::test]
async fn upstreams_page_shows_no_certificate_of_the_gateway_that_is_over() {
    let ca = TestCa::new();
    ca.set_life(2020, 2027);
    let with_base = |settings: &mut Settings| settings.base_certificate = true;
    let world = World::start_with(NOW, Default::default(), ca, with_base).await.unwrap();
    while world.browse(BASE, &[]).await.is_err() {
        tokio::task::yield_now().await;
    }
    world.chain.approve(DOMAIN, APP);
    world.ca.set_life(2020, 2200);
    world.order(DOMAIN).await.unwrap();
    let before: AcmeInfo = page(&world, "/.dstack/acme-info").await;
    assert_eq!((before.hist_keys.len(), before.active_cert.is_empty()), (2, false));
    world.ca.set(Mischief::Refuses);
    world.clock.advance(YEAR);
    let app = Instance::echo().await;
    world.register(APP, &app).await;
    let (status, body) = ask(open(&world, DOMAIN).await, "/.dstack/acme-info").await;
    let after: AcmeInfo = serde_json::from_str(&body).unwrap();
    assert_eq!((status, after.hist_keys.len(), after.active_cert.as_str()), (200, 1, ""));
    assert_eq!(after.hist_keys[0], before.hist_keys[1]);
}
