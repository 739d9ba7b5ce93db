// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes receipts: as many at a time as wait for it.

use std::sync::{Arc, PoisonError, mpsc};

use alloy::primitives::{B256, Bytes, keccak256};
use mandate_model::receipt::Receipt;

use super::{Decision, Next, ReceiptError, ReceiptLog};
use crate::{
    keys::KeyError,
    store::{EncodedCase, Kept, StoreError},
};

/// A decision whose receipt is to be written.
#[derive(Debug)]
pub(super) struct Waiting {
    decision: Decision,
    case: EncodedCase,
    tell: mpsc::Sender<Result<Receipt, ReceiptError>>,
}

impl ReceiptLog {
    /// Whoever comes while others are writing waits, and the first of those who wait writes for all of them: a durable write takes
    /// as long for many receipts as for one.
    pub(super) fn append_blocking(&self, decision: Decision) -> Result<Receipt, ReceiptError> {
        let inner = &self.0;
        let case = EncodedCase::of(&decision.asked, &decision.witnesses, &inner.codes)?;
        let (tell, told) = mpsc::channel();
        inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Waiting { decision, case, tell });
        // Held over the write: two receipts must not share a number, nor be stored out of order.
        let mut next = inner.next.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::take(&mut *inner.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !batch.is_empty() {
            self.write(&mut next, batch);
        }
        drop(next);
        // Whoever took it out of the list has written it and told so before letting go of the lock.
        told.recv().map_err(|_| StoreError::Stopped)?
    }

    /// Writes the receipts of `batch` in one transaction, all or none, and tells everybody.
    fn write(&self, next: &mut Next, batch: Vec<Waiting>) {
        let (mut tree, mut previous) = (next.tree.clone(), next.previous);
        let (mut kept, mut tellers) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for Waiting { decision, case, tell } in batch {
            match self.sign(&decision, tree.count(), previous) {
                Ok(receipt) => {
                    previous = receipt.hash(&self.0.domain);
                    tree.push(previous);
                    kept.push((receipt, decision.request.map(|(_, request)| request), case));
                    tellers.push(tell);
                }
                Err(error) => drop(tell.send(Err(error.into()))),
            }
        }
        let all = kept.iter();
        let all =
            all.map(|(receipt, request, case)| Kept { receipt, request: request.as_ref(), case: Some(case) });
        let written = self.0.store.put_receipts(all);
        if written.is_ok() {
            *next = Next { previous, tree };
        }
        let failure = written.err().map(Arc::new);
        for (tell, (receipt, ..)) in tellers.into_iter().zip(kept) {
            let answer = match &failure {
                None => Ok(receipt),
                Some(error) => Err(ReceiptError::NotKept(error.clone())),
            };
            let _ = tell.send(answer);
        }
    }

    fn sign(&self, decision: &Decision, sequence: u64, previous: B256) -> Result<Receipt, KeyError> {
        let inner = &self.0;
        let mut receipt = Receipt {
            node: inner.keys.address(),
            sequence,
            previous,
            judged_at: decision.judged_at,
            block_number: decision.block.map_or(0, |b| b.number),
            block_hash: decision.block.map_or(B256::ZERO, |b| b.hash),
            head_number: decision.head.map_or(0, |b| b.number),
            head_hash: decision.head.map_or(B256::ZERO, |b| b.hash),
            request_hash: decision.request.as_ref().map_or(B256::ZERO, |(hash, _)| *hash),
            evidence_hash: keccak256(&decision.asked.evidence),
            binding_hash: keccak256(decision.asked.binding()),
            outcome: decision.outcome.clone(),
            transport_key_hash: keccak256(decision.asked.transport_key),
            dev_anchors: inner.dev_anchors,
            signature: Bytes::new(),
        };
        receipt.signature = inner.keys.sign(&receipt.body(), &inner.domain)?.into();
        Ok(receipt)
    }
}
