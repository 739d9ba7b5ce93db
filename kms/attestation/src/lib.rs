// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TEE evidence: formats, verification and the development PKI.
//!
//! [`verify`] turns [`Evidence`] into [`Verified`], the only type whose facts may be believed. Nothing here knows a policy:
//! which app, code, image or TCB status is acceptable is for the contracts to say. What *is* refused here is evidence
//! that proves nothing, whatever the policy: a debuggable TD, a service TD, a revoked platform, a log that does not
//! replay to its register, an image whose measurements were not the ones booted.
//!
//! There is no mock variant. Development mints real quotes under a root of its own (feature `dev-pki`), and only the
//! [`TrustAnchors`] differ.

mod anchors;
mod config;
#[cfg(feature = "dev-pki")]
pub mod dev_pki;
mod error;
pub mod event_log;
pub mod evidence;
pub mod image;
mod kind;
mod known_images;
#[cfg(feature = "measure")]
pub mod measure;
mod measurements;
pub mod nitro;
#[cfg(feature = "pccs")]
pub mod pccs;
#[cfg(feature = "pccs")]
pub mod quoter;
#[cfg(test)]
mod sev_package;
pub mod snp;
pub mod tdx;
pub mod upstream;
mod verified;
mod verifier;
#[cfg(feature = "x509")]
pub mod x509;

pub use anchors::{AnchorFileError, AnchorFiles, TrustAnchors};
pub use config::{KeyProvider, LaunchConfig, host_data};
pub use error::{EvidenceError, Part, QuoteError};
pub use event_log::{DigestVersion, Event};
pub use evidence::{Collateral, Evidence, MAX_EVIDENCE, TdxEvidence};
pub use image::{ImageMeasurements, NitroMeasurement, OsImage, SnpMeasurement};
pub use known_images::{KnownImage, KnownImages};
pub use nitro::{NitroError, NitroEvidence};
#[cfg(feature = "pccs")]
pub use quoter::{Quoter, QuoterError};
pub use snp::{Endorsement, SnpError, SnpEvidence};
pub use verified::{Tee, Verified};
pub use verifier::Verifier;

/// Verifies evidence at `now_unix` against `anchors`, and that it was made for `expected_report_data`. A [`Verifier`] does
/// the same faster when there is more than one thing to verify.
///
/// # Errors
/// One [`EvidenceError`] variant per defect; whoever presents refused evidence gets nothing.
pub fn verify(
    evidence: &Evidence,
    anchors: &TrustAnchors,
    now_unix: u64,
    expected_report_data: &[u8; 64],
) -> Result<Verified, EvidenceError> {
    evidence.verify(&verifier::Trust::cold(anchors), now_unix, expected_report_data)
}
