// SPDX-License-Identifier: Apache-2.0 OR MIT
//! EIP-712 messages that a node's secp256k1 key signs. The structs of `KmsCommittee` must stay as the contract hashes them.

use alloy::{
    primitives::{Address, B256, Signature},
    sol,
    sol_types::{Eip712Domain, SolStruct, eip712_domain},
};

sol! {
    /// A dealer's log, as `KmsCommittee.postDealerLog` checks it.
    #[derive(Debug)]
    struct DealerLog { uint64 round; bytes32 logHash; }

    /// A player's output, as `KmsCommittee.confirmOutput` checks it.
    #[derive(Debug)]
    struct Confirmation { uint64 round; bytes32 outputHash; }

    /// A node's fresh nonce, as `KmsCommittee.publishNonce` checks it.
    #[derive(Debug)]
    struct Nonce { bytes32 nonce; }

    /// A member's word that it verified the evidence of `nodeKey` and that the policy allows it as the KMS's own app, as
    /// `KmsCommittee.attestNode` checks it.
    #[derive(Debug)]
    struct Vouch {
        address nodeKey;
        bytes32 dealingKey;
        bytes32 sealingKey;
        bytes32 evidenceDigest;
        uint64 demand;
        uint40 until;
    }

    /// A node's request that a relayer pay for `KmsCommittee.attestNode`; the contract does not ask for it.
    #[derive(Debug)]
    struct Attestation { bytes32 evidenceDigest; uint40 until; }

    /// A letter between nodes; `bodyHash` is keccak256 of the body as carried.
    #[derive(Debug)]
    struct Letter { address to; uint64 round; string kind; bytes32 bodyHash; }

    /// A root over a node's receipts, as `ReceiptAnchor.postRoot` checks it, under [`anchor_domain`].
    #[derive(Debug)]
    struct ReceiptRoot { uint64 index; bytes32 previousRoot; bytes32 root; uint64 count; }

    /// A council member's approval, as `RoleCouncil.approveBySig` checks it, under [`council_domain`].
    #[derive(Debug)]
    struct Approval { uint256 motionId; uint256 role; address member; uint256 nonce; uint256 deadline; }
}

/// The EIP-712 domain of everything that a node signs: `("Mandate KmsCommittee", "1", chain, committee)`.
pub fn domain(chain_id: u64, committee: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Mandate KmsCommittee",
        version: "1",
        chain_id: chain_id,
        verifying_contract: committee,
    }
}

/// The EIP-712 domain of roots: `("Mandate ReceiptAnchor", "1", chain, anchor)`.
pub fn anchor_domain(chain_id: u64, anchor: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Mandate ReceiptAnchor",
        version: "1",
        chain_id: chain_id,
        verifying_contract: anchor,
    }
}

/// The EIP-712 domain of a council's approvals: `("Mandate RoleCouncil", "1", chain, council)`.
pub fn council_domain(chain_id: u64, council: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Mandate RoleCouncil",
        version: "1",
        chain_id: chain_id,
        verifying_contract: council,
    }
}

/// The address whose key made `signature` over `message`, or nothing when the signature is malformed.
pub fn signer<T: SolStruct>(message: &T, domain: &Eip712Domain, signature: &[u8]) -> Option<Address> {
    let signature = Signature::try_from(signature).ok()?;
    let hash: B256 = message.eip712_signing_hash(domain);
    signature.recover_address_from_prehash(&hash).ok()
}
