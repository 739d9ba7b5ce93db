// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where evidence comes from: whoever proves itself, an app's agent or a committee node, does so through a [`Quoter`].

use std::{fmt, fmt::Debug, path::PathBuf, sync::Arc};

use futures::future::BoxFuture;
use serde::Deserialize;
use thiserror::Error;

use crate::{
    Evidence,
    pccs::{CollateralConfig, CollateralError},
};

mod tsm;

pub use tsm::{REPORT_DIR, TsmQuoter};

/// Where the parts of evidence come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceSources {
    /// The kernel's report interface.
    #[serde(default = "tsm::default_report_dir")]
    pub report_dir: PathBuf,
    /// JSON array of the events that were extended into the registers, as upstream writes them.
    pub event_log: PathBuf,
    /// The manifest whose hash is the OS image hash. Without one, verifiers must know the image by its registers.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// Where quote collateral comes from. Intel signs it, so neither server nor files need be trusted.
    pub collateral: CollateralConfig,
}

impl EvidenceSources {
    /// What is wrong with them as an operator wrote them: field and reason.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let CollateralConfig { pccs_url, root_crl_url, dir } = &self.collateral;
        let mut problems = Vec::new();
        if pccs_url.is_none() && dir.is_none() {
            problems.push(("collateral", "needs pccs_url, or dir for offline use"));
        }
        for (field, url) in [("collateral.pccs_url", pccs_url), ("collateral.root_crl_url", root_crl_url)] {
            let usable = |url: &String| ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
            if !url.as_ref().is_none_or(usable) {
                problems.push((field, "must be an http:// or https:// URL"));
            }
        }
        problems
    }
}

/// What a quoter takes from outside.
#[derive(Clone)]
pub struct Surroundings {
    /// Unix seconds.
    pub now: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Eight random bytes, so that no two requests share an entry of the report interface.
    pub random: Arc<dyn Fn() -> [u8; 8] + Send + Sync>,
}

impl Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// Makes evidence about the TEE that this process runs in.
pub trait Quoter: Send + Sync + Debug {
    /// Evidence whose report data is `report_data`.
    fn evidence(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Evidence, QuoterError>>;
}

/// Why no evidence could be made.
#[derive(Debug, Error)]
pub enum QuoterError {
    /// The kernel did not give a quote.
    #[error("no quote from {place}: {what}")]
    Quote {
        /// The directory of the report interface.
        place: String,
        /// What failed.
        what: String,
    },
    /// There is no collateral for the quote.
    #[error("collateral: {0}")]
    Collateral(String),
    /// Something that goes with the quote is missing.
    #[error("{part} from {place}: {what}")]
    Part {
        /// Event log or image manifest.
        part: &'static str,
        /// File or URL.
        place: String,
        /// What failed.
        what: String,
    },
}

impl From<CollateralError> for QuoterError {
    fn from(error: CollateralError) -> Self {
        Self::Collateral(error.to_string())
    }
}
