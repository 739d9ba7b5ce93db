// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The section `acme`, which gateways and agents share.

use std::{path::PathBuf, sync::Arc, time::Duration};

use mandate_runtime::{
    Ambient,
    config::{Problems, duration},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;

use super::{AcmeSetupError, DnsConfig, ExternalAccountConfig};
use crate::{AcmeConfig, caa::guard::CaaMode, dns::Dns, name::DomainName};

/// Who issues certificates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeSection {
    /// URL of the ACME directory.
    pub directory: String,
    /// The authority's domain name as CAA names it.
    pub issuer: String,
    /// PEM file with a root of the authority's own HTTPS, when it is not a public one.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long an order may take.
    #[serde(default = "order", with = "duration")]
    pub timeout: Duration,
    /// What to do about CAA.
    #[serde(default)]
    pub caa: CaaMode,
    /// An account that the authority handed out beforehand.
    #[serde(default)]
    pub external_account: Option<ExternalAccountConfig>,
    /// Whom to ask, and which zones are ours.
    #[serde(default)]
    pub dns: DnsConfig,
}

fn order() -> Duration {
    Duration::from_secs(120)
}

impl AcmeSection {
    /// What is wrong with it; `at` is the section's name.
    pub fn validate(&self, at: &str, problems: &mut Problems) {
        let https = self.directory.starts_with("https://");
        problems.require(https, format!("{at}.directory"), "must be an https:// URL");
        let issuer = DomainName::try_from(self.issuer.as_str()).is_ok();
        let what = "must be the authority's domain name, as CAA has it";
        problems.require(issuer, format!("{at}.issuer"), what);
        problems.require(!self.timeout.is_zero(), format!("{at}.timeout"), "must not be zero");
        self.dns.validate(&format!("{at}.dns"), self.caa, problems);
    }

    /// Reads the files and keys that it names. Nothing is contacted yet.
    ///
    /// # Errors
    /// When one of them cannot be read or used.
    pub fn build(&self, at: &str, ambient: &Ambient) -> Result<(AcmeConfig, Arc<Dns>), AcmeSetupError> {
        let extra_roots = match &self.ca_file {
            None => Vec::new(),
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|source| {
                    let (field, path) = (format!("{at}.ca_file"), path.clone());
                    AcmeSetupError::CaFile { field, path, source }
                })?,
        };
        let external_account = self.external_account.as_ref();
        let external_account =
            external_account.map(|account| account.build(&format!("{at}.external_account"))).transpose()?;
        let dns = Arc::new(self.dns.build(&format!("{at}.dns"), ambient)?);
        let (directory, issuer) = (self.directory.clone(), self.issuer.clone());
        let (caa, timeout) = (self.caa, self.timeout);
        Ok((AcmeConfig { directory, extra_roots, issuer, timeout, external_account, caa }, dns))
    }
}
