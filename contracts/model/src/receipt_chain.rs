// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A node's receipts as one chain: signed by it, numbered without gaps, each naming the hash of the one before (G-8).

use alloy::{
    primitives::{Address, B256},
    sol_types::Eip712Domain,
};
use thiserror::Error;

use crate::receipt::Receipt;

/// Why receipts are no unbroken chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChainError {
    /// The signature is not the node's.
    #[error("receipt {0} is not signed by the node")]
    Signature(u64),
    /// A number is missing, or there twice.
    #[error("receipt {found} follows where {expected} was due")]
    Sequence {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The link to the one before is wrong.
    #[error("receipt {0} does not name the one before it")]
    Previous(u64),
}

/// Takes in the receipts of one node in their order.
#[derive(Debug, Clone)]
pub struct ReceiptChain {
    node: Address,
    domain: Eip712Domain,
    /// The next number and what that receipt must name; nothing where any may come first.
    due: Option<(u64, B256)>,
}

impl ReceiptChain {
    /// From the node's first receipt on.
    pub fn whole(node: Address, domain: Eip712Domain) -> Self {
        Self { node, domain, due: Some((0, B256::ZERO)) }
    }

    /// From any receipt on, which is taken as it is unless its number is 0.
    pub fn part(node: Address, domain: Eip712Domain) -> Self {
        Self { node, domain, due: None }
    }

    /// Takes the next one. Its hash.
    ///
    /// # Errors
    /// When it is not the one that must follow. The chain stays as it was.
    pub fn push(&mut self, receipt: &Receipt) -> Result<B256, ChainError> {
        let sequence = receipt.sequence;
        if receipt.node != self.node || !receipt.is_signed(&self.domain) {
            return Err(ChainError::Signature(sequence));
        }
        let first = (sequence == 0).then_some((0, B256::ZERO));
        if let Some((expected, previous)) = self.due.or(first) {
            if expected != sequence {
                return Err(ChainError::Sequence { expected, found: sequence });
            }
            if previous != receipt.previous {
                return Err(ChainError::Previous(sequence));
            }
        }
        let hash = receipt.hash(&self.domain);
        // A number that has no next one has no place in any log.
        let next = sequence.checked_add(1).ok_or(ChainError::Sequence { expected: 0, found: sequence })?;
        self.due = Some((next, hash));
        Ok(hash)
    }
}

/// Checks that `receipts` are a part of `node`'s chain.
///
/// # Errors
/// The first that does not follow.
pub fn verify_chain(receipts: &[Receipt], node: Address, domain: &Eip712Domain) -> Result<(), ChainError> {
    let mut chain = ReceiptChain::part(node, domain.clone());
    receipts.iter().try_for_each(|receipt| chain.push(receipt).map(|_| ()))
}
