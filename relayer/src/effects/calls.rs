// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Effects as contract calls, and what a contract's refusal says about them.

use alloy::{
    primitives::{Address, Bytes, aliases::U40},
    sol_types::{SolCall, SolError},
};
use mandate_model::{
    bindings::{DomainRegistry, KmsCommittee},
    wire::relayer::Submission,
};

use super::Effect;
use crate::chain::Contracts;

/// A transaction's target and data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractCall {
    /// The contract.
    pub to: Address,
    /// Call data.
    pub data: Bytes,
}

/// The transaction that carries out `effect`, or nothing when it is not done on chain.
pub fn transaction(contracts: &Contracts, effect: &Effect) -> Option<ContractCall> {
    let (to, data) = match effect {
        Effect::RevocationPush { .. } | Effect::CertificateOrder { .. } => return None,
        Effect::Submit { submission } => (contracts.committee, submission_call(submission.clone())),
        Effect::PinAccount { name, issuer, account_uri } => {
            let (name, issuer, account_uri) = (name.clone(), issuer.clone(), account_uri.clone());
            let call = DomainRegistry::pinAccountCall { name, issuer, accountUri: account_uri };
            (contracts.domain_registry, call.abi_encode())
        }
        Effect::RecordCertificate { certificate } => {
            let call = DomainRegistry::recordCertificateCall {
                name: certificate.name.clone(),
                fingerprint: certificate.fingerprint,
                spkiHash: certificate.spki_hash,
                notAfter: U40::saturating_from(certificate.not_after),
            };
            (contracts.domain_registry, call.abi_encode())
        }
    };
    Some(ContractCall { to, data: data.into() })
}

fn submission_call(submission: Submission) -> Vec<u8> {
    match submission {
        Submission::DealerLog { round, node, log, signature } => {
            KmsCommittee::postDealerLogCall::from((round, node, log, signature)).abi_encode()
        }
        Submission::Confirmation { round, node, group_key, polynomial, signature } => {
            KmsCommittee::confirmOutputCall::from((round, node, group_key, polynomial, signature))
                .abi_encode()
        }
        Submission::Nonce { node, nonce, signature } => {
            KmsCommittee::publishNonceCall { nodeKey: node, nonce, signature }.abi_encode()
        }
    }
}

/// What a revert means for the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The chain already shows what the effect wants.
    AlreadySo,
    /// It may succeed later, or not; try again a few times.
    NotNow,
}

/// Reads a revert.
pub(crate) fn refusal(data: &[u8]) -> Refusal {
    let Some((selector, arguments)) = data.split_first_chunk::<4>() else { return Refusal::NotNow };
    let already = [KmsCommittee::AlreadyPosted::SELECTOR, DomainRegistry::NothingToChange::SELECTOR];
    if already.contains(selector) {
        return Refusal::AlreadySo;
    }
    // The ceremony ended without this confirmation, successfully: a quorum agreed on the output.
    let finished = *selector == KmsCommittee::WrongState::SELECTOR
        && KmsCommittee::WrongState::abi_decode_raw(arguments).is_ok_and(|e| e.state == FINISHED);
    if finished { Refusal::AlreadySo } else { Refusal::NotNow }
}

/// `CeremonyState.Finished`.
const FINISHED: u8 = 3;

/// A revert by name, for the operator.
pub(crate) fn revert_name(data: &[u8]) -> String {
    use alloy::sol_types::SolInterface;
    use mandate_model::bindings::{DomainRegistry::DomainRegistryErrors, KmsCommittee::KmsCommitteeErrors};

    if let Ok(e) = KmsCommitteeErrors::abi_decode(data) {
        return format!("{e:?}");
    }
    DomainRegistryErrors::abi_decode(data)
        .map_or_else(|_| Bytes::copy_from_slice(data).to_string(), |e| format!("{e:?}"))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;

    #[test]
    fn refusals_that_say_it_is_done_are_told_from_the_rest() {
        let state = |state| KmsCommittee::WrongState { round: 1, state }.abi_encode();
        let posted = KmsCommittee::AlreadyPosted { round: 1, nodeKey: Address::ZERO }.abi_encode();
        assert_eq!(refusal(&posted), Refusal::AlreadySo);
        assert_eq!(refusal(&DomainRegistry::NothingToChange {}.abi_encode()), Refusal::AlreadySo);
        assert_eq!(refusal(&state(FINISHED)), Refusal::AlreadySo);
        assert_eq!(refusal(&state(1)), Refusal::NotNow);
        assert_eq!(
            refusal(&KmsCommittee::InvalidSignature { nodeKey: Address::ZERO }.abi_encode()),
            Refusal::NotNow
        );
        assert_eq!(refusal(&[]), Refusal::NotNow);
        assert_eq!(refusal(&U256::MAX.to_be_bytes::<32>()), Refusal::NotNow);
    }

    #[test]
    fn reverts_are_named() {
        let data = KmsCommittee::InvalidSignature { nodeKey: Address::ZERO }.abi_encode();
        assert!(revert_name(&data).contains("InvalidSignature"));
        assert_eq!(revert_name(&[1, 2]), "0x0102");
    }
}
