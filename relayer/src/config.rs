// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Configuration: one TOML file, overridden by `MANDATE_RELAYER_SECTION__FIELD`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::signers::local::PrivateKeySigner;
use mandate_model::deployment::Deployment;
use mandate_runtime::{
    Ambient,
    config::{self, ConfigErrors, Problems, Secret, SecretFileError, Validate, duration},
    telemetry,
};
use serde::Deserialize;
use thiserror::Error;

use crate::effects::{
    Plan,
    webhook::{self, WebhookConfig, WebhookError, Webhooks},
};

mod api;
mod effects;

pub use api::ApiConfig;
pub use effects::{ApprovalsConfig, EffectsConfig, GovernanceConfig, SenderConfig};

mod chain;

pub use chain::{ChainConfig, EndpointConfig};

/// The prefix of environment overrides.
pub const ENV_PREFIX: &str = "MANDATE_RELAYER";

/// Everything a relayer is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API is served.
    pub listen: SocketAddr,
    /// Base URLs of the gateways that are told of revocations and asked for certificates.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// The contracts.
    pub deployment: Deployment,
    /// The endpoints and how they are followed.
    pub chain: ChainConfig,
    /// The database.
    pub store: StoreConfig,
    /// The key that pays for transactions.
    #[serde(default)]
    pub signer: SignerConfig,
    /// Requests to nodes and gateways.
    #[serde(default)]
    pub effects: EffectsConfig,
    /// Transactions.
    #[serde(default)]
    pub sender: SenderConfig,
    /// Approvals of council members.
    #[serde(default)]
    pub approvals: ApprovalsConfig,
    /// Executing what was decided.
    #[serde(default)]
    pub governance: GovernanceConfig,
    /// Who is told what.
    #[serde(default)]
    pub webhooks: Vec<WebhookConfig>,
    /// Letters between nodes.
    #[serde(default)]
    pub mailbox: MailboxConfig,
    /// The API's bounds.
    #[serde(default)]
    pub api: ApiConfig,
    /// Log lines.
    #[serde(default)]
    pub log: LogConfig,
}

/// The database: exactly one of `path` and `url`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// SQLite file, for one relayer; made when it is not there.
    pub path: Option<PathBuf>,
    /// `postgres://USER:PASSWORD@HOST/DATABASE`, for any number of relayers. Holds a password, so it is never shown.
    pub url: Option<Secret>,
    /// How long relayers of one database wait for one that died.
    #[serde(default = "default_lease", with = "duration")]
    pub lease: Duration,
}

/// Of locks and claims.
pub(crate) const DEFAULT_LEASE: Duration = Duration::from_secs(10);

fn default_lease() -> Duration {
    DEFAULT_LEASE
}

impl StoreConfig {
    /// A SQLite file.
    pub fn file(path: PathBuf) -> Self {
        Self { path: Some(path), url: None, lease: DEFAULT_LEASE }
    }

    /// A PostgreSQL database.
    pub fn server(url: Secret) -> Self {
        Self { path: None, url: Some(url), lease: DEFAULT_LEASE }
    }
}

/// The key that pays for transactions: exactly one of the two.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// A file of mode 0600 with the key in hex.
    pub key_file: Option<PathBuf>,
    /// The key in hex; meant for `MANDATE_RELAYER_SIGNER__KEY`.
    pub key: Option<Secret>,
}

/// Letters between nodes, and what nodes may submit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailboxConfig {
    /// The longest body of a letter, in bytes.
    pub max_letter: usize,
    /// Letters that wait per recipient.
    pub per_recipient: u64,
    /// Letters of one sender that wait for one recipient.
    pub per_sender: u64,
    /// Submissions of one node that wait for a block.
    pub open_submissions: u64,
    /// Submissions of one node in an hour; the relayer pays for them.
    pub submissions_per_hour: u32,
    /// The longest that a reader may wait for a letter.
    #[serde(with = "duration")]
    pub max_wait: Duration,
}

impl Default for MailboxConfig {
    fn default() -> Self {
        Self {
            max_letter: 64 << 10,
            per_recipient: 1_024,
            per_sender: 64,
            open_submissions: 32,
            submissions_per_hour: 3_600,
            max_wait: Duration::from_secs(30),
        }
    }
}

/// Log lines.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: telemetry::Format,
    /// `target=level`, comma separated.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: telemetry::Format::Text, filter: "info".to_owned() }
    }
}

impl Config {
    /// The defaults around what must be said.
    pub fn new(listen: SocketAddr, deployment: Deployment, rpc: &str, store: PathBuf) -> Self {
        Self {
            listen,
            gateways: Vec::new(),
            deployment,
            chain: ChainConfig::new(rpc),
            store: StoreConfig::file(store),
            signer: SignerConfig::default(),
            effects: EffectsConfig::default(),
            sender: SenderConfig::default(),
            approvals: ApprovalsConfig::default(),
            governance: GovernanceConfig::default(),
            webhooks: Vec::new(),
            mailbox: MailboxConfig::default(),
            api: ApiConfig::default(),
            log: LogConfig::default(),
        }
    }

    /// Reads and checks `path` and the environment.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        config::load(path, ENV_PREFIX)
    }

    /// What follows from it for effects.
    pub fn plan(&self) -> Plan {
        let named = self.governance.contracts.iter().copied();
        Plan {
            gateways: self.gateways.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            webhooks: self.webhooks.iter().map(WebhookConfig::subscription).collect(),
            governance: named.chain([self.deployment.role_council]).collect(),
            discover: self.governance.discover,
            execute: self.governance.execute,
            renew_before: self.effects.renew_before.as_secs(),
        }
    }

    /// Whether what it names can be used: the key, the webhooks' secrets and roots. The operator's commands need none of it.
    ///
    /// # Errors
    /// The first problem.
    pub fn check(&self) -> Result<(), CheckError> {
        self.signer.signer()?;
        Webhooks::new(&self.webhooks, Ambient::system())?;
        Ok(())
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Problems) {
        self.chain.validate(problems);
        for (i, url) in self.gateways.iter().enumerate() {
            problems.require(url.starts_with("http://"), format!("gateways[{i}]"), "must be an http:// URL");
        }
        let both = self.signer.key.is_some() && self.signer.key_file.is_some();
        problems.require(!both, "signer", "needs exactly one of `key_file` and `key`");
        let places = usize::from(self.store.path.is_some()) + usize::from(self.store.url.is_some());
        problems.require(places == 1, "store", "needs exactly one of `path` and `url`");
        let is_postgres =
            |url: &Secret| ["postgres://", "postgresql://"].iter().any(|s| url.expose().starts_with(s));
        problems.require(
            self.store.url.as_ref().is_none_or(is_postgres),
            "store.url",
            "must be a postgres:// URL",
        );
        problems.require(!self.store.lease.is_zero(), "store.lease", "must be above 0");
        effects::validate(&self.effects, &self.sender, &self.approvals, problems);
        webhook::validate(&self.webhooks, problems);
        self.api.validate(self.mailbox.max_wait, problems);
    }
}

/// Why something that the configuration names cannot be used.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The key.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A webhook.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
}

/// Why there is no signing key.
#[derive(Debug, Error)]
pub enum SignerError {
    /// None is configured.
    #[error("signer: needs exactly one of `key_file` and `key`")]
    None,
    /// The file cannot be used.
    #[error("signer.key_file: {0}")]
    File(#[from] SecretFileError),
    /// The text is no key. It is not shown.
    #[error("signer: not a secp256k1 private key in hex")]
    Malformed,
}

impl SignerConfig {
    /// The key.
    ///
    /// # Errors
    /// When there is none or it is malformed.
    pub fn signer(&self) -> Result<PrivateKeySigner, SignerError> {
        match (&self.key, &self.key_file) {
            (Some(key), None) => parse(key.expose()),
            (None, Some(path)) => parse(&config::secret_file(path)?),
            _ => Err(SignerError::None),
        }
    }
}

fn parse(text: &str) -> Result<PrivateKeySigner, SignerError> {
    text.parse().map_err(|_| SignerError::Malformed)
}

#[cfg(test)]
mod tests;
