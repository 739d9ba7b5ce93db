// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Step 3: the services start.

use serde_json::json;

use crate::{
    demo::{
        World,
        actors::Actor,
        chain::tell,
        report::{Kind, Teller},
        services::Services,
    },
    error::Result,
};

pub(crate) async fn run(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let services = Services::start(world).await?;
    for (slot, number) in services.nodes.iter().zip(1..) {
        let facts = [("key", json!(slot.keys()?.address())), ("url", json!(slot.url()))];
        teller.at(
            Kind::Done,
            format!("KMS node {number} runs; it trusts a development root, and says so"),
            None,
            None,
            &facts,
        );
    }
    let funded = world.chain.pay(Actor::Deployer, Actor::Relayer.address()).await?;
    tell(teller, Kind::Done, "the deployer gives the relayer 1 ETH for gas", &funded);
    teller.at(
        Kind::Done,
        "a relayer runs; nobody trusts it",
        None,
        None,
        &[("url", json!(services.relayer_url))],
    );
    let facts = [
        ("tls", json!(services.gateway.tls_addr.to_string())),
        ("api", json!(services.gateway.api_addr.to_string())),
        ("certificates_by", json!(services.authority)),
    ];
    teller.at(Kind::Done, "a gateway runs", None, None, &facts);
    teller.tell(
        Kind::Done,
        "guest agents start as soon as there is a group key: it is part of what is measured with them",
    );
    world.services = Some(services);
    Ok(())
}
