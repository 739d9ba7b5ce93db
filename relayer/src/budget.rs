// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much each may have the relayer pay for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::Address;

const HOUR: Duration = Duration::from_secs(3_600);
/// Senders after which those of past hours are forgotten.
const MANY: usize = 4_096;

/// So many in an hour, to each sender. Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    per_hour: u32,
    /// Since when, and how many.
    counted: Arc<Mutex<HashMap<Address, (Duration, u32)>>>,
}

impl Budget {
    pub(crate) fn new(per_hour: u32) -> Self {
        Self { per_hour, counted: Arc::default() }
    }

    /// Takes one from `who`'s hour; false when none is left.
    pub(crate) fn spend(&self, who: Address, now: Duration) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= MANY {
            counted.retain(|_, (since, _)| now.saturating_sub(*since) < HOUR);
        }
        let (since, count) = counted.entry(who).or_insert((now, 0));
        if now.saturating_sub(*since) >= HOUR {
            (*since, *count) = (now, 0);
        }
        let left = *count < self.per_hour;
        *count += u32::from(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_each_senders_own_and_comes_back_after_an_hour() {
        let (budget, one, two) = (Budget::new(2), Address::repeat_byte(1), Address::repeat_byte(2));
        let spent = |who, now| budget.spend(who, Duration::from_secs(now));
        assert_eq!([spent(one, 0), spent(one, 1), spent(one, 2)], [true, true, false]);
        assert!(spent(two, 2));
        assert_eq!((spent(one, 3_599), spent(one, 3_600)), (false, true));
    }
}
