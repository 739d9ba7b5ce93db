// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway's configuration.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use alloy::primitives::Address;
use mandate_acme::{config::AcmeSection, name::DomainName};
use mandate_attestation::AnchorFiles;
use mandate_runtime::{
    config::{Problems, Secret, Validate, duration},
    telemetry,
};
use mandate_witness::Fork;
use serde::Deserialize;

use crate::{limits::Limits, live::Live, network::Network};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the gateway itself does.
    pub gateway: Settings,
    /// Where the policy is.
    pub chain: ChainConfig,
    /// Who issues certificates.
    pub acme: AcmeSection,
    /// Where certificates are kept, without their keys.
    #[serde(default)]
    pub store: StoreConfig,
    /// Where the gateway's keys come from.
    pub keys: KeysConfig,
    /// What evidence must lead to.
    #[serde(default)]
    pub attestation: AttestationConfig,
    /// Where operators connect.
    #[serde(default)]
    pub admin: Option<AdminConfig>,
    /// How much, how many and how long. May change while the gateway runs.
    #[serde(default)]
    pub limits: Limits,
    /// Who is believed, and where instances may be. May change while the gateway runs.
    #[serde(default)]
    pub network: Network,
    /// How it logs.
    #[serde(default)]
    pub log: LogConfig,
}

/// What the gateway itself does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where clients connect.
    pub tls_listen: SocketAddr,
    /// Where instances, relayers and operators connect.
    pub api_listen: SocketAddr,
    /// The domain under which apps and instances are reached by id.
    pub base_domain: DomainName,
    /// Whether the gateway obtains a wildcard certificate for the base domain, which needs DNS-01.
    #[serde(default)]
    pub base_certificate: bool,
    /// How long a registration holds.
    #[serde(default = "lease", with = "duration")]
    pub lease: Duration,
    /// How often every route and domain is judged anew without a notice.
    #[serde(default = "review", with = "duration")]
    pub review: Duration,
    /// How often an instance that no client has reached meanwhile is asked whether it answers.
    #[serde(default = "review", with = "duration")]
    pub health_interval: Duration,
}

fn lease() -> Duration {
    Duration::from_secs(600)
}

fn review() -> Duration {
    Duration::from_secs(15)
}

impl Settings {
    /// Listens there, serves ids under `base_domain`; everything else by default.
    pub fn new(tls_listen: SocketAddr, api_listen: SocketAddr, base_domain: DomainName) -> Self {
        Self {
            tls_listen,
            api_listen,
            base_domain,
            base_certificate: false,
            lease: lease(),
            review: review(),
            health_interval: review(),
        }
    }
}

/// Where operators connect. There is no such port unless this is set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// A loopback address: what is said here is not encrypted.
    pub listen: SocketAddr,
    /// A file, mode 0600, whose content every request shows as its bearer token (RFC 6750).
    pub token_file: PathBuf,
}

/// Where the policy is, and who tells of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// EIP-155 id.
    pub id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// `DomainRegistry`.
    pub domain_registry: Address,
    /// `KmsCommittee`, whose statements prove instances like evidence; none are taken when it is unset.
    #[serde(default)]
    pub committee: Option<Address>,
    /// JSON-RPC endpoints that do not depend on each other. Their URLs often hold an access token.
    pub endpoints: Vec<Secret>,
    /// How many of them must agree on a block.
    pub quorum: usize,
    /// How old the newest block may be; no limit when unset.
    #[serde(default)]
    pub max_age_seconds: Option<u64>,
    /// The chain's forks. Known for public chains (`ChainSpec::public`); others run Cancun throughout unless told here.
    #[serde(default)]
    pub forks: Vec<Fork>,
}

/// Where certificates and orders are kept: one of the two. In memory when neither is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// SQLite file, for gateways of one machine; made when it is not there.
    #[serde(default)]
    pub sqlite: Option<PathBuf>,
    /// `postgres://USER:PASSWORD@HOST/DATABASE`, for a fleet. Holds a password, so it is never shown.
    #[serde(default)]
    pub postgres: Option<Secret>,
}

/// Where the gateway's keys come from: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// The guest agent's socket.
    #[serde(default)]
    pub agent: Option<PathBuf>,
    /// A file with 64 hex digits, mode 0600. For development.
    #[serde(default)]
    pub development_seed: Option<PathBuf>,
}

/// What evidence must lead to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationConfig {
    /// Roots of development PKIs in place of the vendors' own.
    #[serde(default)]
    pub trust_anchors: AnchorFiles,
    /// Files with the registers of OS images whose guests bring no manifest.
    #[serde(default)]
    pub known_images: Vec<PathBuf>,
}

/// How it logs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Text or JSON.
    #[serde(default)]
    pub format: telemetry::Format,
    /// `info`, `mandate_gateway=debug,info` …
    #[serde(default = "filter")]
    pub filter: String,
}

fn filter() -> String {
    "info".to_owned()
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: telemetry::Format::default(), filter: filter() }
    }
}

impl Config {
    /// What may change while the gateway runs.
    pub fn live(&self) -> Live {
        Live { limits: self.limits.clone(), network: self.network.clone() }
    }

    /// The sections that differ in `other` and count only after a restart.
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let Self { gateway, chain, acme, store, keys, attestation, admin, log, limits: _, network: _ } = self;
        let sections = [
            ("gateway", *gateway == other.gateway),
            ("chain", *chain == other.chain),
            ("acme", *acme == other.acme),
            ("store", *store == other.store),
            ("keys", *keys == other.keys),
            ("attestation", *attestation == other.attestation),
            ("admin", *admin == other.admin),
            ("log", *log == other.log),
        ];
        sections.into_iter().filter(|(_, same)| !same).map(|(section, _)| section).collect()
    }
}

impl Validate for Settings {
    fn validate(&self, problems: &mut Problems) {
        for (field, value) in
            [("lease", self.lease), ("review", self.review), ("health_interval", self.health_interval)]
        {
            problems.require(!value.is_zero(), format!("gateway.{field}"), "must not be zero");
        }
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Problems) {
        self.gateway.validate(problems);
        self.limits.validate(problems);
        let loopback = self.admin.as_ref().is_none_or(|admin| admin.listen.ip().is_loopback());
        problems.require(loopback, "admin.listen", "must be a loopback address");
        let ChainConfig { endpoints, quorum, .. } = &self.chain;
        problems.require(!endpoints.is_empty(), "chain.endpoints", "must name at least one endpoint");
        let met = (1..=endpoints.len().max(1)).contains(quorum);
        problems.require(met, "chain.quorum", "must be between 1 and the number of endpoints");
        for (i, endpoint) in endpoints.iter().enumerate() {
            let url = endpoint.expose();
            let http = url.starts_with("http://") || url.starts_with("https://");
            problems.require(http, format!("chain.endpoints.{i}"), "must be an http:// or https:// URL");
        }
        let both = self.store.sqlite.is_some() && self.store.postgres.is_some();
        problems.require(!both, "store", "at most one of `sqlite` and `postgres` can be set");
        self.acme.validate("acme", problems);
        let one = self.keys.agent.is_some() != self.keys.development_seed.is_some();
        problems.require(one, "keys", "exactly one of `agent` and `development_seed` must be set");
    }
}

#[cfg(test)]
mod tests {
    use mandate_runtime::config::load_from;

    use super::*;

    const GOOD: &str = r#"
        [gateway]
        tls_listen = "0.0.0.0:443"
        api_listen = "127.0.0.1:8080"
        base_domain = "gw.example.org"
        lease = "5m"
        [chain]
        id = 1
        kms_auth = "0x0000000000000000000000000000000000000001"
        domain_registry = "0x0000000000000000000000000000000000000002"
        endpoints = ["https://a.example", "https://b.example"]
        quorum = 2
        [acme]
        directory = "https://acme.example/dir"
        issuer = "acme.example"
        dns.resolvers = ["192.0.2.53:53"]
        [keys]
        agent = "/var/run/dstack.sock"
    "#;

    fn load(text: &str) -> Result<Config, mandate_runtime::config::ConfigErrors> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        std::fs::write(&path, text).unwrap();
        load_from(&path, "MANDATE_GATEWAY", [])
    }

    #[test]
    fn a_minimal_file_has_defaults_for_the_rest() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.gateway.lease, Duration::from_secs(300));
        assert_eq!(config.gateway.review, Duration::from_secs(15));
        assert_eq!(config.gateway.base_domain.as_str(), "gw.example.org");
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let bad = GOOD
            .replace("quorum = 2", "quorum = 3")
            .replace("https://a.example", "ftp://a.example")
            .replace("https://acme", "http://acme")
            .replace("agent =", "development_seed = \"/x\"\nagent =")
            .replace("\"5m\"", "\"0s\"")
            .replace("[keys]", "[store]\nsqlite = \"/a\"\npostgres = \"postgres://b\"\n[keys]");
        let text = load(&bad).unwrap_err().to_string();
        for field in ["chain.quorum", "chain.endpoints.0", "acme.directory", "store", "keys", "gateway.lease"]
        {
            assert!(text.contains(field), "{field} in {text}");
        }
        let text = load(&GOOD.replace("gw.example.org", "*.example.org")).unwrap_err().to_string();
        assert!(text.contains("gateway.base_domain"), "{text}");
    }

    #[test]
    fn limit_that_lets_nobody_in_is_refused() {
        for field in ["handshake_timeout", "connect_timeout", "idle_timeout"] {
            let text = load(&format!("{GOOD}\n[limits]\n{field} = \"0s\"")).unwrap_err().to_string();
            assert!(text.contains(&format!("limits.{field}")), "{text}");
        }
        let counts = ["connections", "connections_per_address", "connections_per_app", "new_per_second"];
        for field in counts.into_iter().chain(["new_at_once"]) {
            let text = load(&format!("{GOOD}\n[limits]\n{field} = 0")).unwrap_err().to_string();
            assert!(text.contains(&format!("limits.{field}")), "{text}");
        }
    }
}
