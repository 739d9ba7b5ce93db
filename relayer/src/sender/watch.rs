// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What became of transactions that were sent: mined, final, reorganised away, or overtaken by another of the same nonce.

use alloy::{providers::Provider, rpc::types::TransactionReceipt};
use mandate_model::wire::BlockRef;

use super::{SendError, Sender, rpc};
use crate::store::{InFlight, Landed};

/// Ticks without a receipt, though the nonce is spent, before the transaction counts as lost: behind one URL there may be
/// endpoints that lag.
const LOST_AFTER: u32 = 5;

impl Sender {
    /// A mined transaction: done once its block is final, sent again once its block is gone.
    pub(super) async fn watch_mined(
        &mut self,
        key: &str,
        block: BlockRef,
        effect: &InFlight,
    ) -> Result<(), SendError> {
        let progress = self.store.progress().await?;
        if let Some(ours) = self.store.block_hash(block.number).await?
            && ours != block.hash
        {
            tracing::warn!(
                effect = key,
                block = block.number,
                "its block was reorganised away: sending again"
            );
            return Ok(self.store.mined(key.to_owned(), None).await?);
        }
        if progress.finalized.is_none_or(|f| f.number < block.number) {
            return Ok(());
        }
        match self.receipt(effect).await? {
            Some(receipt) if receipt.block_hash == Some(block.hash) => {
                metrics::counter!("mandate_relayer_effects_total", "kind" => effect.effect.kind(), "outcome" => "done")
                    .increment(1);
                Ok(self.store.complete(key.to_owned(), Vec::new()).await?)
            }
            _ => Ok(self.store.mined(key.to_owned(), None).await?),
        }
    }

    /// Sent transactions: those that still wait for a block.
    pub(super) async fn watch_sent(&mut self, waiting: Vec<InFlight>) -> Result<Vec<InFlight>, SendError> {
        if waiting.is_empty() {
            return Ok(waiting);
        }
        let next = self.next_nonce().await?;
        let mut still = Vec::new();
        for effect in waiting {
            match self.receipt(&effect).await? {
                Some(receipt) => self.landed(&effect, &receipt).await?,
                None if self.is_lost(&effect, next) => {
                    tracing::warn!(effect = %effect.key, "its nonce went to another transaction: trying anew");
                    self.store
                        .unsend(effect.key.clone(), "the nonce went to another transaction".to_owned())
                        .await?;
                }
                None => {
                    self.broadcast_again(&effect).await?;
                    still.push(effect);
                }
            }
        }
        Ok(still)
    }

    async fn receipt(&self, effect: &InFlight) -> Result<Option<TransactionReceipt>, SendError> {
        for tx in effect.txs.iter().rev() {
            let receipt = self.provider.get_transaction_receipt(tx.hash).await;
            if let Some(receipt) = receipt.map_err(rpc("eth_getTransactionReceipt"))? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    async fn landed(&mut self, effect: &InFlight, receipt: &TransactionReceipt) -> Result<(), SendError> {
        let key = effect.key.clone();
        self.memory.missing.remove(&key);
        for tx in &effect.txs {
            self.memory.sent_at.remove(&tx.hash);
        }
        let (Some(number), Some(hash)) = (receipt.block_number, receipt.block_hash) else { return Ok(()) };
        let tx = receipt.transaction_hash;
        let spent = effect.txs.iter().map(|tx| tx.nonce + 1).max().unwrap_or(0);
        self.memory.floor = self.memory.floor.max(spent);
        if effect.cancelled && self.is_void(effect, tx) {
            tracing::info!(effect = %key, %tx, "cancelled: its nonce is used up");
            return Ok(self.store.unsend(key, "cancelled".to_owned()).await?);
        }
        if receipt.status() {
            tracing::info!(effect = %key, %tx, block = number, "mined");
            return Ok(self.store.mined(key, Some(Landed { block: BlockRef { number, hash }, tx })).await?);
        }
        // The state changed between dry run and block; the next dry run tells whether anything is left to do.
        tracing::warn!(effect = %key, %tx, block = number, "reverted");
        Ok(self.store.unsend(key, format!("transaction {tx} reverted")).await?)
    }

    fn is_lost(&mut self, effect: &InFlight, next: u64) -> bool {
        if effect.txs.iter().all(|tx| tx.nonce >= next) {
            self.memory.missing.remove(&effect.key);
            return false;
        }
        let missing = self.memory.missing.entry(effect.key.clone()).or_default();
        *missing += 1;
        *missing >= LOST_AFTER && self.memory.missing.remove(&effect.key).is_some()
    }
}
