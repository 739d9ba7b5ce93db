// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Step 6: a guest proves itself to the committee and combines its secret.

use mandate_guest::{Fetched, NodeOutcome, NodeReport};
use mandate_model::receipt::Receipt;
use serde_json::json;

use super::hold;
use crate::{
    demo::{
        World,
        guest::{V1, compose},
        report::{Kind, Teller},
    },
    error::{CliError, Result},
};

/// How many of the four nodes it takes.
const QUORUM: usize = 3;

pub(crate) async fn run(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let guest = world.guest(world.app, compose(V1).1);
    teller.tell(
        Kind::Done,
        "a guest boots v1 and makes a TDX v4 quote over the nodes' nonces and a fresh transport key",
    );
    let fetched = world.fetch(&guest).await?.map_err(CliError::refused)?;
    tell_nodes(teller, &fetched.reports);
    let judged = fetched.receipts().map(|r| r.block_number).max();
    hold(
        fetched.receipts().count() >= QUORUM && judged > Some(0),
        "fewer than three nodes left a receipt of a block",
    )?;
    tell_secret(teller, &fetched);
    world.secret = Some(fetched);
    Ok(())
}

/// What every node did, with the block that it judged.
pub(crate) fn tell_nodes(teller: &mut Teller<'_>, reports: &[NodeReport]) {
    let gave = reports.iter().filter(|r| matches!(r.outcome, NodeOutcome::Allowed { .. })).count();
    let enough = gave >= QUORUM;
    for report in reports {
        let (kind, what) = match &report.outcome {
            NodeOutcome::Allowed { .. } => {
                (Kind::Done, "verified the quote, the block and the proof; KmsAuth says yes".to_owned())
            }
            NodeOutcome::Denied { reason, .. } => (Kind::Refused, format!("denied: {reason}")),
            NodeOutcome::Undecided { why } => (Kind::Refused, format!("undecided: {why}")),
            NodeOutcome::Unreachable { error } => (Kind::Refused, format!("unreachable: {error}")),
            NodeOutcome::BadPartial { why, .. } => (Kind::Refused, format!("wrong partial: {why}")),
            NodeOutcome::BadAnswer { why } => (Kind::Refused, format!("wrong answer: {why}")),
            NodeOutcome::NotAwaited if enough => {
                (Kind::Done, "not needed: three others had answered".to_owned())
            }
            NodeOutcome::NotAwaited => (Kind::Done, "ready, but not asked: too few others are".to_owned()),
        };
        tell_receipt(teller, kind, &format!("node {}: {what}", report.node), report.outcome.receipt());
    }
}

fn tell_receipt(teller: &mut Teller<'_>, kind: Kind, text: &str, receipt: Option<&Receipt>) {
    let Some(receipt) = receipt else { return teller.tell(kind, text) };
    // A receipt without a block never came to the chain.
    let block = Some(receipt.block_number).filter(|n| *n > 0);
    teller.at(kind, text, block, None, &[("receipt", json!(receipt.sequence))]);
}

/// The secret itself is never shown; the address of the app's key is public.
pub(crate) fn tell_secret(teller: &mut Teller<'_>, fetched: &Fetched) {
    let facts = [
        ("generation", json!(fetched.generation)),
        ("epoch", json!(fetched.epoch)),
        ("app_key_address", json!(app_address(fetched))),
    ];
    teller.at(
        Kind::Done,
        "three of four parts combine into the app's secret; no node has seen it",
        None,
        None,
        &facts,
    );
}

/// The Ethereum address of the app's secp256k1 key.
pub(crate) fn app_address(fetched: &Fetched) -> Option<alloy::primitives::Address> {
    let key = fetched.secret.k256_key();
    alloy::signers::local::PrivateKeySigner::from_slice(key.as_slice()).ok().map(|signer| signer.address())
}
