// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The node's configuration: one TOML file, with `MANDATE_KMS_SECTION__FIELD` in the environment over it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::primitives::Address;
use mandate_attestation::{AnchorFiles, EvidenceError, KnownImages, quoter::EvidenceSources};
use mandate_runtime::{
    config::{Problems, Secret, Validate, duration},
    telemetry::Format,
};
use mandate_witness::ChainSpec;
use serde::Deserialize;
use thiserror::Error;

use crate::nonce::NonceLimits;

/// The prefix of the environment variables that override the file.
pub const ENV_PREFIX: &str = "MANDATE_KMS";

const MAX_IMAGE: u64 = 64 * 1024;

/// Everything that an operator sets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where guests and relayers reach the node.
    pub listen: SocketAddr,
    /// Where the database lies; one directory per node.
    pub data_dir: PathBuf,
    /// The key file. Made when there is none; `development.key` or `sealed.key` in the data directory by default.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// What seals the key file.
    #[serde(default)]
    pub sealing: Sealing,
    /// Base URL of a relayer.
    pub relayer: String,
    /// How often the chain is looked at.
    #[serde(with = "duration", default = "default_poll")]
    pub poll: Duration,
    /// How long one nonce on the beacon lets the node grant. Longer than it takes a nonce to become final, three times.
    #[serde(with = "duration", default = "default_lease")]
    pub lease: Duration,
    /// The chain and the contracts.
    pub chain: ChainConfig,
    /// Roots of development PKIs in place of the vendors' own.
    #[serde(default)]
    pub trust_anchors: AnchorFiles,
    /// Files with the registers of OS images whose guests bring no manifest.
    #[serde(default)]
    pub known_images: Vec<PathBuf>,
    /// Where this node's own evidence comes from; needed where the committee has an attestation period.
    #[serde(default)]
    pub evidence: Option<EvidenceSources>,
    /// Nonces for guests.
    #[serde(default)]
    pub nonces: NonceConfig,
    /// Logging.
    #[serde(default)]
    pub log: LogConfig,
}

/// The chain and the contracts on it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// EIP-155 id.
    pub chain_id: u64,
    /// RPC endpoints of independent operators. Only the program reads this; the library is given providers.
    #[serde(default)]
    pub rpc: Vec<Secret>,
    /// How many of them must agree on a header.
    #[serde(default = "default_quorum")]
    pub quorum: usize,
    /// The policy.
    pub kms_auth: Address,
    /// The committee.
    pub committee: Address,
    /// Where the node's receipts are anchored; without it no roots are signed.
    #[serde(default)]
    pub receipt_anchor: Option<Address>,
    /// The chain's rules.
    #[serde(default)]
    pub rules: Rules,
    /// Refuse headers that are older than this by the node's clock. Off by default: the lease bounds age without a clock.
    #[serde(default, deserialize_with = "optional_duration")]
    pub max_age: Option<Duration>,
}

/// What seals the node's seed on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sealing {
    /// Nothing.
    #[default]
    Development,
    /// A key that the AMD processor gives to this guest alone: its chip, its measurement, its launch policy.
    Snp,
}

/// Which forks the chain has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rules {
    /// Those of the public chain with this id: [`ChainSpec::public`].
    #[default]
    Public,
    /// A development chain: Cancun from the first block on.
    Dev,
}

/// Limits of nonces for guests.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NonceConfig {
    /// How long one can be spent.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// How many can be out at once.
    pub capacity: usize,
    /// How many can be out at once to one address.
    pub per_peer: usize,
}

/// How the node logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Text or JSON.
    pub format: Format,
    /// `info`, `mandate_kms=debug,info` …
    pub filter: String,
}

impl Config {
    /// A configuration with the defaults of a development chain, for programs that hold the whole deployment.
    pub fn development(listen: SocketAddr, data_dir: PathBuf, relayer: String, chain: ChainConfig) -> Self {
        Self {
            listen,
            data_dir,
            key_file: None,
            sealing: Sealing::default(),
            relayer,
            poll: default_poll(),
            lease: default_lease(),
            chain,
            trust_anchors: AnchorFiles::default(),
            known_images: Vec::new(),
            evidence: None,
            nonces: NonceConfig::default(),
            log: LogConfig::default(),
        }
    }

    /// Reads the files of known images.
    pub fn load_images(&self) -> Result<KnownImages, ImagesError> {
        let mut images = KnownImages::default();
        for path in &self.known_images {
            let content = |source| ImagesError::Image { path: path.clone(), source };
            images.read(&read_capped(path, MAX_IMAGE)?).map_err(content)?;
        }
        Ok(images)
    }

    /// Where the key file is.
    pub fn key_path(&self) -> PathBuf {
        let name = match self.sealing {
            Sealing::Development => "development.key",
            Sealing::Snp => "sealed.key",
        };
        self.key_file.clone().unwrap_or_else(|| self.data_dir.join(name))
    }
}

impl ChainConfig {
    /// A development chain with one endpoint.
    pub fn development(chain_id: u64, kms_auth: Address, committee: Address) -> Self {
        let (rpc, quorum, receipt_anchor, max_age) = (Vec::new(), default_quorum(), None, None);
        Self { chain_id, rpc, quorum, kms_auth, committee, receipt_anchor, rules: Rules::Dev, max_age }
    }

    /// The chain's rules; nothing for a public chain whose rules are not known here.
    pub fn spec(&self) -> Option<ChainSpec> {
        match self.rules {
            Rules::Public => ChainSpec::public(self.chain_id),
            Rules::Dev => Some(ChainSpec::dev(self.chain_id)),
        }
    }
}

impl NonceConfig {
    pub(crate) fn limits(&self) -> NonceLimits {
        NonceLimits { ttl: self.ttl, capacity: self.capacity, per_peer: self.per_peer }
    }
}

impl Default for NonceConfig {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(60), capacity: 16_384, per_peer: 256 }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: Format::default(), filter: "info".to_owned() }
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Problems) {
        problems.require(self.relayer.starts_with("http://"), "relayer", "must be an http:// URL");
        problems.require(!self.poll.is_zero(), "poll", "must not be zero");
        problems.require(self.lease >= self.poll * 3, "lease", "must be at least three times `poll`");
        problems.require(self.nonces.ttl >= Duration::from_secs(1), "nonces.ttl", "must be at least 1s");
        problems.require(self.nonces.capacity > 0, "nonces.capacity", "must not be zero");
        problems.require(self.nonces.per_peer > 0, "nonces.per_peer", "must not be zero");
        for (field, why) in self.evidence.iter().flat_map(EvidenceSources::problems) {
            problems.require(false, format!("evidence.{field}"), why);
        }
        let chain = &self.chain;
        problems.require(!chain.rpc.is_empty(), "chain.rpc", "name at least one endpoint");
        for (index, url) in chain.rpc.iter().enumerate() {
            let http = ["http://", "https://"].iter().any(|scheme| url.expose().starts_with(scheme));
            problems.require(http, format!("chain.rpc[{index}]"), "must be an http:// or https:// URL");
        }
        let possible = (1..=chain.rpc.len().max(1)).contains(&chain.quorum);
        problems.require(possible, "chain.quorum", "must be 1 to the number of endpoints in `chain.rpc`");
        problems.require(!chain.kms_auth.is_zero(), "chain.kms_auth", "must not be the zero address");
        problems.require(!chain.committee.is_zero(), "chain.committee", "must not be the zero address");
        let unknown =
            "the rules of the chain with this id are not known here; set `dev` for a development chain";
        problems.require(chain.spec().is_some(), "chain.rules", unknown);
    }
}

/// Why known images could not be had.
#[derive(Debug, Error)]
pub enum ImagesError {
    /// The file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Larger than what it should hold.
    #[error("{path}: larger than {max} bytes", path = path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// How much is read.
        max: u64,
    },
    /// A known image's content.
    #[error("known image {path}: {source}", path = path.display())]
    Image {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: EvidenceError,
    },
}

fn read_capped(path: &Path, max: u64) -> Result<Vec<u8>, ImagesError> {
    let io = |source| ImagesError::Io { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(io)?.len() > max {
        return Err(ImagesError::TooLarge { path: path.to_owned(), max });
    }
    std::fs::read(path).map_err(io)
}

fn optional_duration<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration::deserialize(deserializer).map(Some)
}

fn default_poll() -> Duration {
    Duration::from_secs(1)
}

/// Ethereum finalises after about 13 minutes; a lease must outlast several of those.
fn default_lease() -> Duration {
    Duration::from_secs(2 * 60 * 60)
}

fn default_quorum() -> usize {
    1
}

#[cfg(test)]
mod tests {
    use mandate_runtime::config::load_from;

    use super::*;

    const GOOD: &str = r#"
        listen = "127.0.0.1:0"
        data_dir = "/var/lib/mandate-kms"
        relayer = "http://127.0.0.1:9000"
        poll = "100ms"
        lease = "30m"
        trust_anchors = { tdx_root = "root.der" }
        evidence = { event_log = "/run/events.json", collateral = { dir = "/var/lib/collateral" } }
        [chain]
        chain_id = 31337
        rpc = ["http://127.0.0.1:8545"]
        kms_auth = "0x00000000000000000000000000000000000000aa"
        committee = "0x00000000000000000000000000000000000000bb"
        rules = "dev"
        max_age = "1h"
    "#;

    fn load(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kms.toml");
        std::fs::write(&path, text).unwrap();
        load_from(&path, ENV_PREFIX, Vec::new()).map_err(|e| e.to_string())
    }

    #[test]
    fn full_configuration_is_read() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.poll, Duration::from_millis(100));
        assert_eq!(config.chain.max_age, Some(Duration::from_secs(3_600)));
        assert_eq!(
            config.trust_anchors,
            AnchorFiles { tdx_root: Some("root.der".into()), ..AnchorFiles::default() }
        );
        assert_eq!(config.key_path(), Path::new("/var/lib/mandate-kms/development.key"));
    }

    #[test]
    fn anchors_are_the_vendors_unless_said_otherwise() {
        let config = load(&GOOD.replace("trust_anchors = { tdx_root = \"root.der\" }", "")).unwrap();
        assert_eq!(config.trust_anchors, AnchorFiles::default());
        let amd = GOOD.replace("tdx_root =", "snp_turin_root =");
        assert_eq!(load(&amd).unwrap().trust_anchors.snp_turin_root, Some("root.der".into()));
        assert!(load(&GOOD.replace("tdx_root =", "sgx_root =")).unwrap_err().contains("sgx_root"));
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let bad = GOOD
            .replace("100ms", "0s")
            .replace("chain_id = 31337", "chain_id = 5\nquorum = 3")
            .replace("dev", "public")
            .replace("{ dir = \"/var/lib/collateral\" }", "{ pccs_url = \"ftp://x\" }");
        let text = load(&bad).unwrap_err();
        for field in ["poll", "chain.quorum", "chain.rules", "evidence.collateral.pccs_url"] {
            assert!(text.contains(field), "{field} is missing in: {text}");
        }
    }

    #[test]
    fn g12_rpc_urls_are_not_shown() {
        let config =
            load(&GOOD.replace("http://127.0.0.1:8545", "https://user:hunter2@rpc.example")).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
