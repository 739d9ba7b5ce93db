// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a SEV-SNP report was refused.

use super::{KeyKind, Product};

/// Why the report itself, or what vouches for it, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnpError {
    /// It cannot be parsed, or it has bytes that its version does not define.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// A version with a layout that nobody here has read.
    #[error("version {0} is not accepted, versions 2 to 5 are")]
    Version(u32),
    /// The guest's policy lets the host debug it.
    #[error("the guest's policy allows debugging: the host may read its memory")]
    Debug,
    /// The guest's policy lets a migration agent take its memory elsewhere, or one is bound.
    #[error("the guest's policy allows a migration agent, or one is bound to it")]
    Migratable,
    /// Policy bits that have no meaning yet are set, or the one that must be is not.
    #[error("reserved bits of the guest's policy are not as they must be ({0:#018x})")]
    ReservedPolicy(u64),
    /// It was asked for by less privileged software than the OS, or by the host.
    #[error("it was requested at VMPL {0}, only the OS at VMPL 0 speaks for the guest")]
    Vmpl(u32),
    /// Not ECDSA over P-384 with SHA-384.
    #[error("signature algorithm {0} is not known, 1 (ECDSA P-384 with SHA-384) is")]
    Algorithm(u32),
    /// The platform leaves reports unsigned, or signs with no endorsed key.
    #[error("it is signed with neither a VCEK nor a VLEK")]
    Unsigned,
    /// The host hides which chip this is.
    #[error("the platform masks its chip id: no device can be named")]
    ChipMasked,
    /// Its certificate is of the other kind than it says.
    #[error("it says that a {report} signed it, the certificate is a {certificate}")]
    KeyKind {
        /// What the report says.
        report: KeyKind,
        /// What the certificate is.
        certificate: KeyKind,
    },
    /// The processor is of another line than its certificates.
    #[error("its processor is no {0}, but its certificates are")]
    Product(Product),
    /// A certificate or CRL that cannot be one of AMD's.
    #[error("{of} is not as AMD makes it: {what}")]
    Certificate {
        /// Which.
        of: Endorser,
        /// What is wrong with it.
        what: String,
    },
    /// The certificates lead to another root.
    #[error("its certificates do not lead to a trusted root: {0}")]
    Untrusted(String),
    /// The root did not sign the CRL.
    #[error("the CRL is not the root's: {0}")]
    ForeignCrl(String),
    /// A certificate or the CRL is expired or not yet valid.
    #[error("{0} is not valid at this time")]
    Expired(Endorser),
    /// AMD has revoked a certificate.
    #[error("{0} is revoked")]
    Revoked(Endorser),
    /// The report claims a firmware that its key does not belong to.
    #[error("{component}: the certificate is for version {certificate}, the report claims {report}")]
    Tcb {
        /// Component of the TCB.
        component: &'static str,
        /// Its security version in the certificate.
        certificate: u8,
        /// Its security version in the report.
        report: u8,
    },
    /// The report names another chip than its certificate.
    #[error("the certificate belongs to another chip than the report names")]
    Chip,
    /// The report's signature is wrong.
    #[error("its signature is wrong: {0}")]
    Signature(String),
}

/// Whoever vouches for a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endorser {
    /// The root: AMD's root key (ARK).
    Root,
    /// The signer of endorsement keys: ASK or ASVK.
    Authority,
    /// The endorsement key: VCEK or VLEK.
    Key,
    /// The root's list of revoked certificates.
    Crl,
}

impl std::fmt::Display for Endorser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Root => "the ARK certificate",
            Self::Authority => "the ASK or ASVK certificate",
            Self::Key => "the VCEK or VLEK certificate",
            Self::Crl => "the CRL",
        })
    }
}
