// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How fast one endpoint may be asked.
//!
//! alloy's `ThrottleLayer` counts a batch as one request, while providers count (and charge) each call in it, and it reads
//! a clock that no test can stop; tower's `RateLimit` cannot be cloned, as a transport must be. So this is our own.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What may be asked at once after a rest: a second's worth.
const BURST: Duration = Duration::from_secs(1);

/// Spaces requests evenly, after a burst of one second's worth (the generic cell rate algorithm).
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When the next request would be due if all were spaced evenly.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { interval: BURST / per_second.get(), next: Mutex::new(None) }
    }

    /// Waits until `calls` more may be made.
    pub(super) async fn take(&self, calls: u32) {
        tokio::time::sleep_until(self.reserve(calls, Instant::now())).await;
    }

    fn reserve(&self, calls: u32, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next.unwrap_or(now).max(now) + self.interval.saturating_mul(calls);
        *next = Some(due);
        due.checked_sub(BURST).map_or(now, |start| start.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pace_lets_a_second_s_worth_pass_and_spaces_the_rest() {
        let pace = Pace::new(NonZeroU32::new(10).unwrap());
        let start = Instant::now();
        for _ in 0..10 {
            pace.take(1).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            pace.take(1).await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn pace_counts_every_call_of_a_batch() {
        let pace = Pace::new(NonZeroU32::new(10).unwrap());
        let start = Instant::now();
        pace.take(30).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
