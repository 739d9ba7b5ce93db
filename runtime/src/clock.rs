// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Time: wall clock for what the chain and certificates say, monotonic for leases and timeouts.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::{BoxFuture, FutureExt};
use tokio::{sync::watch, time::Instant};

/// A source of time.
pub trait Clock: Send + Sync + Debug {
    /// Seconds since the Unix epoch.
    fn unix(&self) -> u64;

    /// Time since the Unix epoch, as finely as the clock has it.
    fn unix_time(&self) -> Duration {
        Duration::from_secs(self.unix())
    }

    /// Time since some fixed moment of this run; never goes back.
    fn monotonic(&self) -> Duration;

    /// Completes when `monotonic` has advanced by `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// `future`, unless `limit` passes first.
pub async fn within<F: Future>(clock: &dyn Clock, limit: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = clock.sleep(limit) => None,
    }
}

/// The system's time. Monotonic time and sleeping follow tokio's clock, so a paused runtime pauses them too.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now. Needs no runtime.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn unix(&self) -> u64 {
        self.unix_time().as_secs()
    }

    fn unix_time(&self) -> Duration {
        // A system clock before 1970 reads as 0, at which every certificate and quote is invalid: fails closed.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    unix_at_start: AtomicU64,
    elapsed: watch::Sender<Duration>,
}

impl ManualClock {
    /// A clock that shows `unix` seconds and monotonic zero.
    pub fn new(unix: u64) -> Self {
        Self { unix_at_start: AtomicU64::new(unix), elapsed: watch::Sender::new(Duration::ZERO) }
    }

    /// Moves both clocks forward and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        self.elapsed.send_modify(|t| *t = t.saturating_add(by));
    }

    /// Lets the wall clock jump, as NTP or an attacker may, without touching monotonic time.
    pub fn set_unix(&self, unix: u64) {
        let start = unix.saturating_sub(self.monotonic().as_secs());
        self.unix_at_start.store(start, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix(&self) -> u64 {
        self.unix_time().as_secs()
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(self.unix_at_start.load(Ordering::SeqCst)).saturating_add(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        *self.elapsed.borrow()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let deadline = self.monotonic().saturating_add(duration);
        let mut elapsed = self.elapsed.subscribe();
        async move {
            if elapsed.wait_for(|now| *now >= deadline).await.is_err() {
                // The clock is gone, so this moment never comes.
                futures::future::pending::<()>().await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn manual_clock_wakes_sleepers_when_it_reaches_them() {
        let clock = ManualClock::new(100);
        let early = tokio::spawn(clock.sleep(Duration::from_secs(5)));
        let late = clock.sleep(Duration::from_secs(6));
        clock.advance(Duration::from_secs(5));
        early.await.unwrap();
        assert!(late.now_or_never().is_none());
        assert_eq!(clock.unix(), 105);
    }

    #[test]
    fn manual_clock_jump_leaves_monotonic_time_alone() {
        let clock = ManualClock::new(100);
        clock.advance(Duration::from_secs(7));
        clock.set_unix(1_000);
        assert_eq!((clock.unix(), clock.monotonic()), (1_000, Duration::from_secs(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn system_clock_follows_paused_tokio_time() {
        let clock = SystemClock::new();
        clock.sleep(Duration::from_secs(3_600)).await;
        assert!(clock.monotonic() >= Duration::from_secs(3_600));
    }
}
