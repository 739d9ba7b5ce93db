// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Effects as contract calls, and what a contract's refusal says about them.

use alloy::{
    primitives::{Address, Bytes, aliases::U40},
    sol_types::{SolCall, SolError},
};
use mandate_model::{
    bindings::{self, AppGovernor, DomainRegistry, KmsCommittee, ReceiptAnchor, RoleCouncil},
    wire::{
        kms::SignedRoot,
        relayer::{Approval, Submission, Vouch},
    },
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
        Effect::Execute { at, data } => return Some(ContractCall { to: *at, data: data.clone() }),
        Effect::RevocationPush { .. }
        | Effect::GrantPush { .. }
        | Effect::CertificateOrder { .. }
        | Effect::CertificateRenewal { .. }
        | Effect::DomainRelease { .. }
        | Effect::RootRequest { .. }
        | Effect::CheckPassed { .. }
        | Effect::Webhook { .. } => return None,
        Effect::FillGap { signer, .. } => (*signer, Vec::new()),
        Effect::PostRoot { root } => (contracts.receipt_anchor?, root_call(root.clone())),
        Effect::Approve { approval } => (approval.council, approval_call(approval.clone())),
        Effect::Submit { submission } => (contracts.committee, submission_call(submission.clone())),
        Effect::PinAccount { name, issuer, account_uri, .. } => {
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

fn root_call(signed: SignedRoot) -> Vec<u8> {
    let SignedRoot { node, index, previous_root, root, count, signature } = signed;
    let previous = previous_root;
    ReceiptAnchor::postRootCall { node, index, previousRoot: previous, root, count, signature }.abi_encode()
}

fn approval_call(approval: Approval) -> Vec<u8> {
    let Approval { motion, role, member, deadline, signature, .. } = approval;
    RoleCouncil::approveBySigCall::from((motion, role, member, deadline, signature)).abi_encode()
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
        Submission::Attestation { node, evidence_digest, until, vouches, .. } => {
            let vouch = |vouch: Vouch| bindings::Vouch { voter: vouch.voter, signature: vouch.signature };
            let vouches: Vec<_> = vouches.into_iter().map(vouch).collect();
            KmsCommittee::attestNodeCall::from((node, evidence_digest, U40::saturating_from(until), vouches))
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
    let already = [
        KmsCommittee::AlreadyPosted::SELECTOR,
        DomainRegistry::NothingToChange::SELECTOR,
        RoleCouncil::AlreadyApproved::SELECTOR,
        // Another relayer's root covers as many receipts.
        ReceiptAnchor::CountNotRising::SELECTOR,
    ];
    if already.contains(selector) {
        return Refusal::AlreadySo;
    }
    // Another relayer's root has this place.
    let taken = *selector == ReceiptAnchor::WrongIndex::SELECTOR
        && ReceiptAnchor::WrongIndex::abi_decode_raw(arguments).is_ok_and(|e| e.given < e.expected);
    // Executed, cancelled or expired: nothing waits any more.
    let over = (*selector == AppGovernor::GovernorUnexpectedProposalState::SELECTOR
        && AppGovernor::GovernorUnexpectedProposalState::abi_decode_raw(arguments)
            .is_ok_and(|e| PROPOSAL_OVER.contains(&e.current)))
        || (*selector == RoleCouncil::WrongState::SELECTOR
            && RoleCouncil::WrongState::abi_decode_raw(arguments)
                .is_ok_and(|e| MOTION_OVER.contains(&e.state)));
    // The ceremony ended without this confirmation, successfully: a quorum agreed on the output.
    let finished = *selector == KmsCommittee::WrongState::SELECTOR
        && KmsCommittee::WrongState::abi_decode_raw(arguments).is_ok_and(|e| e.state == FINISHED);
    // The node is vouched for as long already, or longer.
    let attested = *selector == KmsCommittee::AttestationEnd::SELECTOR
        && KmsCommittee::AttestationEnd::abi_decode_raw(arguments).is_ok_and(|e| e.given < e.least);
    if taken || over || finished || attested { Refusal::AlreadySo } else { Refusal::NotNow }
}

/// `ProposalState`: Canceled, Defeated, Expired, Executed.
const PROPOSAL_OVER: [u8; 4] = [2, 3, 6, 7];
/// `MotionState`: Executed, Expired.
const MOTION_OVER: [u8; 2] = [3, 4];
/// `CeremonyState.Finished`.
const FINISHED: u8 = 3;

/// A revert by name, for the operator.
pub(crate) fn revert_name(data: &[u8]) -> String {
    use alloy::sol_types::SolInterface;
    use mandate_model::bindings::{
        AppGovernor::AppGovernorErrors, DomainRegistry::DomainRegistryErrors,
        KmsCommittee::KmsCommitteeErrors, ReceiptAnchor::ReceiptAnchorErrors, RoleCouncil::RoleCouncilErrors,
    };

    if let Ok(e) = KmsCommitteeErrors::abi_decode(data) {
        return format!("{e:?}");
    }
    if let Ok(e) = RoleCouncilErrors::abi_decode(data) {
        return format!("{e:?}");
    }
    if let Ok(e) = ReceiptAnchorErrors::abi_decode(data) {
        return format!("{e:?}");
    }
    if let Ok(e) = AppGovernorErrors::abi_decode(data) {
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
        let index = |given, expected| {
            refusal(&ReceiptAnchor::WrongIndex { node: Address::ZERO, given, expected }.abi_encode())
        };
        assert_eq!((index(1, 2), index(2, 1)), (Refusal::AlreadySo, Refusal::NotNow));
        let attested = |given: u64| {
            let (given, least, most) = (U40::from(given), U40::from(5), U40::from(9));
            refusal(&KmsCommittee::AttestationEnd { given, least, most }.abi_encode())
        };
        assert_eq!((attested(4), attested(10)), (Refusal::AlreadySo, Refusal::NotNow));
        let motion = |state| refusal(&RoleCouncil::WrongState { motionId: U256::ZERO, state }.abi_encode());
        assert_eq!((motion(3), motion(1)), (Refusal::AlreadySo, Refusal::NotNow), "open may pass again");
        let proposal = |current| {
            let (proposal, expected) = (U256::ZERO, alloy::primitives::B256::ZERO);
            let error = AppGovernor::GovernorUnexpectedProposalState {
                proposalId: proposal,
                current,
                expectedStates: expected,
            };
            refusal(&error.abi_encode())
        };
        assert_eq!((proposal(7), proposal(4)), (Refusal::AlreadySo, Refusal::NotNow));
        let rising = ReceiptAnchor::CountNotRising { node: Address::ZERO, given: 1, previous: 1 };
        assert_eq!(refusal(&rising.abi_encode()), Refusal::AlreadySo);
        let approved =
            RoleCouncil::AlreadyApproved { motionId: U256::ZERO, role: U256::ZERO, member: Address::ZERO };
        assert_eq!(refusal(&approved.abi_encode()), Refusal::AlreadySo);
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
