// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Settings that everybody who obtains certificates has: the authority, DNS, CAA, an external account.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use mandate_runtime::{
    Ambient,
    config::{Problems, Secret, SecretFileError, duration, secret_file},
};
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    ExternalAccount, ExternalAccountError,
    caa::guard::CaaMode,
    dns::{AccessKeyError, Dns, TokenError, TsigError},
};

mod section;
mod zone;

pub use section::AcmeSection;
pub use zone::{CloudflareConfig, Rfc2136Config, Route53Config, ZoneConfig};

/// Why a setting that reads well cannot be followed. Nothing of a secret is in it.
#[derive(Debug, Error)]
pub enum AcmeSetupError {
    /// A secret's file.
    #[error("{field}: {source}")]
    Secret {
        /// Which setting.
        field: String,
        /// Why.
        source: SecretFileError,
    },
    /// The authority's root.
    #[error("{field}: {}: {source}", path.display())]
    CaFile {
        /// Which setting.
        field: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// Neither or both of a value and a file.
    #[error("{field}: exactly one of it and {field}_file must be set")]
    OneSecret {
        /// Which setting.
        field: String,
    },
    /// No TSIG key.
    #[error("{field}: {source}")]
    Tsig {
        /// Which setting.
        field: String,
        /// Why.
        source: TsigError,
    },
    /// No token of Cloudflare.
    #[error("{field}: {source}")]
    Token {
        /// Which setting.
        field: String,
        /// Why.
        source: TokenError,
    },
    /// No access key of Amazon.
    #[error("{field}: {source}")]
    AccessKey {
        /// Which setting.
        field: String,
        /// Why.
        source: AccessKeyError,
    },
    /// No TLS towards a provider.
    #[error("{field}: {source}")]
    Tls {
        /// Which zone.
        field: String,
        /// Why.
        source: rustls::Error,
    },
    /// No external account.
    #[error("{field}: {source}")]
    External {
        /// Which setting.
        field: String,
        /// Why.
        source: ExternalAccountError,
    },
}

/// Whom to ask, and which zones are ours.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsConfig {
    /// Recursive resolvers that speak TCP, asked in this order about everything that lies in no zone of ours.
    #[serde(default)]
    pub resolvers: Vec<SocketAddr>,
    /// How long a change may take until every server of its zone shows it.
    #[serde(default = "propagation", with = "duration")]
    pub propagation: Duration,
    /// Zones that this program may change, each under a name of the operator's choice.
    #[serde(default)]
    pub zones: BTreeMap<String, ZoneConfig>,
}

fn propagation() -> Duration {
    Duration::from_secs(60)
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self { resolvers: Vec::new(), propagation: propagation(), zones: BTreeMap::new() }
    }
}

/// An account that the authority handed out beforehand (RFC 8555, section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccountConfig {
    /// The key's id.
    pub key_id: String,
    /// The key in base64. Belongs into the environment.
    #[serde(default)]
    pub key: Option<Secret>,
    /// A file with the key that its owner alone can read.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

impl DnsConfig {
    /// What is wrong with it; `at` is the section's name.
    pub fn validate(&self, at: &str, caa: CaaMode, problems: &mut Problems) {
        let somebody = caa == CaaMode::Off || !self.resolvers.is_empty() || !self.zones.is_empty();
        let what = "must name whom to ask about CAA; caa = \"off\" is for development";
        problems.require(somebody, format!("{at}.resolvers"), what);
        problems.require(!self.propagation.is_zero(), format!("{at}.propagation"), "must not be zero");
        for (name, zone) in &self.zones {
            let at = format!("{at}.zones.{name}");
            zone.validate(&at, self.resolvers.is_empty(), problems);
            let twice = self.zones.values().filter(|other| other.origin() == zone.origin()).count() > 1;
            problems.require(!twice, format!("{at}.origin"), "is the origin of another zone too");
        }
    }

    /// Reads the keys. Nothing is contacted yet.
    ///
    /// # Errors
    /// When a key cannot be read or used.
    pub fn build(&self, at: &str, ambient: &Ambient) -> Result<Dns, AcmeSetupError> {
        let build = |(name, zone): (&String, &ZoneConfig)| {
            zone.build(&format!("{at}.zones.{name}"), self.propagation, ambient)
        };
        let zones = self.zones.iter().map(build).collect::<Result<_, _>>()?;
        Ok(Dns::new(zones, self.resolvers.clone(), self.propagation, ambient))
    }
}

impl ExternalAccountConfig {
    /// Reads the key.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn build(&self, at: &str) -> Result<ExternalAccount, AcmeSetupError> {
        let field = format!("{at}.key");
        let key = secret(&field, self.key.as_ref(), self.key_file.as_ref())?;
        let account = ExternalAccount::new(self.key_id.clone(), &key);
        account.map_err(|source| AcmeSetupError::External { field, source })
    }
}

fn secret(
    field: &str,
    value: Option<&Secret>,
    file: Option<&PathBuf>,
) -> Result<Zeroizing<String>, AcmeSetupError> {
    let field = field.to_owned();
    match (value, file) {
        (Some(value), None) => Ok(Zeroizing::new(value.expose().to_owned())),
        (None, Some(path)) => secret_file(path).map_err(|source| AcmeSetupError::Secret { field, source }),
        _ => Err(AcmeSetupError::OneSecret { field }),
    }
}
