// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nonces that nothing of ours has, below some that we sent: nothing behind them is mined before they are used. The next
//! transaction takes the lowest; where there is none to send, an empty one to ourselves does.

use std::collections::{BTreeSet, HashMap};

use super::{SendError, Sender};
use crate::{
    effects::{Effect, NewEffect},
    store::{InFlight, Queued},
};

/// Ticks for which a gap must be there: an endpoint that lags shows gaps that are none.
const PATIENCE: u32 = 5;
/// Gaps that are filled at a time.
const MOST: usize = 16;

/// The nonces of an account, as far as they matter to the next transaction.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    next: u64,
    used: BTreeSet<u64>,
}

impl Nonces {
    /// The chain's next nonce is `next`; these are in flight.
    pub(super) fn new(next: u64, in_flight: &[InFlight]) -> Self {
        let used = in_flight.iter().flat_map(|effect| &effect.txs).map(|tx| tx.nonce).collect();
        Self { next, used }
    }

    /// The lowest that is free.
    pub(super) fn free(&self) -> u64 {
        (self.next..).find(|nonce| !self.used.contains(nonce)).unwrap_or(u64::MAX)
    }

    /// Takes one.
    pub(super) fn take(&mut self, nonce: u64) {
        self.used.insert(nonce);
    }

    /// Free ones below some that is in flight.
    pub(super) fn gaps(&self) -> Vec<u64> {
        let end = self.used.last().copied().unwrap_or(0);
        (self.next..end).filter(|nonce| !self.used.contains(nonce)).take(MOST).collect()
    }
}

/// For how many ticks each gap was there.
#[derive(Debug, Default)]
pub(super) struct Gaps(HashMap<u64, u32>);

impl Gaps {
    /// Notes what is there now; gives those that have been there long enough.
    fn see(&mut self, now: &[u64]) -> Vec<u64> {
        self.0.retain(|nonce, _| now.contains(nonce));
        let mut old = Vec::new();
        for nonce in now {
            let ticks = self.0.entry(*nonce).or_default();
            *ticks += 1;
            if *ticks == PATIENCE {
                old.push(*nonce);
            }
        }
        old
    }
}

impl Sender {
    /// What the chain says is next, unless an endpoint that lags says it.
    pub(super) fn at_least_floor(&mut self, next: u64) -> u64 {
        let memory = &mut self.memory;
        memory.below_floor = if next < memory.floor { memory.below_floor + 1 } else { 0 };
        if memory.below_floor > 4 * PATIENCE {
            (memory.floor, memory.below_floor) = (next, 0);
        }
        next.max(memory.floor)
    }

    /// Has gaps filled that nothing else will fill.
    pub(super) async fn fill_gaps(&mut self, nonces: &Nonces) -> Result<(), SendError> {
        let old = self.memory.gaps.see(&nonces.gaps());
        if old.is_empty() {
            return Ok(());
        }
        tracing::warn!(nonces = ?old, "nothing has these nonces, and what is behind them waits: using them up");
        metrics::counter!("mandate_relayer_nonce_gaps_total").increment(old.len() as u64);
        let fill = |nonce| NewEffect::of_gap(&self.contracts, self.address(), nonce);
        Ok(self.store.enqueue(old.into_iter().map(fill).collect()).await?)
    }

    /// Whether `queued` fills a gap that is closed by now, or another account's.
    pub(super) fn is_filled(&self, queued: &Queued, nonce: u64) -> bool {
        matches!(queued.effect, Effect::FillGap { signer, nonce: gap } if signer != self.address() || nonce > gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(next: u64, used: &[u64]) -> Nonces {
        Nonces { next, used: used.iter().copied().collect() }
    }

    #[test]
    fn the_lowest_free_nonce_is_taken_and_gaps_are_those_below_another() {
        let mut some = nonces(3, &[1, 4, 6]);
        assert_eq!((some.free(), some.gaps()), (3, vec![3, 5]));
        some.take(3);
        assert_eq!((some.free(), some.gaps()), (5, vec![5]));
        some.take(5);
        assert_eq!((some.free(), some.gaps()), (7, Vec::new()));
        assert_eq!((nonces(9, &[]).free(), nonces(9, &[]).gaps()), (9, Vec::new()));
        assert_eq!(nonces(9, &[2, 3]).free(), 9, "what the chain has used is used");
    }

    #[test]
    fn a_gap_is_believed_when_it_has_been_there_for_a_while_and_told_once() {
        let mut gaps = Gaps::default();
        for _ in 1..PATIENCE {
            assert!(gaps.see(&[5]).is_empty());
        }
        assert_eq!(gaps.see(&[5, 6]), [5]);
        assert!(gaps.see(&[5, 6]).is_empty());
        assert!(gaps.see(&[]).is_empty());
        assert!(gaps.see(&[5]).is_empty(), "it counts anew");
    }
}
