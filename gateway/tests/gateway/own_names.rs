// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the gateway says of its own names, below which ids are.

use alloy::primitives::B256;
use mandate_model::wire::provenance::DomainProvenance;

use crate::{
    guest_agent::{GATEWAY, GuestAgent},
    provenance::{ask, open, sha256, spki, verify, world},
    world::{APP, BASE},
};

#[tokio::test]
async fn gateways_own_names_are_of_its_own_app_with_the_key_of_the_connection() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    let id = hex::encode(APP);
    let about = |name: &str| format!("/.well-known/mandate/domain/{name}?nonce={}", hex::encode(B256::ZERO));
    for name in [BASE.to_owned(), format!("{id}.{BASE}"), format!("{id}-8080g.{BASE}")] {
        let stream = open(&world, BASE).await;
        let shown = sha256(&spki(&stream));
        let (status, body) = ask(stream, &about(&name)).await;
        assert_eq!(status, 200, "{name}: {body}");
        let answer: DomainProvenance = serde_json::from_str(&body).unwrap();
        assert_eq!((answer.statement.domain.as_str(), answer.statement.app), (name.as_str(), GATEWAY));
        assert_eq!(answer.statement.spki_hash, shown);
        assert_eq!(verify(&world, &answer, &answer.statement), Ok(GATEWAY));
    }
    // The first ends TLS at the instance; the second is nobody's.
    for name in [format!("{id}s.{BASE}"), format!("x.{BASE}")] {
        assert_eq!(ask(open(&world, BASE).await, &about(&name)).await.0, 404, "{name}");
    }
}
