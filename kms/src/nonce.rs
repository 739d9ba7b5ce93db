// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nonces that the node gave out: each may be spent once, within its time, in this run.
//!
//! They live in memory only. A restart forgets them, so nothing that was bound to one before can be spent after.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use alloy::primitives::B256;
use thiserror::Error;

/// Why a nonce cannot be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NonceError {
    /// Never given out by this run of this node, spent before, or forgotten after its time.
    #[error("nonce is unknown, spent or expired: ask this node for a new one")]
    Unknown,
    /// Its time is over.
    #[error("nonce has expired: ask this node for a new one")]
    Expired,
}

/// No more nonces can be held just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NonceFull {
    /// One peer holds too many.
    #[error("this peer holds {0} unspent nonces already: spend them or let them expire")]
    Peer(usize),
    /// All peers together do.
    #[error("{0} unspent nonces are out already: try again later")]
    All(usize),
}

/// Limits of a [`NonceTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceLimits {
    /// How long a nonce can be spent.
    pub ttl: Duration,
    /// How many can be out at once.
    pub capacity: usize,
    /// How many can be out at once to one peer.
    pub per_peer: usize,
}

/// Unspent nonces. Times are monotonic.
#[derive(Debug)]
pub struct NonceTable {
    limits: NonceLimits,
    unspent: HashMap<B256, (Duration, String)>,
    by_age: VecDeque<(Duration, B256)>,
    per_peer: HashMap<String, usize>,
}

impl NonceTable {
    /// An empty table.
    pub fn new(limits: NonceLimits) -> Self {
        Self { limits, unspent: HashMap::new(), by_age: VecDeque::new(), per_peer: HashMap::new() }
    }

    /// Remembers `nonce`, fresh random bytes, as given to `peer` at `now`.
    pub fn issue(&mut self, nonce: B256, peer: &str, now: Duration) -> Result<(), NonceFull> {
        self.forget_expired(now);
        let held = self.per_peer.get(peer).copied().unwrap_or(0);
        if held >= self.limits.per_peer {
            return Err(NonceFull::Peer(held));
        }
        if self.by_age.len() >= self.limits.capacity {
            return Err(NonceFull::All(self.by_age.len()));
        }
        let expires = now.saturating_add(self.limits.ttl);
        self.unspent.insert(nonce, (expires, peer.to_owned()));
        self.by_age.push_back((expires, nonce));
        self.per_peer.insert(peer.to_owned(), held + 1);
        Ok(())
    }

    /// Spends `nonce`: it succeeds at most once.
    pub fn spend(&mut self, nonce: &B256, now: Duration) -> Result<(), NonceError> {
        let (expires, peer) = self.unspent.remove(nonce).ok_or(NonceError::Unknown)?;
        self.release_peer(&peer);
        if now >= expires {
            return Err(NonceError::Expired);
        }
        Ok(())
    }

    /// Nonces that could still be spent at `now`.
    pub fn len(&mut self, now: Duration) -> usize {
        self.forget_expired(now);
        self.unspent.len()
    }

    fn forget_expired(&mut self, now: Duration) {
        while let Some((expires, nonce)) = self.by_age.front().copied() {
            // Spent nonces leave the queue with their time or when they come to its front, whichever is first.
            if expires > now && self.unspent.contains_key(&nonce) {
                break;
            }
            self.by_age.pop_front();
            if let Some((_, peer)) = self.unspent.remove(&nonce) {
                self.release_peer(&peer);
            }
        }
    }

    fn release_peer(&mut self, peer: &str) {
        if let Some(held) = self.per_peer.get_mut(peer) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.per_peer.remove(peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn table() -> NonceTable {
        NonceTable::new(NonceLimits { ttl: 10 * SECOND, capacity: 4, per_peer: 2 })
    }

    fn nonce(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    #[test]
    fn nonce_is_spent_once() {
        let mut t = table();
        t.issue(nonce(1), "a", Duration::ZERO).unwrap();
        assert_eq!(t.spend(&nonce(1), SECOND), Ok(()));
        assert_eq!(t.spend(&nonce(1), SECOND), Err(NonceError::Unknown));
    }

    #[test]
    fn nonce_of_somebody_else_is_unknown() {
        assert_eq!(table().spend(&nonce(1), SECOND), Err(NonceError::Unknown));
    }

    #[test]
    fn nonce_expires_and_does_not_come_back() {
        let mut t = table();
        t.issue(nonce(1), "a", Duration::ZERO).unwrap();
        assert_eq!(t.spend(&nonce(1), 10 * SECOND), Err(NonceError::Expired));
        assert_eq!(t.spend(&nonce(1), SECOND), Err(NonceError::Unknown));
    }

    #[test]
    fn table_is_bounded_per_peer_and_in_all() {
        let mut t = table();
        t.issue(nonce(1), "a", Duration::ZERO).unwrap();
        t.issue(nonce(2), "a", Duration::ZERO).unwrap();
        assert_eq!(t.issue(nonce(3), "a", Duration::ZERO), Err(NonceFull::Peer(2)));
        t.issue(nonce(3), "b", Duration::ZERO).unwrap();
        t.issue(nonce(4), "c", Duration::ZERO).unwrap();
        assert_eq!(t.issue(nonce(5), "d", Duration::ZERO), Err(NonceFull::All(4)));
        t.issue(nonce(5), "a", 10 * SECOND).unwrap();
        assert_eq!(t.len(10 * SECOND), 1);
    }

    #[test]
    fn spending_makes_room() {
        let mut t = table();
        for n in 0..100 {
            t.issue(nonce(n), "a", Duration::ZERO).unwrap();
            t.spend(&nonce(n), Duration::ZERO).unwrap();
        }
        assert_eq!(t.len(Duration::ZERO), 0);
    }

    #[test]
    fn spent_nonces_behind_an_unspent_one_still_count_against_the_bound() {
        let mut t = table();
        t.issue(nonce(0), "first", Duration::ZERO).unwrap();
        for n in 1..4 {
            t.issue(nonce(n), "a", Duration::ZERO).unwrap();
            t.spend(&nonce(n), Duration::ZERO).unwrap();
        }
        assert_eq!(t.issue(nonce(9), "a", Duration::ZERO), Err(NonceFull::All(4)));
    }
}
