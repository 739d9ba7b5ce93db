// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When to try again.

use std::time::Duration;

use mandate_runtime::{
    config::{Problems, duration},
    entropy::{self, Entropy},
};
use serde::Deserialize;

/// Exponential backoff with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Before the second attempt.
    #[serde(with = "duration")]
    pub first: Duration,
    /// At most.
    #[serde(with = "duration")]
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(60) }
    }
}

impl Retry {
    /// How long to wait after the attempt that followed `attempts` failed ones: between half and all of a time that
    /// doubles, so that many waiting for one target do not come at once.
    pub fn delay(&self, attempts: u32, entropy: &dyn Entropy) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(attempts.min(31)).unwrap_or(u32::MAX));
        let whole = doubled.min(self.most);
        let share = u32::from(u16::from_le_bytes(entropy::bytes(entropy)));
        whole / 2 + (whole / 2).saturating_mul(share) / u32::from(u16::MAX)
    }

    pub(crate) fn validate(&self, path: &str, problems: &mut Problems) {
        problems.require(!self.first.is_zero(), format!("{path}.first"), "must be above 0");
        problems.require(self.most >= self.first, format!("{path}.most"), "must not be below `first`");
    }
}

#[cfg(test)]
mod tests {
    use mandate_runtime::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn delay_doubles_up_to_the_most_and_is_jittered() {
        let retry = Retry { first: Duration::from_millis(100), most: Duration::from_secs(3) };
        let entropy = SeededEntropy::from_u64(1);
        for (attempts, whole) in [(0, 100), (1, 200), (4, 1_600), (5, 3_000), (40, 3_000), (u32::MAX, 3_000)]
        {
            let delay = retry.delay(attempts, &entropy).as_millis();
            assert!(delay >= whole / 2 && delay <= whole, "{attempts}: {delay}");
        }
        let distinct: std::collections::BTreeSet<_> = (0..10).map(|_| retry.delay(5, &entropy)).collect();
        assert!(distinct.len() > 5);
    }
}
