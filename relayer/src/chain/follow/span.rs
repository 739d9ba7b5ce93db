// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many blocks to ask for at a time, and how far catching up is.

use std::time::Duration;

use crate::metrics;

/// Ranges that must work before a size that was refused is tried again.
const TRY_AGAIN: u32 = 32;
/// How often progress is logged.
const REPORT: Duration = Duration::from_secs(5);

/// The size of ranges. Grows while it works; a refused size is kept clear of for a while, so that an endpoint with a fixed
/// cap does not refuse every other request.
#[derive(Debug)]
pub(super) struct Span {
    now: u64,
    most: u64,
    /// The smallest size that was refused lately.
    refused: Option<u64>,
    worked: u32,
}

impl Span {
    pub(super) fn new(most: u64) -> Self {
        Self { now: most, most, refused: None, worked: 0 }
    }

    pub(super) fn blocks(&self) -> u64 {
        self.now
    }

    pub(super) fn worked(&mut self) {
        self.worked = self.worked.saturating_add(1);
        if self.worked >= TRY_AGAIN {
            (self.worked, self.refused) = (0, None);
        }
        let doubled = self.now.saturating_mul(2).min(self.most);
        self.now = match self.refused {
            Some(refused) if doubled >= refused => self.now,
            _ => doubled,
        };
    }

    pub(super) fn refused(&mut self, size: u64) {
        self.worked = 0;
        self.refused = Some(size);
        self.now = (size / 2).max(1);
    }
}

/// Tells how far catching up is.
pub(super) struct Backfill {
    first: u64,
    last: u64,
    started: Duration,
    told: Duration,
}

impl Backfill {
    pub(super) fn new(first: u64, last: u64, now: Duration) -> Self {
        tracing::info!(from = first, to = last, "catching up");
        Self { first, last, started: now, told: now }
    }

    /// Everything below `next` is written.
    pub(super) fn advanced(&mut self, next: u64, range: u64, now: Duration) {
        let left = (self.last + 1).saturating_sub(next);
        let rate = rate(next.saturating_sub(self.first), now.saturating_sub(self.started));
        metrics::BACKFILL_LEFT.set(left as f64, []);
        metrics::BACKFILL_RATE.set(rate, []);
        metrics::BACKFILL_RANGE.set(range as f64, []);
        if now.saturating_sub(self.told) >= REPORT {
            self.told = now;
            let eta = if rate > 0.0 { left as f64 / rate } else { f64::INFINITY };
            tracing::info!(
                block = next - 1,
                left,
                blocks_per_second = rate.round(),
                seconds_left = eta.round(),
                range,
                "catching up"
            );
        }
    }
}

impl Drop for Backfill {
    fn drop(&mut self) {
        metrics::BACKFILL_RATE.set(0.0, []);
    }
}

fn rate(blocks: u64, time: Duration) -> f64 {
    blocks as f64 / time.as_secs_f64().max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_settles_below_a_fixed_cap_and_seldom_tries_it() {
        let mut span = Span::new(5_000);
        let (mut refusals, mut blocks) = (0, 0);
        for _ in 0..200 {
            match span.blocks() > 2_000 {
                true => {
                    refusals += 1;
                    span.refused(span.blocks());
                }
                false => {
                    blocks += span.blocks();
                    span.worked();
                }
            }
        }
        assert!(refusals <= 10, "{refusals}");
        assert!(blocks > 190 * 1_250, "{blocks}");
    }

    #[test]
    fn span_grows_back_once_the_crowded_blocks_are_passed() {
        let mut span = Span::new(1_000);
        for _ in 0..10 {
            span.refused(span.blocks());
        }
        assert_eq!(span.blocks(), 1);
        (0..2 * TRY_AGAIN).for_each(|_| span.worked());
        assert_eq!(span.blocks(), 1_000);
    }

    #[test]
    fn span_is_never_empty() {
        let mut span = Span::new(1);
        span.refused(1);
        assert_eq!(span.blocks(), 1);
    }
}
