// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What SEV-SNP evidence carries, and how it is written.
//!
//! ```text
//! report ‖ endorsement key ‖ authority ‖ CRL ‖ launch configuration ‖ image
//! ```

use std::fmt;

use crate::{
    error::{EvidenceError, Part},
    evidence::{Reader, cap, codec, within},
};

mod limit {
    pub(super) const REPORT: usize = 2 * 1024;
    pub(super) const CERTIFICATE: usize = 8 * 1024;
    pub(super) const CRL: usize = 64 * 1024;
}

/// A SEV-SNP report with all that its verification needs: verifiers fetch nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SnpEvidence {
    /// The report, versions 2 to 5.
    pub report: Vec<u8>,
    /// Who vouches for the key that signed it.
    pub endorsement: Endorsement,
    /// The document whose digest is the report's HOST_DATA: [`crate::LaunchConfig`].
    pub config: Vec<u8>,
    /// The manifest that lists the report's MEASUREMENT and whose SHA-256 is the OS image hash: [`crate::OsImage`].
    pub image: Vec<u8>,
}

/// Certificates and CRL as AMD's key distribution service gives them: signed, so whoever fetched them need not be
/// trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Endorsement {
    /// VCEK or VLEK certificate, DER.
    pub key: Vec<u8>,
    /// ASK or ASVK certificate, DER.
    pub authority: Vec<u8>,
    /// The root's CRL, DER.
    pub crl: Vec<u8>,
}

pub(super) fn put(evidence: &SnpEvidence, out: &mut Vec<u8>) {
    let Endorsement { key, authority, crl } = &evidence.endorsement;
    for part in [&evidence.report, key, authority, crl, &evidence.config, &evidence.image] {
        codec::put(out, part);
    }
}

pub(super) fn take(input: &mut Reader<'_>) -> Result<SnpEvidence, EvidenceError> {
    Ok(SnpEvidence {
        report: input.bytes(Part::Report, limit::REPORT)?,
        endorsement: Endorsement {
            key: input.bytes(Part::Certificate, limit::CERTIFICATE)?,
            authority: input.bytes(Part::Certificate, limit::CERTIFICATE)?,
            crl: input.bytes(Part::Crl, limit::CRL)?,
        },
        config: input.bytes(Part::Config, cap::CONFIG)?,
        image: input.bytes(Part::Image, cap::IMAGE)?,
    })
}

pub(super) fn check_caps(evidence: &SnpEvidence) -> Result<(), EvidenceError> {
    let Endorsement { key, authority, crl } = &evidence.endorsement;
    within(Part::Report, evidence.report.len(), limit::REPORT)?;
    within(Part::Certificate, key.len(), limit::CERTIFICATE)?;
    within(Part::Certificate, authority.len(), limit::CERTIFICATE)?;
    within(Part::Crl, crl.len(), limit::CRL)?;
    within(Part::Config, evidence.config.len(), cap::CONFIG)?;
    within(Part::Image, evidence.image.len(), cap::IMAGE)
}

// Kilobytes of bytes that say nothing to a reader of a log.
impl fmt::Debug for SnpEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnpEvidence")
            .field("report_len", &self.report.len())
            .field("endorsement", &self.endorsement)
            .field("config", &String::from_utf8_lossy(&self.config))
            .field("image_len", &self.image.len())
            .finish()
    }
}

impl fmt::Debug for Endorsement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endorsement")
            .field("key_len", &self.key.len())
            .field("authority_len", &self.authority.len())
            .field("crl_len", &self.crl.len())
            .finish()
    }
}
