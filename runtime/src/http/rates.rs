// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How often one peer may ask: a bucket of tokens for each.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock as GovernorClock, middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};

use crate::{clock::Clock, net::Peer};

/// Peers that are remembered at a time. Beyond it, newcomers share one bucket until others have been quiet for long enough.
const PEERS: usize = 65_536;
/// Checks between two looks for peers that may be forgotten.
const SWEEP: u32 = 1_024;

/// Who asks, as far as rates are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerKey {
    /// An address; of IPv6 its /64, which is what one subscriber gets.
    Ip(IpAddr),
    /// Whoever can open the unix socket.
    Unix,
    /// Everybody for whom there is no room.
    Others,
}

impl From<&Peer> for PeerKey {
    fn from(peer: &Peer) -> Self {
        match peer {
            Peer::Unix(_) => Self::Unix,
            Peer::Socket(address) => match address.ip().to_canonical() {
                v4 @ IpAddr::V4(_) => Self::Ip(v4),
                IpAddr::V6(v6) => Self::Ip(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
            },
        }
    }
}

/// So many at once, refilled at so many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Refilled per second.
    pub per_second: NonZeroU32,
    /// The bucket's size.
    pub burst: NonZeroU32,
}

type Limiter = RateLimiter<PeerKey, HashMapStateStore<PeerKey>, Monotonic, NoOpMiddleware<Duration>>;

/// A bucket per peer.
#[derive(Clone)]
pub struct Rates(Arc<Shared>);

struct Shared {
    limiter: Limiter,
    clock: Monotonic,
    checks: AtomicU32,
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("peers", &self.0.limiter.len()).finish_non_exhaustive()
    }
}

impl Rates {
    /// Full buckets for everybody.
    pub fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        let clock = Monotonic(clock);
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let limiter = RateLimiter::hashmap_with_clock(quota, clock.clone());
        Self(Arc::new(Shared { limiter, clock, checks: AtomicU32::new(0) }))
    }

    /// Takes a token of `peer`'s.
    ///
    /// # Errors
    /// How long until there is one, when there is none.
    pub fn take(&self, peer: PeerKey) -> Result<(), Duration> {
        let Shared { limiter, clock, checks } = &*self.0;
        if checks.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 || limiter.len() >= PEERS {
            limiter.retain_recent();
        }
        let peer = if limiter.len() >= PEERS { PeerKey::Others } else { peer };
        limiter.check_key(&peer).map_err(|refused| refused.wait_time_from(clock.now()))
    }
}

#[derive(Clone)]
struct Monotonic(Arc<dyn Clock>);

impl GovernorClock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second: NonZeroU32::new(per_second).unwrap(), burst: NonZeroU32::new(burst).unwrap() }
    }

    fn ip(n: u32) -> PeerKey {
        PeerKey::Ip(std::net::Ipv4Addr::from_bits(n).into())
    }

    #[test]
    fn a_bucket_empties_refills_with_time_and_is_nobody_elses() {
        let clock = Arc::new(ManualClock::new(0));
        let rates = Rates::new(rate(2, 3), Arc::clone(&clock) as Arc<dyn Clock>);
        for _ in 0..3 {
            rates.take(ip(1)).unwrap();
        }
        let wait = rates.take(ip(1)).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        rates.take(ip(2)).unwrap();
        clock.advance(wait);
        rates.take(ip(1)).unwrap();
        rates.take(ip(1)).unwrap_err();
    }

    #[test]
    fn memory_ends_where_newcomers_begin_to_share() {
        let clock = Arc::new(ManualClock::new(0));
        let rates = Rates::new(rate(1, 1), Arc::clone(&clock) as Arc<dyn Clock>);
        for n in 0..u32::try_from(PEERS).unwrap() {
            rates.take(ip(n)).unwrap();
        }
        // One of the newcomers finds the shared bucket full, the next finds it empty.
        rates.take(ip(1 << 30)).unwrap();
        rates.take(ip((1 << 30) + 1)).unwrap_err();
        assert!(rates.0.limiter.len() <= PEERS + 1);
        clock.advance(Duration::from_secs(2));
        rates.take(ip((1 << 30) + 1)).unwrap();
        assert!(rates.0.limiter.len() < 10, "those who were quiet are forgotten");
    }

    #[test]
    fn subscribers_are_told_apart_by_what_they_cannot_choose() {
        let key = |text: &str| PeerKey::from(&Peer::Socket(text.parse().unwrap()));
        assert_eq!(key("[2001:db8::1]:1"), key("[2001:db8::ffff:2]:9"));
        assert_ne!(key("[2001:db8:0:1::1]:1"), key("[2001:db8:0:2::1]:1"));
        assert_eq!(key("[::ffff:10.0.0.1]:1"), key("10.0.0.1:2"));
        assert_ne!(key("10.0.0.1:1"), key("10.0.0.2:1"));
    }
}
