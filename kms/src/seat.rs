// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether this node is one of the committee's: until when `KmsCommittee` says that its attestation runs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// As the newest finalised block has it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Seat(Arc<AtomicU64>);

impl Seat {
    /// Takes note of when the attestation ends, block time.
    pub fn set(&self, until: u64) {
        self.0.store(until, Ordering::Relaxed);
    }

    /// When the attestation ends, block time; 0 when the node has none, or has not looked yet.
    pub fn until(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether it runs at `time`, and else why nothing is released.
    ///
    /// # Errors
    /// In words, for whoever asks.
    pub fn check(&self, time: u64) -> Result<(), String> {
        match self.until() {
            0 => Err("this node is not attested as one of the committee's".to_owned()),
            until if time < until => Ok(()),
            until => Err(format!("this node's attestation ended at {until}, the head is at {time}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seat_is_none_until_the_chain_says_so_and_ends_with_its_time() {
        let seat = Seat::default();
        assert!(seat.check(0).is_err());
        seat.set(10);
        assert_eq!(seat.clone().check(9), Ok(()));
        assert!(seat.check(10).is_err());
    }
}
