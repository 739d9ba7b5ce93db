// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `[api]`: what the API takes from whom, and for how long.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use mandate_runtime::{
    Clock,
    config::{Problems, duration},
    http::{Caps, Rate, Rates, ServeOptions},
};
use serde::Deserialize;

/// The API's bounds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Requests of one address per second, in the long run. Of IPv6, a /64 counts as one address.
    pub requests_per_second: NonZeroU32,
    /// Requests of one address at once.
    pub request_burst: NonZeroU32,
    /// Witnesses that one address may have built per second, in the long run. Those that are kept do not count.
    pub builds_per_second: NonZeroU32,
    /// Witnesses that one address may have built at once.
    pub build_burst: NonZeroU32,
    /// Requests that are answered at a time; those that wait for letters among them.
    pub in_flight: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How long a client may take to send a request's head; also how long a connection may idle.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// How long a client may take to send a body.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long an answer may take to be made.
    #[serde(with = "duration")]
    pub answer_timeout: Duration,
    /// How long a client may take none of an answer.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// Witnesses that are built at a time.
    pub witness_concurrency: usize,
    /// How long one may take.
    #[serde(with = "duration")]
    pub witness_timeout: Duration,
    /// Witnesses that are kept, since all nodes ask the same.
    pub witness_cache: usize,
    /// How long running requests may take after the signal to stop.
    #[serde(with = "duration")]
    pub drain: Duration,
}

const fn number(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => NonZeroU32::MIN,
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            requests_per_second: number(1_000),
            request_burst: number(2_000),
            builds_per_second: number(50),
            build_burst: number(200),
            in_flight: 1_024,
            max_connections: 4_096,
            max_body: mandate_model::wire::MAX_BODY,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            witness_concurrency: 8,
            witness_timeout: Duration::from_secs(20),
            witness_cache: 256,
            drain: Duration::from_secs(5),
        }
    }
}

impl ApiConfig {
    pub(crate) fn caps(&self, clock: Arc<dyn Clock>) -> Caps {
        let rate = Rate { per_second: self.requests_per_second, burst: self.request_burst };
        Caps {
            rates: Rates::new(rate, clock),
            in_flight: self.in_flight,
            body: self.max_body,
            body_timeout: self.body_timeout,
            answer_timeout: self.answer_timeout,
        }
    }

    pub(crate) fn build_rate(&self) -> Rate {
        Rate { per_second: self.builds_per_second, burst: self.build_burst }
    }

    pub(crate) fn serve_options(&self) -> ServeOptions {
        ServeOptions {
            drain: self.drain,
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
            max_connections: self.max_connections,
            max_body: self.max_body,
        }
    }

    pub(super) fn validate(&self, max_wait: Duration, problems: &mut Problems) {
        for (path, n) in [
            ("api.in_flight", self.in_flight),
            ("api.max_connections", self.max_connections),
            ("api.max_body", self.max_body),
            ("api.witness_concurrency", self.witness_concurrency),
        ] {
            problems.require(n > 0, path, "must be above 0");
        }
        for (path, time) in [
            ("api.header_timeout", self.header_timeout),
            ("api.body_timeout", self.body_timeout),
            ("api.write_timeout", self.write_timeout),
            ("api.witness_timeout", self.witness_timeout),
        ] {
            problems.require(!time.is_zero(), path, "must be above 0");
        }
        let longest = max_wait.max(self.witness_timeout);
        let why = "must be above mailbox.max_wait and api.witness_timeout";
        problems.require(self.answer_timeout > longest, "api.answer_timeout", why);
    }
}
