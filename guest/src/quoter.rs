// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where evidence comes from.

use std::fmt::Debug;

use futures::future::BoxFuture;
use mandate_attestation::{Evidence, pccs::CollateralError};
use thiserror::Error;

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
