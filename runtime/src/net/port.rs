// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ports for programs that have to be told theirs before they listen.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
};

use crate::entropy::{self, OsEntropy};

/// Where to look when the system does not say which ports it hands out itself.
const FIRST: u16 = 10_000;
const USUAL_EPHEMERAL: u16 = 32_768;
/// Linux's bounds of the ports that it gives to sockets that ask for none (`ip-sysctl.rst`, `ip_local_port_range`).
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const ATTEMPTS: usize = 64;

/// A loopback port that was free for TCP and UDP a moment ago. A port that the system picks would soon be some client's, on
/// a machine where much is going on; this one is below those, where nobody gets one without asking for it by number.
///
/// # Errors
/// When no port is free.
pub fn free_port() -> io::Result<u16> {
    let below = std::fs::read_to_string(EPHEMERAL).ok();
    let range = candidates(below.as_deref());
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let port = pick(&range, u16::from_le_bytes(entropy::bytes(&OsEntropy)));
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and(UdpSocket::bind((Ipv4Addr::LOCALHOST, port)))
        {
            Ok(_) => return Ok(port),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn candidates(ephemeral: Option<&str>) -> Range<u16> {
    let low = ephemeral.and_then(|text| text.split_whitespace().next()?.parse().ok());
    // A system that hands out almost all of them leaves none to choose from.
    FIRST..low.filter(|low| *low > 2 * FIRST).unwrap_or(USUAL_EPHEMERAL)
}

fn pick(range: &Range<u16>, random: u16) -> u16 {
    range.start + random % (range.end - range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_below_those_that_the_system_gives_away() {
        assert_eq!(candidates(Some("32768\t60999\n")), 10_000..32_768);
        assert_eq!(candidates(Some("49152 65535")), 10_000..49_152);
        for odd in [None, Some(""), Some("1024\t65535"), Some("70000 1"), Some("-1")] {
            assert_eq!(candidates(odd), 10_000..USUAL_EPHEMERAL, "{odd:?}");
        }
        for random in [0, 1, 22_767, 22_768, u16::MAX] {
            assert!((10_000..32_768).contains(&pick(&(10_000..32_768), random)));
        }
    }

    #[test]
    fn free_port_can_be_bound_for_tcp_and_udp() {
        let port = free_port().unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
}
