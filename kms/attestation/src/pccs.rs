// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Collateral for a quote, from a provisioning certificate caching service (PCCS) or from files.
//!
//! Intel signs all of it, so neither the service nor the files need be trusted: whoever verifies checks signatures, dates
//! and revocation again. What is checked here only tells an operator early what is wrong.
//!
//! ```text
//!  quote ─ FMSPC, CA ─► memory ─► PCCS (four GETs) ─► directory
//!                         ▲           └── fails ──────►   │
//!                         └───────── until nextUpdate ────┘
//! ```
//! With a URL and a directory, what was fetched is kept in the directory and serves when the service does not answer. A
//! directory alone is offline mode: nothing is fetched, ever.

mod expiry;
mod fetch;
mod files;
mod https;

use std::{fmt, num::NonZeroUsize, path::PathBuf, sync::Arc};

use dcap_qvl::{intel, quote::Quote};
use lru::LruCache;
use serde::Deserialize;
use tokio::sync::Mutex;

pub use fetch::{Answer, Http};
pub use https::{Https, HttpsError};

use crate::evidence::{Collateral, cap};

/// Platform families that are remembered.
const PLATFORMS: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");
/// Collateral is asked for again when it is this old, though it still holds: new revocations come before old lists end.
const REFRESH: u64 = 12 * 60 * 60;
/// Certification data that is a chain of PCK certificates.
const PCK_CHAIN: u16 = 5;
const MAX_REASON: usize = 200;

/// Where collateral comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollateralConfig {
    /// Base URL of a PCCS, `http://` or `https://`, with or without `/sgx/certification/v4`.
    #[serde(default)]
    pub pccs_url: Option<String>,
    /// Where the root CA's CRL is, for services that do not serve it, like Intel's own.
    #[serde(default)]
    pub root_crl_url: Option<String>,
    /// Files `FMSPC-ca.json`, such as `b0c06f000000-platform.json`.
    #[serde(default)]
    pub dir: Option<PathBuf>,
}

/// Why there is no collateral. Each names the place and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollateralError {
    /// Neither a service nor a directory.
    #[error("no source of collateral: set pccs_url, or dir for offline use")]
    NoSource,
    /// A URL that cannot be used.
    #[error("{url}: not usable as a PCCS: {what}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The quote is not one.
    #[error("the quote names no platform: {0}")]
    Quote(String),
    /// The platform does not put its certificate into quotes.
    #[error(
        "the quote carries no PCK certificate chain (certification data of type {0}): let the platform's quoting service \
         embed it"
    )]
    NoCertificate(u16),
    /// The service could not be asked.
    #[error("{url}: {what}; is the PCCS up and its address right?")]
    Unreachable {
        /// Whom we asked.
        url: String,
        /// How it failed.
        what: String,
    },
    /// The service has no answer.
    #[error(
        "{url}: HTTP status {status}; the PCCS may not know this platform family yet, or not serve this path"
    )]
    Status {
        /// Whom we asked.
        url: String,
        /// What it said.
        status: u16,
    },
    /// The answer is no collateral.
    #[error("{url}: not collateral: {what}")]
    Malformed {
        /// Whom we asked.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file is not there or cannot be used.
    #[error("{}: {what}; put collateral for {platform} there, or set pccs_url to fetch it", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Whose collateral it is for.
        platform: Platform,
        /// What is wrong.
        what: String,
    },
    /// What there is has run out.
    #[error("the collateral for {platform} ran out at {expired} (seconds since 1970): fetch newer")]
    Expired {
        /// Whose.
        platform: Platform,
        /// When.
        expired: u64,
    },
}

/// What collateral is for: a platform family and the CA that certifies its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Platform {
    /// Family, model, stepping, platform and customer SKU.
    pub fmspc: [u8; 6],
    /// `platform` or `processor`.
    pub ca: &'static str,
}

impl Platform {
    /// The platform that made a quote, by the certificate in it.
    ///
    /// # Errors
    /// [`CollateralError::Quote`] and [`CollateralError::NoCertificate`].
    pub fn of(quote: &[u8]) -> Result<Self, CollateralError> {
        let bad = |e: &dyn fmt::Display| CollateralError::Quote(shortened(e));
        if quote.len() > cap::QUOTE {
            return Err(bad(&format_args!("it is longer than {} bytes", cap::QUOTE)));
        }
        let quote = Quote::parse(quote).map_err(|e| bad(&e))?;
        if quote.inner_cert_type() != PCK_CHAIN {
            return Err(CollateralError::NoCertificate(quote.inner_cert_type()));
        }
        let fmspc = intel::quote_fmspc(&quote).map_err(|e| bad(&e))?;
        let ca = intel::quote_ca(&quote).map_err(|e| bad(&e))?.as_id_str();
        Ok(Self { fmspc, ca })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", hex::encode(self.fmspc), self.ca)
    }
}

/// Collateral with what is known of its age.
#[derive(Debug, Clone)]
struct Entry {
    collateral: Collateral,
    fetched: u64,
    expires: u64,
}

/// Finds collateral for quotes, and remembers it per platform until it runs out.
pub struct CollateralClient {
    service: Option<fetch::Service>,
    dir: Option<PathBuf>,
    /// Held while one fetches, so that many quotes at once cause one fetch.
    known: Mutex<LruCache<Platform, Entry>>,
}

impl CollateralClient {
    /// A client that asks over `http`.
    ///
    /// # Errors
    /// [`CollateralError::NoSource`] and [`CollateralError::Url`].
    pub fn new(config: &CollateralConfig, http: Arc<dyn Http>) -> Result<Self, CollateralError> {
        let service = match &config.pccs_url {
            Some(url) => Some(fetch::Service::new(url, config.root_crl_url.as_deref(), http)?),
            None => None,
        };
        if service.is_none() && config.dir.is_none() {
            return Err(CollateralError::NoSource);
        }
        Ok(Self { service, dir: config.dir.clone(), known: Mutex::new(LruCache::new(PLATFORMS)) })
    }

    /// Collateral for the platform that made `quote`, which holds at `now_unix`.
    ///
    /// # Errors
    /// As [`CollateralError`] lists.
    pub async fn collateral(&self, quote: &[u8], now_unix: u64) -> Result<Collateral, CollateralError> {
        let platform = Platform::of(quote)?;
        let mut known = self.known.lock().await;
        let remembered = known.get(&platform).filter(|entry| now_unix <= entry.expires).cloned();
        if let Some(entry) = &remembered
            && now_unix < entry.fetched.saturating_add(REFRESH)
        {
            return Ok(entry.collateral.clone());
        }
        let entry = match self.fresh(platform, now_unix).await {
            Ok(entry) => entry,
            // What is remembered still holds; the next call tries again.
            Err(error) => return remembered.map(|entry| entry.collateral).ok_or(error),
        };
        let collateral = entry.collateral.clone();
        known.put(platform, entry);
        Ok(collateral)
    }

    /// From the service, or, when it fails or there is none, from the directory.
    async fn fresh(&self, platform: Platform, now_unix: u64) -> Result<Entry, CollateralError> {
        let failed = match &self.service {
            None => None,
            Some(service) => match service.fetch(platform).await.and_then(|c| in_time(platform, c, now_unix))
            {
                Ok(entry) => {
                    self.keep(platform, &entry.collateral);
                    return Ok(entry);
                }
                Err(error) => Some(error),
            },
        };
        let Some(dir) = &self.dir else { return Err(failed.unwrap_or(CollateralError::NoSource)) };
        let read = files::read(dir, platform).and_then(|c| in_time(platform, c, now_unix));
        read.map_err(|error| failed.unwrap_or(error))
    }

    /// A directory that cannot be written to is no reason to have no collateral.
    fn keep(&self, platform: Platform, collateral: &Collateral) {
        if let Some(dir) = &self.dir
            && let Err(error) = files::write(dir, platform, collateral)
        {
            tracing::warn!(%error, dir = %dir.display(), "collateral is not kept");
        }
    }
}

impl fmt::Debug for CollateralClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CollateralClient")
            .field("service", &self.service)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

fn in_time(platform: Platform, collateral: Collateral, now_unix: u64) -> Result<Entry, CollateralError> {
    let expires = expiry::of(&collateral)
        .map_err(|what| CollateralError::Malformed { url: platform.to_string(), what: shortened(&what) })?;
    if now_unix > expires {
        return Err(CollateralError::Expired { platform, expired: expires });
    }
    Ok(Entry { collateral, fetched: now_unix, expires })
}

fn shortened(text: &dyn fmt::Display) -> String {
    format!("{text:#}").chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect()
}
