// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What becomes of an effect that the operator cancels after its transaction was sent: the nonce goes to an empty transaction
//! to ourselves, at a higher fee, since a nonce that is left out stops all that follow. Either of the two may be mined.

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::Decodable2718,
    primitives::{B256, Bytes},
};

use super::Sender;
use crate::{
    effects::{ContractCall, transaction},
    store::InFlight,
};

impl Sender {
    /// What the next transaction of this effect is to do.
    pub(super) fn call_of(&self, effect: &InFlight) -> Option<ContractCall> {
        match effect.cancelled {
            true => Some(ContractCall { to: self.address(), data: Bytes::new() }),
            false => transaction(&self.contracts, &effect.effect),
        }
    }

    /// Whether that transaction of the effect is the empty one.
    pub(super) fn is_void(&self, effect: &InFlight, hash: B256) -> bool {
        let signed = effect.txs.iter().find(|tx| tx.hash == hash);
        let envelope = signed.and_then(|tx| TxEnvelope::decode_2718(&mut tx.raw.as_ref()).ok());
        envelope.is_some_and(|tx| tx.to() == Some(self.address()) && tx.input().is_empty())
    }
}
