// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The freshness lease: a verifier that is starved of blocks stops granting.
//!
//! A node publishes random nonces through any relayer. A finalised block that holds one of them was made after the nonce
//! was. So the lease runs from the moment at which the newest nonce seen on chain was *published*: however long somebody
//! held a block back, what is granted on is never older than the lease.

use std::{collections::VecDeque, time::Duration};

use alloy::primitives::B256;

/// Nonces that are remembered until they are seen.
const MAX_PENDING: usize = 64;

/// A lease on the node's own monotonic clock. Lives in memory only: after a restart nothing is fresh until a new nonce
/// was seen.
#[derive(Debug, Clone)]
pub struct Freshness {
    lease: Duration,
    pending: VecDeque<(B256, Duration)>,
    proven: Option<Duration>,
}

impl Freshness {
    /// A lease that nothing has started yet.
    pub fn new(lease: Duration) -> Self {
        Self { lease, pending: VecDeque::new(), proven: None }
    }

    /// How long one nonce keeps it running.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Notes that this node made `nonce` now and gave it to a relayer. `nonce` must be random.
    pub fn note_published(&mut self, nonce: B256, monotonic: Duration) {
        if self.pending.len() == MAX_PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back((nonce, monotonic));
    }

    /// Notes the nonce that a verified read at a finalised block gave. Whether it was one of ours, and new.
    pub fn observe_finalized(&mut self, nonce: B256, monotonic: Duration) -> bool {
        let Some(position) = self.pending.iter().position(|(n, _)| *n == nonce) else { return false };
        // The older ones are superseded: seen later, they would prove less.
        let Some((_, published)) = self.pending.drain(..=position).next_back() else { return false };
        self.proven = self.proven.max(Some(published.min(monotonic)));
        true
    }

    /// When the newest nonce that was seen at finality was published.
    pub fn proven(&self) -> Option<Duration> {
        self.proven
    }

    /// When the newest nonce was published, seen or not.
    pub fn last_published(&self) -> Option<Duration> {
        self.pending.back().map(|(_, at)| *at).max(self.proven)
    }

    /// Whether the lease runs.
    pub fn is_fresh(&self, monotonic: Duration) -> bool {
        self.proven.is_some_and(|at| monotonic.saturating_sub(at) <= self.lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn nonce(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    #[test]
    fn g6_nothing_is_fresh_before_a_nonce_was_seen() {
        let mut lease = Freshness::new(LEASE);
        assert!(!lease.is_fresh(at(0)));
        lease.note_published(nonce(1), at(0));
        assert!(!lease.is_fresh(at(1)));
        assert!(!lease.observe_finalized(nonce(9), at(1)));
        assert!(!lease.is_fresh(at(1)));
    }

    #[test]
    fn lease_runs_from_publication_when_the_block_was_held_back() {
        let mut lease = Freshness::new(LEASE);
        lease.note_published(nonce(1), at(10));
        assert!(lease.observe_finalized(nonce(1), at(35)));
        assert!(lease.is_fresh(at(40)));
        assert!(!lease.is_fresh(at(41)));
    }

    #[test]
    fn g6_replayed_nonce_does_not_extend_the_lease() {
        let mut lease = Freshness::new(LEASE);
        lease.note_published(nonce(1), at(0));
        lease.note_published(nonce(2), at(20));
        assert!(lease.observe_finalized(nonce(2), at(25)));
        assert!(!lease.observe_finalized(nonce(1), at(26)));
        assert!(!lease.observe_finalized(nonce(2), at(49)));
        assert!(lease.is_fresh(at(50)));
        assert!(!lease.is_fresh(at(51)));
    }

    #[test]
    fn pending_nonces_are_bounded() {
        let mut lease = Freshness::new(LEASE);
        for n in 0..=MAX_PENDING as u64 {
            lease.note_published(B256::with_last_byte(n as u8), at(n));
        }
        assert!(!lease.observe_finalized(B256::with_last_byte(0), at(70)));
        assert!(lease.observe_finalized(B256::with_last_byte(1), at(70)));
        assert_eq!(lease.last_published(), Some(at(MAX_PENDING as u64)));
    }
}
