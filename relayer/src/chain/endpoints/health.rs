// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How well one endpoint works: a score to choose by, a circuit that spares it while it does not answer, and a time in
//! which nobody follows its head because it was caught in a lie.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::rpc::types::Header;
use mandate_runtime::{Clock, Entropy};

use super::refusal::Meaning;
use crate::{metrics, retry::Retry};

/// Failures in a row after which the circuit opens.
const FAILURES: u32 = 4;
/// How long it stays open: at most as long as a relayer may stand still when all endpoints come back at once.
const REST: Retry = Retry { first: Duration::from_secs(1), most: Duration::from_secs(15) };
/// How much one answer moves the averages.
const WEIGHT: f64 = 0.1;
/// The latency that halves the part of the score that latency has.
const SLOW: f64 = 0.25;
/// How long an endpoint's head is not followed after it contradicted what is final.
const DISTRUST: Duration = Duration::from_secs(600);

/// What is known of one endpoint.
#[derive(Debug)]
pub(crate) struct Health {
    name: String,
    /// Alone, there is nobody to ask instead: the circuit never opens.
    alone: bool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    opened: u32,
    open_until: Option<Duration>,
    success: Option<f64>,
    latency: Option<f64>,
    distrusted_until: Option<Duration>,
    wrong_chain: Option<u64>,
    tip: Option<Header>,
}

impl Health {
    pub(super) fn new(name: String, alone: bool, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { name, alone, clock, entropy, state: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may be asked now. Once the rest is over, one request finds out whether it works again.
    pub(super) fn admits(&self) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.state();
        match state.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                // Whoever comes next waits for the outcome of this one.
                state.open_until = Some(now.saturating_add(REST.first));
                true
            }
            None => true,
        }
    }

    /// Notes an answer, or none.
    pub(super) fn note(&self, method: &str, took: Duration, outcome: Result<(), Meaning>) {
        let word = match outcome {
            Ok(()) => "ok",
            Err(Meaning::TooOften) => "limited",
            Err(Meaning::Unreachable) => "failed",
            Err(_) => "refused",
        };
        metrics::ENDPOINT_REQUESTS.add(1, [&self.name, method, word]);
        metrics::ENDPOINT_SECONDS.record(took, [&self.name]);
        match word {
            "limited" | "failed" => self.failed(word == "failed"),
            _ => self.succeeded(took),
        }
    }

    fn succeeded(&self, took: Duration) {
        let mut state = self.state();
        (state.failures, state.opened, state.open_until) = (0, 0, None);
        state.success = Some(moved(state.success, 1.0));
        state.latency = Some(moved(state.latency, took.as_secs_f64()));
        drop(state);
        metrics::ENDPOINT_UP.set(1.0, [&self.name]);
    }

    /// An endpoint that says "not so often" is up; it only counts for less.
    fn failed(&self, down: bool) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.success = Some(moved(state.success, 0.0));
        if !down {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES || self.alone {
            return;
        }
        state.open_until = Some(now + REST.delay(state.opened, &*self.entropy));
        state.opened = state.opened.saturating_add(1);
        let first = state.opened == 1;
        drop(state);
        if first {
            tracing::warn!(endpoint = %self.name, "does not answer; the others are asked instead");
        }
        metrics::ENDPOINT_UP.set(0.0, [&self.name]);
    }

    /// From 0 to 1, in tenths so that small differences do not make everybody change endpoints.
    pub(super) fn score(&self) -> u32 {
        let state = self.state();
        if state.wrong_chain.is_some() {
            return 0;
        }
        let quick = 1.0 / (1.0 + state.latency.unwrap_or(0.0) / SLOW);
        let score = 0.7 * state.success.unwrap_or(1.0) + 0.3 * quick;
        let open = state.open_until.is_some_and(|until| self.clock.monotonic() < until);
        if open { 0 } else { 1 + (score * 10.0).round() as u32 }
    }

    /// Its head is not followed for a while.
    pub(crate) fn distrust(&self, why: &str) {
        tracing::error!(endpoint = %self.name, why, "contradicts what is known; its head is not followed for a while");
        metrics::ENDPOINT_LIES.add(1, [&self.name]);
        // There is nobody to follow instead of one that is alone; a latch is what holds grants then.
        if !self.alone {
            self.state().distrusted_until = Some(self.clock.monotonic().saturating_add(DISTRUST));
        }
    }

    pub(super) fn forgive(&self) {
        self.state().distrusted_until = None;
    }

    pub(crate) fn is_trusted(&self) -> bool {
        let now = self.clock.monotonic();
        let state = self.state();
        state.wrong_chain.is_none() && state.distrusted_until.is_none_or(|until| until <= now)
    }

    pub(super) fn set_wrong_chain(&self, found: Option<u64>) {
        self.state().wrong_chain = found;
    }

    pub(crate) fn wrong_chain(&self) -> Option<u64> {
        self.state().wrong_chain
    }

    /// The newest header that it showed. Tells whether it is another one than before.
    pub(super) fn set_tip(&self, header: Header) -> bool {
        let mut state = self.state();
        let new = state.tip.as_ref().is_none_or(|tip| tip.hash != header.hash);
        state.tip = Some(header);
        new
    }

    pub(super) fn tip(&self) -> Option<Header> {
        self.state().tip.clone()
    }
}

fn moved(average: Option<f64>, value: f64) -> f64 {
    average.map_or(value, |old| old + WEIGHT * (value - old))
}

#[cfg(test)]
mod tests {
    use mandate_runtime::{clock::ManualClock, entropy::SeededEntropy};

    use super::*;

    fn health(alone: bool) -> (Health, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(0));
        let entropy = Arc::new(SeededEntropy::from_u64(1));
        (Health::new("a".to_owned(), alone, Arc::clone(&clock) as _, entropy), clock)
    }

    fn fails(health: &Health, times: u32) {
        for _ in 0..times {
            health.note("eth_chainId", Duration::ZERO, Err(Meaning::Unreachable));
        }
    }

    #[test]
    fn circuit_opens_after_failures_in_a_row_and_lets_one_request_try() {
        let (health, clock) = health(false);
        fails(&health, FAILURES - 1);
        assert!(health.admits() && health.score() > 0);
        fails(&health, 1);
        assert!(!health.admits());
        assert_eq!(health.score(), 0);
        clock.advance(REST.first);
        assert!(health.admits(), "one may try");
        assert!(!health.admits(), "and only one");
        health.note("eth_chainId", Duration::ZERO, Ok(()));
        assert!(health.admits() && health.admits());
    }

    #[test]
    fn circuit_rests_longer_each_time_and_never_longer_than_its_bound() {
        let (health, clock) = health(false);
        fails(&health, FAILURES);
        for _ in 0..10 {
            clock.advance(REST.most);
            assert!(health.admits());
            fails(&health, 1);
            assert!(!health.admits());
        }
    }

    #[test]
    fn endpoint_that_is_alone_is_asked_however_often_it_fails() {
        let (health, _) = health(true);
        fails(&health, 100);
        assert!(health.admits());
    }

    #[test]
    fn refusals_and_rate_limits_do_not_open_the_circuit() {
        let (health, _) = health(false);
        for _ in 0..20 {
            health.note("eth_getLogs", Duration::ZERO, Err(Meaning::TooOften));
            health.note("eth_getLogs", Duration::ZERO, Err(Meaning::TooMuch));
        }
        assert!(health.admits());
    }

    #[test]
    fn failing_and_slow_endpoints_score_less() {
        let (good, _) = health(false);
        let (slow, _) = health(false);
        let (flaky, _) = health(false);
        for n in 0..50 {
            good.note("m", Duration::from_millis(5), Ok(()));
            slow.note("m", Duration::from_secs(2), Ok(()));
            flaky.note("m", Duration::ZERO, if n % 2 == 0 { Ok(()) } else { Err(Meaning::Unreachable) });
        }
        assert!(good.score() > slow.score() && good.score() > flaky.score());
    }

    #[test]
    fn g5_distrust_ends_by_time_and_a_wrong_chain_does_not() {
        let (health, clock) = health(false);
        health.distrust("test");
        assert!(!health.is_trusted());
        clock.advance(DISTRUST);
        assert!(health.is_trusted());
        health.set_wrong_chain(Some(5));
        clock.advance(DISTRUST);
        assert!(!health.is_trusted());
        assert_eq!(health.score(), 0);
    }
}
