// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which addresses the gateway believes, and which it goes to. Both may change while it runs.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::Deserialize;

/// The networks around the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Load balancers that say with the PROXY protocol for whom they connect. Nobody else is asked or believed.
    pub proxy_protocol: Vec<IpNet>,
    /// Where instances may be. When empty: anywhere but loopback, link-local, multicast and unspecified addresses.
    pub upstreams: Vec<IpNet>,
}

impl Network {
    /// Whether a connection from `peer` has to begin with a PROXY header.
    pub fn is_balancer(&self, peer: IpAddr) -> bool {
        contains(&self.proxy_protocol, peer)
    }

    /// Whether an instance may be at `address`. A name is no way around this: what it resolves to is looked at.
    pub fn may_be_instance(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        match self.upstreams.is_empty() {
            true => !is_special(ip),
            false => contains(&self.upstreams, ip),
        }
    }
}

fn contains(networks: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    networks.iter().any(|network| network.contains(&ip))
}

/// Addresses that mean this host, this link or nobody: behind them are admin ports and metadata services, not instances.
fn is_special(ip: IpAddr) -> bool {
    ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || match ip {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets().first() == Some(&0),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 443)
    }

    #[test]
    fn attack_upstreams_on_this_host_or_link_are_refused_unless_named() {
        let network = Network::default();
        for special in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(!network.may_be_instance(at(special)), "{special}");
        }
        for usual in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1"] {
            assert!(network.may_be_instance(at(usual)), "{usual}");
        }
        let upstreams = vec!["10.1.0.0/16".parse().unwrap(), "127.0.0.0/8".parse().unwrap()];
        let named = Network { upstreams, ..Network::default() };
        assert!(named.may_be_instance(at("10.1.2.3")) && named.may_be_instance(at("::ffff:127.0.0.1")));
        assert!(!named.may_be_instance(at("10.2.0.1")) && !named.may_be_instance(at("192.0.2.1")));
    }

    #[test]
    fn only_configured_balancers_are_asked_for_a_proxy_header() {
        let network = Network { proxy_protocol: vec!["192.0.2.0/28".parse().unwrap()], ..Network::default() };
        assert!(network.is_balancer("192.0.2.1".parse().unwrap()));
        assert!(network.is_balancer("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!network.is_balancer("192.0.2.16".parse().unwrap()));
        assert!(!Network::default().is_balancer("127.0.0.1".parse().unwrap()));
    }
}
