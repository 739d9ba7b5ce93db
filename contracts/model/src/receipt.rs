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
        uint64 blockNumber;
        bytes32 blockHash;
        bytes32 requestHash;
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
    /// Height of the finalised block that was judged; 0 when the decision never came to a block.
    pub block_number: u64,
    /// Its hash; zero likewise.
    pub block_hash: B256,
    /// keccak256 of the ABI-encoded `BootRequest`; zero when the evidence did not verify.
    pub request_hash: B256,
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
            blockNumber: self.block_number,
            blockHash: self.block_hash,
            requestHash: self.request_hash,
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
