// SPDX-License-Identifier: Apache-2.0 OR MIT
//! AMD SEV-SNP: report and chain through the `sev` library, then all that it leaves to its caller.
//!
//! | fact | from |
//! |---|---|
//! | app, code hash, instance, launch ticket, key provider | the launch configuration, whose digest is HOST_DATA |
//! | OS image | the manifest, which lists MEASUREMENT |
//! | device | SHA-256 of the chip id |
//! | `mr_system`, `mr_aggregated` | SHA-256(MEASUREMENT), SHA-256(MEASUREMENT ‖ HOST_DATA) |
//! | TCB status, advisories | what the signed report says about firmware and memory aliases |
//!
//! A guest cannot extend a register that is signed: there is no event log. What its app is, is fixed at launch.

mod certificate;
mod crl;
mod derived_key;
mod endorsement;
mod error;
mod evidence;
mod report;

use std::fmt::{self, Display};

use alloy::primitives::{B256, FixedBytes};

use crate::{
    anchors::TrustAnchors,
    config::{self, LaunchConfig},
    error::{EvidenceError, bounded},
    evidence::Reader,
    image::{self, SnpMeasurement},
    kind::Kind,
    measurements::sha256,
    verified::{Tee, Verified},
    verifier::Trust,
};

pub use derived_key::{DerivedKeyError, derived_key};
pub(crate) use endorsement::Chains;
pub use error::{Endorser, SnpError};
pub use evidence::{Endorsement, SnpEvidence};

use endorsement::Window;

/// A line of processors with a root of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Product {
    /// Third generation.
    Milan,
    /// Fourth generation; Bergamo and Siena too.
    Genoa,
    /// Fifth generation.
    Turin,
}

impl Product {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];
}

impl Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        })
    }
}

/// A kind of key that signs reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Versioned chip endorsement key: one chip's.
    Vcek,
    /// Versioned loaded endorsement key: a cloud provider's.
    Vlek,
}

impl Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        })
    }
}

/// A report that verified: its fields are what the platform measured. Says nothing yet about what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReport {
    report_data: [u8; 64],
    measurement: [u8; 48],
    host_data: [u8; 32],
    chip_id: [u8; 64],
    tcb_status: &'static str,
    advisories: Vec<String>,
}

impl VerifiedReport {
    /// The report data that the guest chose.
    pub fn report_data(&self) -> &[u8; 64] {
        &self.report_data
    }

    /// The launch digest: firmware, and kernel, initrd and command line where the host launched them directly.
    pub fn measurement(&self) -> FixedBytes<48> {
        self.measurement.into()
    }

    /// What the host bound to the launch.
    pub fn host_data(&self) -> B256 {
        self.host_data.into()
    }

    /// SHA-256 of the chip id.
    pub fn device_id(&self) -> B256 {
        sha256(&[&self.chip_id])
    }

    /// TCB status in the contracts' words.
    pub fn tcb_status(&self) -> &str {
        self.tcb_status
    }

    /// AMD's bulletins whose remedy the platform does not attest to.
    pub fn advisories(&self) -> &[String] {
        &self.advisories
    }
}

/// Verifies a report at `now_unix`, down to one of the anchors' roots.
///
/// # Errors
/// [`SnpError`], for whatever makes a report worthless under every policy.
pub fn verify_report(
    report: &[u8],
    endorsement: &Endorsement,
    anchors: &TrustAnchors,
    now_unix: u64,
) -> Result<VerifiedReport, SnpError> {
    verify_with(report, endorsement, anchors, now_unix, None)
}

fn verify_with(
    bytes: &[u8],
    endorsement: &Endorsement,
    anchors: &TrustAnchors,
    now_unix: u64,
    chains: Option<&Chains>,
) -> Result<VerifiedReport, SnpError> {
    let report = report::parse(bytes)?;
    let kind = report::key_kind(&report)?;
    endorsement::endorse(chains, endorsement, anchors, now_unix)?.check(&report, kind)?;
    Ok(VerifiedReport {
        report_data: report.report_data,
        measurement: report.measurement,
        host_data: report.host_data,
        chip_id: report.chip_id,
        tcb_status: report::tcb_status(&report),
        advisories: report::advisories(&report),
    })
}

impl Kind for SnpEvidence {
    const TEE: Tee = Tee::Snp;

    fn put(&self, out: &mut Vec<u8>) {
        evidence::put(self, out);
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, EvidenceError> {
        evidence::take(input)
    }

    fn check_caps(&self) -> Result<(), EvidenceError> {
        evidence::check_caps(self)
    }

    fn verify(
        &self,
        trust: &Trust<'_>,
        now_unix: u64,
        expected_report_data: &[u8; 64],
    ) -> Result<Verified, EvidenceError> {
        let report = verify_with(&self.report, &self.endorsement, trust.anchors, now_unix, trust.chains)?;
        if report.report_data() != expected_report_data {
            return Err(EvidenceError::ReportDataMismatch);
        }
        if config::host_data(&self.config) != report.host_data() {
            return Err(EvidenceError::HostDataMismatch);
        }
        let config = LaunchConfig::parse(&self.config)?;
        let os_image_hash = prove_image(trust, &self.image, report.measurement())?;
        Ok(Verified {
            app_id: config.app_id,
            compose_hash: config.compose_hash,
            launch_ticket: config.launch_ticket_hash,
            os_image_hash,
            instance_id: config.instance_id,
            device_id: report.device_id(),
            mr_aggregated: sha256(&[&report.measurement, &report.host_data]),
            mr_system: sha256(&[&report.measurement]),
            tee: Self::TEE,
            tcb_status: report.tcb_status.to_owned(),
            key_provider: config.key_provider_info(),
            advisories: report.advisories,
            development: trust.anchors.is_development(),
        })
    }
}

/// A manifest names the image by its own hash. Without one the verifier must know the launch digest itself.
fn prove_image(
    trust: &Trust<'_>,
    manifest: &[u8],
    measurement: FixedBytes<48>,
) -> Result<B256, EvidenceError> {
    match manifest.is_empty() {
        true => trust.image_of_launch(&SnpMeasurement { measurement }).ok_or(EvidenceError::UnknownImage),
        false => image::prove_snp(manifest, measurement),
    }
}

#[cfg(test)]
mod tests;
