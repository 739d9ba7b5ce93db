// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Step 10: what must be refused, is: unapproved code, a tampered quote, a lying RPC, too few nodes.

use std::sync::Arc;

use alloy::primitives::{B256, keccak256};
use mandate_attestation::dev_pki::Defect;
use mandate_guest::{KeyError, Quoter};
use mandate_model::{
    Outcome, Reason,
    outcome::PolicyReason,
    wire::kms::{NodeNonce, NonceResponse, ReleaseRequest, ReleaseResponse},
};
use mandate_runtime::http::Client;

use super::{hold, release::tell_nodes};
use crate::{
    demo::{
        World,
        guest::DemoGuest,
        lying::LyingHost,
        report::{Kind, Teller},
        services::{Services, rpc},
    },
    error::{CliError, Result},
};

pub(crate) async fn run(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    unapproved_code(world, teller).await?;
    tampered_quote(world, teller).await?;
    lying_rpc(world, teller).await?;
    two_nodes_of_four(world, teller).await
}

async fn unapproved_code(world: &World, teller: &mut Teller<'_>) -> Result<()> {
    let guest = world.guest(world.app, keccak256("code that nobody voted for"));
    let error = refused(world, &guest, "a guest with unapproved code").await?;
    teller.tell(Kind::Refused, "a guest with code that nobody voted for:");
    tell_nodes(teller, error.reports());
    let expected = Reason::Policy(PolicyReason::CodeUnknown);
    hold(error.denied() == Some(&expected), format!("refused, but not as unknown code: {error}"))
}

/// A guest of the gateway app, whose code is allowed, but for one flipped bit in the signed quote.
async fn tampered_quote(world: &World, teller: &mut Teller<'_>) -> Result<()> {
    let (app, code) = world.gateway_app;
    let guest = world.guest(app, code).with_defect(Defect::TamperedQuote);
    let error = refused(world, &guest, "a guest with a tampered quote").await?;
    teller.tell(Kind::Refused, "a guest of an allowed app, with one bit of its quote flipped:");
    tell_nodes(teller, error.reports());
    let evidence = matches!(error.denied(), Some(Reason::Evidence(_)));
    hold(evidence, format!("refused, but not for its evidence: {error}"))
}

/// Node 4 moves to a host whose RPC endpoint lies about storage.
async fn lying_rpc(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let relayer = world.services()?.relayer_url.clone();
    let host = LyingHost::start(&world.ambient, world.chain.dev.clone(), relayer.clone()).await?;
    let url = move_last_node(world, host.url(), host.url()).await?;
    world.settle().await?;

    host.lie();
    let (app, code) = world.gateway_app;
    let answer = ask_one(world, &world.guest(app, code), &url).await?;
    let Outcome::Undecided { why } = &answer.outcome else {
        return Err(CliError::refused(format!("the node did not notice the lie: {}", answer.outcome)));
    };
    hold(answer.given.is_none(), "the node gave its part without a decision")?;
    let text =
        format!("a guest of an allowed app asks a node whose RPC lies about storage: undecided: {why}");
    teller.tell(Kind::Refused, text);

    let rpc_url = world.rpc_url();
    move_last_node(world, relayer, rpc_url).await?;
    world.settle().await
}

/// Restarts the last node with another relayer and RPC endpoint.
async fn move_last_node(world: &mut World, relayer: String, rpc_url: String) -> Result<String> {
    let mut services = take(world)?;
    let moved = match services.nodes.last_mut() {
        Some(node) => {
            node.config.relayer = relayer;
            node.restart(world, vec![rpc(&rpc_url)?]).await.map(|()| node.url())
        }
        None => Err(CliError::data("there is no node")),
    };
    world.services = Some(services);
    moved
}

/// Runs the release protocol with a single node.
async fn ask_one(world: &World, guest: &DemoGuest, node: &str) -> Result<ReleaseResponse> {
    let http = Client::new(Arc::clone(&world.ambient.net));
    let empty = serde_json::json!({});
    let nonce: NonceResponse =
        http.post_json(&format!("{node}/v1/nonce"), &empty).await.map_err(CliError::unavailable)?;
    let pinned = world.pinned()?;
    let mut request = ReleaseRequest {
        chain_id: pinned.chain_id,
        kms_auth: pinned.kms_auth,
        generation: 0,
        epoch: 0,
        transport_key: B256::repeat_byte(9),
        nonces: vec![NodeNonce { node: nonce.node, nonce: nonce.nonce }],
        wish: Default::default(),
        evidence: Default::default(),
    };
    let evidence = guest.evidence(request.report_data()).await.map_err(CliError::data)?;
    request.evidence = evidence.encode().into();
    http.post_json(&format!("{node}/v1/release"), &request).await.map_err(CliError::unavailable)
}

async fn two_nodes_of_four(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let mut services = take(world)?;
    for node in services.nodes.iter_mut().skip(2) {
        node.stop().await;
    }
    world.services = Some(services);
    let (app, code) = world.gateway_app;
    let guest = world.guest(app, code);
    let error = refused(world, &guest, "a guest with two nodes of four").await?;
    teller.tell(Kind::Refused, "a guest of an allowed app, while two of four nodes are offline:");
    tell_nodes(teller, error.reports());
    let few = matches!(error, KeyError::NotEnough { needed: 3, allowed, .. } if allowed < 3);
    hold(few, format!("refused, but not for want of nodes: {error}"))?;

    let mut services = take(world)?;
    let url = world.rpc_url();
    for node in services.nodes.iter_mut().skip(2) {
        node.restart(world, vec![rpc(&url)?]).await?;
    }
    world.services = Some(services);
    world.settle().await?;
    world.fetch(&guest).await?.map_err(CliError::refused)?;
    teller.tell(Kind::Done, "the two nodes come back from their disks, and the same guest gets its secret");
    Ok(())
}

async fn refused(world: &World, guest: &DemoGuest, who: &str) -> Result<KeyError> {
    match world.fetch(guest).await? {
        Ok(_) => Err(CliError::refused(format!("{who} got the secret"))),
        Err(error) => Ok(error),
    }
}

fn take(world: &mut World) -> Result<Services> {
    world.services.take().ok_or_else(|| CliError::data("no service runs yet"))
}
