// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The chain's own time: the clock's, shifted as tests ask.

use crate::{config::Clock, error::RpcError};

/// How the timestamp of the next block is chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Time {
    /// Seconds by which the chain is ahead of its clock (behind, when negative).
    offset: i64,
    /// Exactly this for the next block.
    next: Option<u64>,
    /// This long after the parent, whatever the clock says.
    interval: Option<u64>,
}

impl Time {
    /// The timestamp that a block on `parent` would have now.
    pub(crate) fn preview(&self, clock: &Clock, parent: u64) -> u64 {
        let least = parent.saturating_add(1);
        match (self.next, self.interval) {
            (Some(next), _) => next.max(least),
            (None, Some(interval)) => parent.saturating_add(interval.max(1)),
            (None, None) => self.now(clock).max(least),
        }
    }

    /// The timestamp of a block that is being made on `parent`.
    pub(crate) fn advance(&mut self, clock: &Clock, parent: u64) -> u64 {
        let timestamp = self.preview(clock, parent);
        if self.next.take().is_some() {
            // Time goes on from the moment that was set.
            self.offset = difference(timestamp, clock());
        }
        timestamp
    }

    /// The chain's present.
    pub(crate) fn now(&self, clock: &Clock) -> u64 {
        clock().saturating_add_signed(self.offset)
    }

    /// Moves the chain's present forward; answers the whole offset.
    pub(crate) fn increase(&mut self, seconds: u64) -> i64 {
        self.offset = self.offset.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
        self.offset
    }

    /// Makes `timestamp` the chain's present.
    pub(crate) fn set(&mut self, clock: &Clock, timestamp: u64) -> i64 {
        self.offset = difference(timestamp, clock());
        self.offset
    }

    /// Sets the timestamp of the next block on `parent`.
    pub(crate) fn set_next(&mut self, parent: u64, timestamp: u64) -> Result<(), RpcError> {
        if timestamp <= parent {
            return Err(RpcError::params(format!(
                "timestamp {timestamp} is not later than the head's, which is {parent}"
            )));
        }
        self.next = Some(timestamp);
        Ok(())
    }

    /// Fixes the distance between blocks, or frees it.
    pub(crate) fn set_interval(&mut self, seconds: Option<u64>) {
        self.interval = seconds;
    }
}

fn difference(later: u64, earlier: u64) -> i64 {
    let clamp = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    clamp(later).saturating_sub(clamp(earlier))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn clock() -> Clock {
        Arc::new(|| 1_000)
    }

    #[test]
    fn time_never_stands_still_when_the_clock_does() {
        let mut time = Time::default();
        assert_eq!(time.advance(&clock(), 900), 1_000);
        assert_eq!(time.advance(&clock(), 1_000), 1_001);
    }

    #[test]
    fn time_goes_on_from_a_moment_that_was_set() {
        let mut time = Time::default();
        time.set_next(1_000, 5_000).unwrap();
        assert_eq!(time.preview(&clock(), 1_000), 5_000);
        assert_eq!(time.advance(&clock(), 1_000), 5_000);
        assert_eq!(time.now(&clock()), 5_000);
        assert_eq!(time.increase(10), 4_010);
        assert_eq!(time.advance(&clock(), 5_000), 5_010);
        assert!(time.set_next(5_010, 5_010).is_err());
    }

    #[test]
    fn time_saturates_when_pushed_to_the_end() {
        let mut time = Time::default();
        time.increase(u64::MAX);
        time.increase(u64::MAX);
        assert_eq!(time.preview(&clock(), u64::MAX), u64::MAX);
    }
}
