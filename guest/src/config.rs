// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent's configuration. It is part of what is measured with the app: the group key in it is what makes the
//! committee's answers believable.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use alloy::primitives::{Address, FixedBytes};
use mandate_attestation::quoter::EvidenceSources;
use mandate_runtime::{
    config::{Problems, Validate, duration},
    telemetry::Format,
};
use serde::Deserialize;

use crate::{ingress::IngressConfig, keys::Pinned};

/// Environment variables that override the file begin with this: `MANDATE_GUEST_CHAIN__CHAIN_ID=1`.
pub const ENV_PREFIX: &str = "MANDATE_GUEST";

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The unix socket that the app opens.
    #[serde(default = "default_socket")]
    pub socket: PathBuf,
    /// Where `/healthz` and `/metrics` are served; nowhere unless set.
    #[serde(default)]
    pub operations: Option<SocketAddr>,
    /// Base URLs of relayers that are asked for the committee.
    pub relayers: Vec<String>,
    /// Key generation to ask for; 0 for the current one.
    #[serde(default)]
    pub generation: u64,
    /// How often the committee is asked while it does not release the secret.
    #[serde(default)]
    pub retry: RetryConfig,
    /// How long the secret is served before the instance must have proved itself again, which it does at half of it. No
    /// certificate of `GetTlsKey` lasts longer.
    #[serde(with = "duration", default = "default_lease")]
    pub lease: Duration,
    /// What the committee's answers are checked against.
    pub chain: ChainConfig,
    /// The app.
    #[serde(default)]
    pub app: AppConfig,
    /// Where evidence comes from. The binary needs it.
    #[serde(default)]
    pub evidence: Option<EvidenceSources>,
    /// Domains whose TLS the agent ends for the app.
    #[serde(default)]
    pub ingress: Option<IngressConfig>,
    /// Logging.
    #[serde(default)]
    pub log: LogConfig,
}

/// The deployment that is believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// Chain id.
    pub chain_id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// `KmsCommittee`.
    pub committee: Address,
    /// The committee's group key: 48 bytes in hex.
    pub group_key: FixedBytes<48>,
}

/// The pauses between tries: each twice as long as the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// The first pause.
    #[serde(with = "duration")]
    pub first: Duration,
    /// The longest.
    #[serde(with = "duration")]
    pub longest: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

/// The app, for `Info`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppConfig {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its app-compose.json.
    #[serde(default)]
    pub compose: Option<PathBuf>,
}

/// Logging.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: Format,
    /// Like `info` or `mandate_guest=debug,info`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: Format::Text, filter: "info".to_owned() }
    }
}

fn default_lease() -> Duration {
    Duration::from_secs(24 * 60 * 60)
}

fn default_socket() -> PathBuf {
    PathBuf::from("/var/run/dstack.sock")
}

impl Config {
    /// What is pinned by it.
    pub fn pinned(&self) -> Pinned {
        Pinned {
            chain_id: self.chain.chain_id,
            kms_auth: self.chain.kms_auth,
            committee: self.chain.committee,
            group_key: self.chain.group_key.0,
        }
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Problems) {
        problems.require(!self.relayers.is_empty(), "relayers", "at least one is needed");
        for (i, relayer) in self.relayers.iter().enumerate() {
            let usable = relayer.starts_with("http://");
            problems.require(usable, format!("relayers.{i}"), "must be an http:// URL");
        }
        let retry = self.retry;
        problems.require(self.lease >= Duration::from_secs(10), "lease", "must be at least 10s");
        problems.require(!retry.first.is_zero(), "retry.first", "must not be 0");
        problems.require(
            retry.first <= retry.longest,
            "retry.longest",
            "must not be shorter than retry.first",
        );
        problems.require(self.chain.chain_id != 0, "chain.chain_id", "must not be 0");
        for (field, address) in
            [("chain.kms_auth", self.chain.kms_auth), ("chain.committee", self.chain.committee)]
        {
            problems.require(!address.is_zero(), field, "must not be the zero address");
        }
        let key = self.chain.group_key;
        problems.require(!key.is_zero(), "chain.group_key", "must be the committee's key");
        problems.require(self.evidence.is_some(), "evidence", "is missing");
        if let Some(ingress) = &self.ingress {
            ingress.validate(problems);
        }
        if let Some(evidence) = &self.evidence {
            for (field, why) in evidence.problems() {
                problems.require(false, format!("evidence.{field}"), why);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mandate_runtime::config::load_from;

    use super::*;

    const GOOD: &str = r#"
        relayers = ["http://10.0.0.2:7000"]
        [retry]
        longest = "5s"
        [chain]
        chain_id = 1
        kms_auth = "0x1111111111111111111111111111111111111111"
        committee = "0x2222222222222222222222222222222222222222"
        group_key = "0x8dce6cb36101046ac0ef8e533ead22891ba55268d630c763ff99122454e06198e2b5b235374617b29e40ff0b847408b9"
        [evidence]
        event_log = "/run/events.json"
        image = "/etc/image.json"
        [evidence.collateral]
        pccs_url = "https://10.0.0.3:8081"
        dir = "/var/lib/collateral"
    "#;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let environment = environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        load_from(file.path(), ENV_PREFIX, environment).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_whole_file_is_read_and_the_environment_overrides_it() {
        let config = read(GOOD, &[("MANDATE_GUEST_CHAIN__CHAIN_ID", "5")]).unwrap();
        assert_eq!(config.pinned().chain_id, 5);
        assert_eq!(config.socket, default_socket());
        assert_eq!(config.retry, RetryConfig { longest: Duration::from_secs(5), ..RetryConfig::default() });
        assert_eq!(
            config.evidence.unwrap().report_dir.to_str(),
            Some(mandate_attestation::quoter::REPORT_DIR)
        );
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let bad = GOOD
            .replace("http://10.0.0.2:7000", "https://10.0.0.2")
            .replace(
                "0x1111111111111111111111111111111111111111",
                "0x0000000000000000000000000000000000000000",
            )
            .replace("\"5s\"", "\"10ms\"")
            .replace("https://10.0.0.3", "ftp://10.0.0.3")
            + "speed = 3";
        let text = read(&bad, &[]).unwrap_err();
        for field in
            ["relayers.0", "chain.kms_auth", "retry.longest", "evidence.collateral.pccs_url", "speed"]
        {
            assert!(text.contains(field), "{field} is not in {text}");
        }
    }
}
