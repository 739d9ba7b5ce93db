// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings of ingress mode.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use alloy::primitives::Address;
use mandate_acme::{config::AcmeSection, name::DomainName};
use mandate_runtime::config::{Problems, Validate, duration};
use serde::Deserialize;

use crate::instance::ProofKind;

/// Which domains the agent serves, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressConfig {
    /// The domains; the registry must give each to this app.
    pub domains: Vec<DomainName>,
    /// `DomainRegistry`, which gives them to it; named in what the agent says of them below `/.well-known/mandate/`.
    pub domain_registry: Address,
    /// Where the agent ends TLS.
    pub listen: SocketAddr,
    /// `host:port` at which gateways reach `listen`.
    pub advertise: String,
    /// Where the app takes plain connections.
    pub forward: SocketAddr,
    /// Base URLs of the gateways' APIs.
    pub gateways: Vec<String>,
    /// What gateways are shown.
    #[serde(default)]
    pub proof: ProofKind,
    /// The protocols that the app speaks, its favourite first (RFC 7301).
    #[serde(default = "http_1")]
    pub alpn: Vec<String>,
    /// Where certificates are kept across restarts, without their keys; ordered anew when unset.
    #[serde(default)]
    pub certificates: Option<PathBuf>,
    /// Who issues certificates.
    pub acme: AcmeSection,
    /// How long a client may take for its handshake.
    #[serde(default = "handshake", with = "duration")]
    pub handshake_timeout: Duration,
    /// How long nothing may move.
    #[serde(default = "idle", with = "duration")]
    pub idle_timeout: Duration,
    /// Connections at a time; more wait.
    #[serde(default = "connections")]
    pub connections: usize,
}

fn http_1() -> Vec<String> {
    vec!["http/1.1".to_owned()]
}

fn handshake() -> Duration {
    Duration::from_secs(10)
}

fn idle() -> Duration {
    Duration::from_secs(300)
}

fn connections() -> usize {
    4_096
}

impl Validate for IngressConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.require(!self.domains.is_empty(), "ingress.domains", "must name at least one domain");
        for (i, name) in self.domains.iter().enumerate() {
            let twice = self.domains.iter().take(i).any(|before| before == name);
            problems.require(!twice, format!("ingress.domains.{i}"), "is listed twice");
        }
        let registry = !self.domain_registry.is_zero();
        problems.require(registry, "ingress.domain_registry", "must not be the zero address");
        let place = self.advertise.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let port = place.and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or(0);
        problems.require(port != 0, "ingress.advertise", "must be host:port");
        problems.require(self.forward.port() != 0, "ingress.forward", "must name a port");
        problems.require(
            self.forward != self.listen,
            "ingress.forward",
            "is the agent's own port (ingress.listen)",
        );
        problems.require(!self.gateways.is_empty(), "ingress.gateways", "must name at least one gateway");
        for (i, gateway) in self.gateways.iter().enumerate() {
            let usable = gateway.starts_with("http://");
            problems.require(usable, format!("ingress.gateways.{i}"), "must be an http:// URL");
        }
        self.acme.validate("ingress.acme", problems);
        let lengths = self.alpn.iter().all(|protocol| (1..=255).contains(&protocol.len()));
        problems.require(lengths, "ingress.alpn", "a protocol's name has 1 to 255 bytes");
        let acme = self.alpn.iter().any(|protocol| protocol == "acme-tls/1");
        problems.require(!acme, "ingress.alpn", "acme-tls/1 is the agent's own");
        for (field, value) in
            [("handshake_timeout", self.handshake_timeout), ("idle_timeout", self.idle_timeout)]
        {
            problems.require(!value.is_zero(), format!("ingress.{field}"), "must not be zero");
        }
        problems.require(self.connections > 0, "ingress.connections", "must not be zero");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mandate_runtime::config::load_from;

    use super::*;

    const GOOD: &str = r#"
        domains = ["app.example.org", "www.example.org"]
        domain_registry = "0x1111111111111111111111111111111111111111"
        listen = "0.0.0.0:8443"
        advertise = "10.0.0.5:8443"
        forward = "127.0.0.1:8080"
        gateways = ["http://10.0.0.9:7000"]
        alpn = ["h2", "http/1.1"]
        [acme]
        directory = "https://acme.example/dir"
        issuer = "acme.example"
        dns.resolvers = ["192.0.2.53:53"]
    "#;

    fn read(text: &str) -> Result<IngressConfig, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load_from(file.path(), "MANDATE_NOTHING", []).map_err(|errors| errors.to_string())
    }

    #[test]
    fn each_setting_that_cannot_work_is_refused_by_name() {
        read(GOOD).unwrap();
        for (good, bad, field) in [
            ("[\"app.example.org\", \"www.example.org\"]", "[]", "ingress.domains"),
            ("www.example.org", "app.example.org", "ingress.domains.1"),
            (&"1".repeat(40), &"0".repeat(40), "ingress.domain_registry"),
            ("10.0.0.5:8443", "10.0.0.5", "ingress.advertise"),
            ("10.0.0.5:8443", "10.0.0.5:0", "ingress.advertise"),
            ("10.0.0.5:8443", "10.0.0.5:65536", "ingress.advertise"),
            ("10.0.0.5:8443", ":8443", "ingress.advertise"),
            ("127.0.0.1:8080", "127.0.0.1:0", "ingress.forward"),
            ("127.0.0.1:8080", "0.0.0.0:8443", "ingress.forward"),
            ("[\"http://10.0.0.9:7000\"]", "[]", "ingress.gateways"),
            ("http://10.0.0.9:7000", "https://10.0.0.9:7000", "ingress.gateways.0"),
            ("https://acme.example", "http://acme.example", "ingress.acme.directory"),
            ("\"acme.example\"", "\"acme example\"", "ingress.acme.issuer"),
            ("[\"192.0.2.53:53\"]", "[]", "ingress.acme.dns"),
            ("\"h2\"", "\"\"", "ingress.alpn"),
            ("\"h2\"", &format!("\"{}\"", "h".repeat(256)), "ingress.alpn"),
            ("\"h2\"", "\"acme-tls/1\"", "ingress.alpn"),
            ("[acme]", "handshake_timeout = \"0s\"\n[acme]", "ingress.handshake_timeout"),
            ("[acme]", "idle_timeout = \"0s\"\n[acme]", "ingress.idle_timeout"),
            ("[acme]", "[acme]\ntimeout = \"0s\"", "ingress.acme.timeout"),
            ("[acme]", "connections = 0\n[acme]", "ingress.connections"),
        ] {
            assert!(GOOD.contains(good), "{good}");
            let why = read(&GOOD.replace(good, bad)).expect_err(bad);
            assert!(why.contains(field), "{field} is not in {why}");
        }
    }
}
