// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `[chain]`: the endpoints, how many of them must agree, and how the chain is followed.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use mandate_runtime::config::{Problems, Secret, duration};
use serde::Deserialize;

/// The receipts of a full block must fit into an answer; this is far below that, and above all else that is asked.
const MIN_ANSWER: usize = 1 << 20;

/// The endpoints and how they are followed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// JSON-RPC endpoints of independent operators.
    pub endpoints: Vec<EndpointConfig>,
    /// How many of them must agree on the chain id and on finality. More than half when left out.
    pub quorum: Option<usize>,
    /// How often an endpoint is asked for its head while it does not tell by itself.
    #[serde(default = "default_poll", with = "duration")]
    pub poll: Duration,
    /// A subscription that said nothing for this long is dead: the endpoint is polled, and subscribed to anew.
    #[serde(default = "default_silence", with = "duration")]
    pub silent_after: Duration,
    /// The longest that an endpoint may take for one answer.
    #[serde(default = "default_timeout", with = "duration")]
    pub request_timeout: Duration,
    /// The longest answer that is read, in bytes: of one that goes on, no more is read, and another endpoint is asked.
    #[serde(default = "default_max_answer")]
    pub max_answer: usize,
    /// The deepest reorganisation that is followed, in blocks.
    #[serde(default = "default_window")]
    pub reorg_window: u64,
    /// Blocks per request while catching up, at most; halved whenever an endpoint refuses.
    #[serde(default = "default_range")]
    pub max_range: u64,
    /// The newest header may be this old before `/healthz` complains.
    #[serde(default = "default_stall", with = "duration")]
    pub stall_after: Duration,
}

/// One endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// `http(s)://` is polled, `ws(s)://` is subscribed to as well. May hold an access token, so it is never shown.
    pub url: Secret,
    /// What logs and metrics call it. `endpoint-1`, `endpoint-2`, … when left out.
    pub name: Option<String>,
    /// The most that it is asked; without it, as much as there is to ask.
    pub requests_per_second: Option<NonZeroU32>,
}

impl EndpointConfig {
    /// The defaults for a URL.
    pub fn new(url: &str) -> Self {
        Self { url: Secret::new(url.to_owned()), name: None, requests_per_second: None }
    }
}

fn default_poll() -> Duration {
    Duration::from_secs(1)
}

fn default_silence() -> Duration {
    Duration::from_secs(60)
}

fn default_timeout() -> Duration {
    Duration::from_secs(5)
}

fn default_max_answer() -> usize {
    64 << 20
}

fn default_window() -> u64 {
    1_024
}

fn default_range() -> u64 {
    5_000
}

fn default_stall() -> Duration {
    Duration::from_secs(120)
}

impl ChainConfig {
    /// The defaults for one endpoint.
    pub fn new(url: &str) -> Self {
        Self::with_endpoints([url])
    }

    /// The defaults for some endpoints.
    pub fn with_endpoints<'a>(urls: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            endpoints: urls.into_iter().map(EndpointConfig::new).collect(),
            quorum: None,
            poll: default_poll(),
            silent_after: default_silence(),
            request_timeout: default_timeout(),
            max_answer: default_max_answer(),
            reorg_window: default_window(),
            max_range: default_range(),
            stall_after: default_stall(),
        }
    }

    /// How many endpoints must agree.
    pub fn quorum(&self) -> usize {
        self.quorum.unwrap_or(self.endpoints.len() / 2 + 1)
    }

    /// What the endpoint at `index` is called.
    pub fn name(&self, index: usize) -> String {
        let named = self.endpoints.get(index).and_then(|endpoint| endpoint.name.clone());
        named.unwrap_or_else(|| format!("endpoint-{}", index + 1))
    }

    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.require(!self.endpoints.is_empty(), "chain.endpoints", "name at least one");
        let mut names = BTreeSet::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let url = endpoint.url.expose();
            let known =
                ["http://", "https://", "ws://", "wss://"].iter().any(|scheme| url.starts_with(scheme));
            let at = format!("chain.endpoints[{index}]");
            problems.require(known, format!("{at}.url"), "must be an http, https, ws or wss URL");
            let name = self.name(index);
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let shown = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
            problems.require(shown, format!("{at}.name"), "must be 1 to 64 letters, digits, `-`, `_` or `.`");
            problems.require(names.insert(name), format!("{at}.name"), "must differ from the others");
        }
        let possible = (1..=self.endpoints.len().max(1)).contains(&self.quorum());
        problems.require(possible, "chain.quorum", "must be 1 to the number of endpoints");
        for (path, time) in [
            ("chain.poll", self.poll),
            ("chain.silent_after", self.silent_after),
            ("chain.request_timeout", self.request_timeout),
        ] {
            problems.require(!time.is_zero(), path, "must be above 0");
        }
        let fits = self.max_answer >= MIN_ANSWER;
        problems.require(fits, "chain.max_answer", format!("must be at least {MIN_ANSWER}"));
        problems.require(self.reorg_window > 0, "chain.reorg_window", "must be above 0");
        problems.require(self.max_range > 0, "chain.max_range", "must be above 0");
    }
}
