// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bounds within which clients are served. They may change while the gateway runs.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mandate_runtime::{
    config::{Problems, Validate, duration},
    http::Rate,
};
use serde::Deserialize;

/// How much, how many and how long.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long a client may take for its ClientHello, and again for the rest of the handshake.
    #[serde(with = "duration")]
    pub handshake_timeout: Duration,
    /// How long an instance may take to accept a connection and prove its key.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long nothing may move.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long connections may go on after the gateway was told to stop.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// Connections at a time; more wait in the socket's backlog.
    pub connections: usize,
    /// Connections at a time from one address (IPv6: from one /64).
    pub connections_per_address: usize,
    /// Connections at a time to one app.
    pub connections_per_app: usize,
    /// New connections a second from one address, on average.
    pub new_per_second: NonZeroU32,
    /// New connections at once from one address.
    pub new_at_once: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        const PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);
        const AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_023);
        Self {
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(30),
            connections: 8_192,
            connections_per_address: 1_024,
            connections_per_app: 4_096,
            new_per_second: PER_SECOND,
            new_at_once: AT_ONCE,
        }
    }
}

impl Limits {
    /// How often one address may connect.
    pub fn rate(&self) -> Rate {
        Rate { per_second: self.new_per_second, burst: self.new_at_once }
    }
}

impl Validate for Limits {
    fn validate(&self, problems: &mut Problems) {
        for (field, value) in [
            ("handshake_timeout", self.handshake_timeout),
            ("connect_timeout", self.connect_timeout),
            ("idle_timeout", self.idle_timeout),
        ] {
            problems.require(!value.is_zero(), format!("limits.{field}"), "must not be zero");
        }
        for (field, value) in [
            ("connections", self.connections),
            ("connections_per_address", self.connections_per_address),
            ("connections_per_app", self.connections_per_app),
        ] {
            problems.require(value > 0, format!("limits.{field}"), "must not be zero");
        }
    }
}

/// How many are there at the moment, by key.
pub(crate) struct Counts<K>(Arc<Mutex<HashMap<K, usize>>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash> fmt::Debug for Counts<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts").field("keys", &lock(&self.0).len()).finish()
    }
}

impl<K: Eq + Hash + Copy> Counts<K> {
    /// Counts one more under `key` for as long as the guard lives, unless there are `most` already.
    pub(crate) fn enter(&self, key: K, most: usize) -> Option<Counted<K>> {
        let mut counts = lock(&self.0);
        let count = counts.entry(key).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted { key, counts: Arc::clone(&self.0) })
    }
}

fn lock<K>(counts: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that is counted.
pub(crate) struct Counted<K: Eq + Hash> {
    key: K,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_count_and_none_is_remembered_at_zero() {
        let counts = Counts::default();
        let one = counts.enter("a", 2).unwrap();
        let two = counts.enter("a", 2).unwrap();
        assert!(counts.enter("a", 2).is_none());
        let other = counts.enter("b", 2).unwrap();
        drop(one);
        drop(counts.enter("a", 2).unwrap());
        drop((two, other));
        assert!(lock(&counts.0).is_empty());
    }
}
