// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent's configuration. It is part of what is measured with the app: the group key in it is what makes the
//! committee's answers believable.

use std::{net::SocketAddr, path::PathBuf};

use alloy::primitives::{Address, FixedBytes};
use mandate_runtime::{
    config::{Problems, Validate},
    telemetry::Format,
};
use serde::Deserialize;

use crate::{keys::Pinned, tsm};

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
    /// What the committee's answers are checked against.
    pub chain: ChainConfig,
    /// The app.
    #[serde(default)]
    pub app: AppConfig,
    /// Where evidence comes from. The binary needs it.
    #[serde(default)]
    pub evidence: Option<EvidenceConfig>,
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

/// Where the parts of evidence come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceConfig {
    /// The kernel's report interface.
    #[serde(default = "tsm::default_report_dir")]
    pub report_dir: PathBuf,
    /// JSON array of the events that were extended into RTMR3, as upstream writes them.
    pub event_log: PathBuf,
    /// The manifest whose hash is the OS image hash.
    pub image: PathBuf,
    /// Quote collateral as JSON: a file, or an `http://` URL. Intel signs it, so the server need not be trusted.
    pub collateral: String,
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
        problems.require(self.chain.chain_id != 0, "chain.chain_id", "must not be 0");
        for (field, address) in
            [("chain.kms_auth", self.chain.kms_auth), ("chain.committee", self.chain.committee)]
        {
            problems.require(!address.is_zero(), field, "must not be the zero address");
        }
        let key = self.chain.group_key;
        problems.require(!key.is_zero(), "chain.group_key", "must be the committee's key");
        problems.require(self.evidence.is_some(), "evidence", "is missing");
        if let Some(evidence) = &self.evidence {
            let https = evidence.collateral.starts_with("https://");
            problems.require(!https, "evidence.collateral", "must be a file or an http:// URL");
        }
    }
}
