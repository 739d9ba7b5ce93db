// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signed receipts: every decision of a node leaves one (G-8).

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    sol,
    sol_types::{Eip712Domain, SolStruct},
};
use serde::{Deserialize, Serialize};

use crate::{outcome::Outcome, signed};

sol! {
    /// What the node signs (EIP-712, [`signed::domain`]).
    #[derive(Debug)]
    struct ReceiptBody {
        address node;
        uint64 sequence;
        bytes32 previous;
        uint64 judgedAt;
        uint64 blockNumber;
        bytes32 blockHash;
        uint64 headNumber;
        bytes32 headHash;
        bytes32 requestHash;
        bytes32 evidenceHash;
        bytes32 bindingHash;
        bytes32 outcomeHash;
        bytes32 transportKeyHash;
        bool devAnchors;
    }
}

/// A node's signed statement of one decision. `previous` chains the node's receipts; zero for its first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// The node's key, as registered in `KmsCommittee`.
    pub node: Address,
    /// 0, 1, 2 … without gaps.
    pub sequence: u64,
    /// [`Receipt::hash`] of the one before.
    pub previous: B256,
    /// The node's clock when it looked at the evidence, Unix seconds.
    pub judged_at: u64,
    /// Height of the finalised block that was judged; 0 when the decision never came to a block.
    pub block_number: u64,
    /// Its hash; zero likewise.
    pub block_hash: B256,
    /// Height of the head that was judged as well, or of the block at which a remembered revocation was seen; 0 when it
    /// did not come to that.
    pub head_number: u64,
    /// Its hash; zero likewise.
    pub head_hash: B256,
    /// keccak256 of the ABI-encoded `BootRequest`; zero when the evidence did not verify.
    pub request_hash: B256,
    /// keccak256 of the evidence as it came.
    pub evidence_hash: B256,
    /// keccak256 of `ReleaseRequest::binding`: everything else that the guest sent.
    pub binding_hash: B256,
    /// What was decided.
    pub outcome: Outcome,
    /// keccak256 of the guest's transport key.
    pub transport_key_hash: B256,
    /// Whether the trust anchors were those of a development PKI.
    pub dev_anchors: bool,
    /// 65 bytes, EIP-712 by `node`.
    pub signature: Bytes,
}

impl Receipt {
    /// The EIP-712 struct that is signed.
    pub fn body(&self) -> ReceiptBody {
        ReceiptBody {
            node: self.node,
            sequence: self.sequence,
            previous: self.previous,
            judgedAt: self.judged_at,
            blockNumber: self.block_number,
            blockHash: self.block_hash,
            headNumber: self.head_number,
            headHash: self.head_hash,
            requestHash: self.request_hash,
            evidenceHash: self.evidence_hash,
            bindingHash: self.binding_hash,
            outcomeHash: keccak256(self.outcome.to_string()),
            transportKeyHash: self.transport_key_hash,
            devAnchors: self.dev_anchors,
        }
    }

    /// What the next receipt names as `previous`.
    pub fn hash(&self, domain: &Eip712Domain) -> B256 {
        self.body().eip712_signing_hash(domain)
    }

    /// Whether `node` itself signed this.
    pub fn is_signed(&self, domain: &Eip712Domain) -> bool {
        signed::signer(&self.body(), domain, &self.signature) == Some(self.node)
    }
}

#[cfg(test)]
mod tests {
    use alloy::signers::{SignerSync, local::PrivateKeySigner};

    use super::*;

    fn signed_receipt() -> (Receipt, Eip712Domain) {
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        let domain = signed::domain(31337, Address::repeat_byte(1));
        let mut receipt = Receipt {
            node: signer.address(),
            sequence: 3,
            previous: B256::repeat_byte(2),
            judged_at: 1_690_000_000,
            block_number: 100,
            block_hash: B256::repeat_byte(3),
            head_number: 102,
            head_hash: B256::repeat_byte(6),
            request_hash: B256::repeat_byte(4),
            evidence_hash: B256::repeat_byte(8),
            binding_hash: B256::repeat_byte(9),
            outcome: Outcome::Allowed { valid_until: 1_700_000_000 },
            transport_key_hash: B256::repeat_byte(5),
            dev_anchors: true,
            signature: Bytes::new(),
        };
        let signature = signer.sign_hash_sync(&receipt.hash(&domain)).unwrap();
        receipt.signature = signature.as_bytes().to_vec().into();
        (receipt, domain)
    }

    #[test]
    fn g8_receipt_is_signed_by_its_node() {
        let (receipt, domain) = signed_receipt();
        assert!(receipt.is_signed(&domain));
        let json = serde_json::to_string(&receipt).unwrap();
        assert_eq!(serde_json::from_str::<Receipt>(&json).unwrap(), receipt);
    }

    #[test]
    fn g8_receipt_is_refused_when_anything_in_it_is_changed() {
        let (receipt, domain) = signed_receipt();
        let changed: [fn(&mut Receipt); 16] = [
            |r| r.node = Address::ZERO,
            |r| r.sequence += 1,
            |r| r.previous = B256::ZERO,
            |r| r.judged_at += 1,
            |r| r.block_number += 1,
            |r| r.block_hash = B256::ZERO,
            |r| r.head_number += 1,
            |r| r.head_hash = B256::ZERO,
            |r| r.request_hash = B256::ZERO,
            |r| r.evidence_hash = B256::ZERO,
            |r| r.binding_hash = B256::ZERO,
            |r| r.outcome = Outcome::Allowed { valid_until: 0 },
            |r| r.outcome = Outcome::Undecided { why: String::new() },
            |r| r.transport_key_hash = B256::ZERO,
            |r| r.dev_anchors = false,
            |r| r.signature = Bytes::from_static(&[0; 64]),
        ];
        for change in changed {
            let mut forged = receipt.clone();
            change(&mut forged);
            assert!(!forged.is_signed(&domain), "{forged:?}");
        }
        assert!(!receipt.is_signed(&signed::domain(1, Address::repeat_byte(1))));
        assert!(!receipt.is_signed(&signed::domain(31337, Address::repeat_byte(2))));
    }
}
