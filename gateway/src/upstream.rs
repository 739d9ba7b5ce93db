// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where an instance says it serves TLS.

use std::{fmt, net::IpAddr};

use thiserror::Error;

use mandate_acme::name::DomainName;

const MAX_TEXT: usize = 300;

/// `host:port`, `1.2.3.4:port` or `[v6]:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upstream {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// Why a text names no upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("upstream is not host:port, with an IP address or DNS name and a port from 1 to 65535")]
pub struct UpstreamError;

impl Upstream {
    /// The host as `Net::connect` takes it.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// The address, when it is not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ip(ip) => Some(ip),
            Host::Name(_) => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl TryFrom<&str> for Upstream {
    type Error = UpstreamError;

    fn try_from(text: &str) -> Result<Self, UpstreamError> {
        if text.len() > MAX_TEXT {
            return Err(UpstreamError);
        }
        let (host, port) = text.rsplit_once(':').ok_or(UpstreamError)?;
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|p| digits && *p != 0).ok_or(UpstreamError)?;
        Ok(Self { host: Host::try_from(host)?, port })
    }
}

impl TryFrom<&str> for Host {
    type Error = UpstreamError;

    fn try_from(text: &str) -> Result<Self, UpstreamError> {
        if let Some(v6) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            return v6.parse().map(|ip| Self::Ip(IpAddr::V6(ip))).map_err(|_| UpstreamError);
        }
        if let Ok(v4) = text.parse() {
            return Ok(Self::Ip(IpAddr::V4(v4)));
        }
        if text == "localhost" {
            return Ok(Self::Name(text.to_owned()));
        }
        match DomainName::try_from(text) {
            Ok(name) => Ok(Self::Name(name.as_str().to_owned())),
            Err(_) => Err(UpstreamError),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Ip(ip) => write!(f, "{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn upstreams_survive_a_round_trip() {
        for text in ["127.0.0.1:8443", "[::1]:443", "instance.internal:1", "localhost:65535"] {
            assert_eq!(Upstream::try_from(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for text in [
            "",
            ":1",
            "a.b",
            "a.b:",
            "a.b:0",
            "a.b:65536",
            "a.b:+1",
            "::1:443",
            "[::1]",
            "a/b.c:1",
            "u@a.b:1",
            "unix:/x:1",
        ] {
            assert!(Upstream::try_from(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,40}") {
            if let Ok(upstream) = Upstream::try_from(text.as_str()) {
                prop_assert_eq!(Upstream::try_from(upstream.to_string().as_str()), Ok(upstream));
            }
        }
    }
}
