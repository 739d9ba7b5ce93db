// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An instance that the committee vouches for: what its nodes found in the evidence, in place of the evidence.

use alloy::{primitives::Address, sol_types::SolValue};
use mandate_model::{
    Outcome, Reason,
    bindings::BootRequest,
    wire::gateway::{RegisterRequest, SignedInstance},
};
use mandate_threshold::InstanceStatement;

use crate::{
    chain::{At, Chain, GroupKeys},
    facts::Facts,
};

/// The longest question about a boot that is read: room for more advisories than any platform has.
pub(super) const MAX_BOOT_REQUEST: usize = 16 << 10;

/// The deployment whose committee is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Believed {
    /// Chain of the policy.
    pub chain_id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
}

/// What the committee states of whoever sends `request`. Deployment and registration are not the request's word but this gateway's,
/// so that a statement about others is one that nobody signed.
///
/// The key must be the committee's by finalised state and still by the newest: a committee that was replaced in haste must not be
/// believed for as long as finality takes.
pub(super) async fn verify(
    chain: &dyn Chain,
    believed: &Believed,
    request: &RegisterRequest,
    signed: &SignedInstance,
    now: u64,
) -> Result<Facts, Outcome> {
    if signed.until <= now {
        return Err(refused(format!("the committee's statement ended at {}, it is {now}", signed.until)));
    }
    let registration = request.report_data();
    let statement = InstanceStatement {
        chain_id: believed.chain_id,
        kms_auth: believed.kms_auth.into(),
        boot_request: &signed.boot_request,
        registration: &registration,
        until: signed.until,
    };
    for at in [At::Finalized, At::Head] {
        let keys = chain.group_keys(at).await;
        let keys = keys.map_err(|undecided| Outcome::Undecided { why: undecided.to_string() })?;
        check(&statement, &signed.signature, &keys, at)?;
    }
    let boot = BootRequest::abi_decode_validate(&signed.boot_request);
    boot.map(Facts::from)
        .map_err(|error| refused(format!("what the committee found does not decode: {error}")))
}

fn check(
    statement: &InstanceStatement<'_>,
    signature: &[u8],
    keys: &GroupKeys,
    at: At,
) -> Result<(), Outcome> {
    if keys.keys.iter().any(|key| statement.verify(key, signature).is_ok()) {
        return Ok(());
    }
    Err(refused(format!(
        "no statement about this key, place and domains is signed by the committee of KmsAuth {} on chain {} at block {} ({at:?})",
        Address::from(statement.kms_auth),
        statement.chain_id,
        keys.block.number
    )))
}

fn refused(why: String) -> Outcome {
    Outcome::Denied { reason: Reason::Request(why) }
}
