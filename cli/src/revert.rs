// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a contract refused, in its own words.

use alloy::{
    dyn_abi::{DynSolValue, ErrorExt},
    json_abi::Error as AbiError,
    primitives::U256,
    sol_types::{Panic, Revert, SolError},
};
use mandate_model::abi;

use crate::{names, output, value};

/// The reason in `data`, which `contract` reverted with: `Name(field: value, …)`, and what to do where that is known.
///
/// An error may come from a contract that was called in turn, so every contract's errors are looked through.
pub(crate) fn reason(contract: &str, data: &[u8]) -> String {
    if data.is_empty() {
        return format!("no reason given; is the address that of {contract}?");
    }
    if let Ok(revert) = Revert::abi_decode(data) {
        return revert.reason;
    }
    if let Ok(panic) = Panic::abi_decode(data) {
        return panic.to_string();
    }
    match find(contract, data) {
        Some((error, values)) => {
            let text = signature(&error, &values);
            advice(&error.name, &values).map_or_else(|| text.clone(), |advice| format!("{text}; {advice}"))
        }
        None => format!("revert data 0x{}", hex::encode(data)),
    }
}

fn find(contract: &str, data: &[u8]) -> Option<(AbiError, Vec<DynSolValue>)> {
    let selector = data.get(..4)?;
    let others = abi::NAMES.iter().copied().filter(|name| *name != contract);
    std::iter::once(contract).chain(others).find_map(|name| {
        let abi = abi::of(name)?;
        let error = abi.errors().find(|error| error.selector().as_slice() == selector)?.clone();
        let decoded = error.decode_error(data).ok()?;
        Some((error, decoded.body))
    })
}

fn signature(error: &AbiError, values: &[DynSolValue]) -> String {
    let fields: Vec<String> = value::named(&error.inputs, values)
        .iter()
        .map(|(name, value)| format!("{name}: {}", output::leaf(name, value, None)))
        .collect();
    format!("{}({})", error.name, fields.join(", "))
}

/// What to do about errors that newcomers meet.
fn advice(name: &str, values: &[DynSolValue]) -> Option<String> {
    match (name, values) {
        ("NotAuthorized", _) => Some(
            "the owner must sign (for revocations the guardian may too), or give --propose GOVERNOR when a DAO owns it"
                .into(),
        ),
        ("FailedDeployment", _) => Some("this --salt was used before: leave it out, or give another".into()),
        (
            "GovernorUnexpectedProposalState",
            [_, DynSolValue::Uint(state, _), DynSolValue::FixedBytes(mask, _)],
        ) => {
            let state = u8::try_from(*state).ok()?;
            let state = names::variant("ProposalState", state);
            Some(format!("the proposal is {state}; this takes {}", expected(U256::from_be_bytes(mask.0))))
        }
        ("VetoWindowOpen", _) => Some("execute it after that time".into()),
        _ => None,
    }
}

/// The states of a governor's bitmap; an empty one stands for a proposal that does not exist yet.
fn expected(mask: U256) -> String {
    let states = names::variants("ProposalState").unwrap_or_default().iter().enumerate();
    let set: Vec<&str> = states.filter(|(bit, _)| mask.bit(*bit)).map(|(_, name)| *name).collect();
    if set.is_empty() { "a proposal that does not exist yet".into() } else { set.join(" or ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::{Address, B256, address};
    use mandate_model::bindings::{AppAuth, AppGovernor};

    const CALLER: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

    #[test]
    fn own_error_reads_as_a_call() {
        let data = AppAuth::NotAuthorized { caller: CALLER }.abi_encode();
        let text = reason("AppAuth", &data);
        assert!(text.starts_with(&format!("NotAuthorized(caller: {CALLER}); the owner must sign")), "{text}");
    }

    #[test]
    fn error_of_a_called_contract_is_named_too() {
        let data = AppAuth::ZeroCodeHash {}.abi_encode();
        assert_eq!(reason("AppGovernor", &data), "ZeroCodeHash()");
    }

    #[test]
    fn proposal_states_are_named() {
        let mask = B256::from(U256::from((1u8 << 1) | (1 << 4)));
        let error = AppGovernor::GovernorUnexpectedProposalState {
            proposalId: U256::from(7),
            current: 0,
            expectedStates: mask,
        };
        let text = reason("AppGovernor", &error.abi_encode());
        assert!(text.ends_with("the proposal is Pending; this takes Active or Succeeded"), "{text}");
    }

    #[test]
    fn text_panic_and_unknown_data_are_told_apart() {
        assert_eq!(reason("AppAuth", &Revert::from("no").abi_encode()), "no");
        assert!(reason("AppAuth", &[]).contains("that of AppAuth"));
        assert_eq!(reason("AppAuth", &[1, 2, 3]), "revert data 0x010203");
    }
}
