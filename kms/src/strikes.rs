// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bounds what a peer can make the node do for nothing: a denial of a request without a nonce, or with evidence that is
//! none, leaves a receipt like any other, and a notice of a revocation that is not there costs several proofs.

use std::{collections::HashMap, time::Duration};

/// How long strikes count.
const WINDOW: Duration = Duration::from_secs(60);

/// Strikes within the window after which a peer is not listened to until its end.
pub(crate) const MAX_STRIKES: u32 = 60;

/// Peers that are remembered. With more the table starts anew: it bounds the disk, it does not punish.
const MAX_PEERS: usize = 16_384;

/// Strikes by peer. Times are monotonic.
#[derive(Debug, Default)]
pub(crate) struct Strikes(HashMap<String, (Duration, u32)>);

impl Strikes {
    /// Whether `peer` is still listened to.
    pub(crate) fn allows(&self, peer: &str, now: Duration) -> bool {
        self.0
            .get(peer)
            .is_none_or(|(since, count)| *count < MAX_STRIKES || now.saturating_sub(*since) >= WINDOW)
    }

    /// Notes that `peer` asked for nothing.
    pub(crate) fn add(&mut self, peer: &str, now: Duration) {
        if self.0.len() >= MAX_PEERS && !self.0.contains_key(peer) {
            self.0.retain(|_, (since, _)| now.saturating_sub(*since) < WINDOW);
            if self.0.len() >= MAX_PEERS {
                self.0.clear();
            }
        }
        let (since, count) = self.0.entry(peer.to_owned()).or_insert((now, 0));
        if now.saturating_sub(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_is_stopped_for_the_rest_of_the_window_and_others_are_not() {
        let mut strikes = Strikes::default();
        for _ in 0..MAX_STRIKES {
            assert!(strikes.allows("a", Duration::ZERO));
            strikes.add("a", Duration::ZERO);
        }
        assert!(!strikes.allows("a", Duration::from_secs(59)));
        assert!(strikes.allows("b", Duration::from_secs(59)));
        assert!(strikes.allows("a", WINDOW));
        strikes.add("a", WINDOW);
        assert!(strikes.allows("a", WINDOW));
    }

    #[test]
    fn table_is_bounded() {
        let mut strikes = Strikes::default();
        for n in 0..=MAX_PEERS {
            strikes.add(&n.to_string(), Duration::ZERO);
        }
        assert!(strikes.0.len() <= MAX_PEERS);
    }
}
