// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why evidence was refused.

use std::fmt::{self, Display};

use crate::{nitro::NitroError, snp::SnpError};

/// Longest text that is taken over from a library: parts of it may come from whoever made the evidence.
const MAX_TEXT: usize = 200;

/// A library's words in one bounded line.
pub(crate) fn bounded(text: &impl Display) -> String {
    text.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

use alloy::primitives::B256;

/// A defect of evidence. Evidence is public, so the texts may quote it; they never quote more than a bounded piece.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// A part is longer than its cap; nothing of it was parsed.
    #[error("{part} is {got} bytes or entries long, at most {max} are accepted")]
    TooLarge {
        /// Which part.
        part: Part,
        /// Its length.
        got: usize,
        /// The cap.
        max: usize,
    },
    /// The encoding ends inside a field.
    #[error("the evidence is cut short inside its {part}")]
    Truncated {
        /// Which part.
        part: Part,
    },
    /// The encoding goes on after its last field.
    #[error("{extra} bytes follow the end of the evidence")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
    /// Not this encoding at all.
    #[error("these bytes are not evidence: the encoding starts with other bytes")]
    NotEvidence,
    /// A version of the encoding that this build does not read.
    #[error("evidence encoding version {got} is not known, version {known} is")]
    UnknownEncoding {
        /// The version found.
        got: u8,
        /// The version that is read.
        known: u8,
    },
    /// A TEE kind that this build cannot verify.
    #[error("evidence of TEE kind {got} cannot be verified by this build")]
    UnsupportedTee {
        /// The kind found.
        got: u8,
    },
    /// A text field is not UTF-8.
    #[error("the {part} is not UTF-8 text")]
    NotText {
        /// Which part.
        part: Part,
    },
    /// An event names a digest version that does not exist.
    #[error("event digest version {got} is not known; 0 (boot), 1 and 2 are")]
    UnknownDigestVersion {
        /// The version found.
        got: u8,
    },

    /// Not one of upstream's forms of evidence.
    #[error("this is no evidence of an upstream TDX guest: {reason}")]
    NotUpstream {
        /// What the parser said.
        reason: String,
    },

    /// A trust anchor is not a certificate.
    #[error("a root is not a DER certificate; give the root CA certificate in DER")]
    BadAnchor,

    /// The quote, its certificates or its collateral did not verify.
    #[error("TDX quote refused: {0}")]
    Quote(#[from] QuoteError),
    /// The quote was made for something else.
    #[error("it binds other report data than was asked for: it was made for another request")]
    ReportDataMismatch,
    /// The report, its certificates or its CRL did not verify.
    #[error("SEV-SNP report refused: {0}")]
    Snp(#[from] SnpError),
    /// The guest was launched with another configuration than the one given.
    #[error("the report's HOST_DATA is not the digest of the launch configuration")]
    HostDataMismatch,
    /// The document or its certificates did not verify.
    #[error("Nitro document refused: {0}")]
    Nitro(#[from] NitroError),
    /// The enclave was started with another configuration than the one given.
    #[error("PCR16 is not the digest of the launch configuration")]
    ConfigPcrMismatch,
    /// The launch configuration is not one.
    #[error("the launch configuration cannot be read: {reason}")]
    BadConfig {
        /// What the parser said.
        reason: String,
    },
    /// The host launched the TD for other code than it booted.
    #[error("MR_CONFIG_ID commits to another compose hash, app or key provider than the event log")]
    ConfigIdMismatch,

    /// An event whose register, type and form of digest do not go together.
    #[error(
        "event {index} is neither a runtime event of RTMR3 nor a boot event of RTMR0-2 (register {register}, type {kind:#010x})"
    )]
    ForeignEvent {
        /// Position in the log.
        index: usize,
        /// Register that it names.
        register: u32,
        /// Its type.
        kind: u32,
    },
    /// A name that could be read in two ways, or none.
    #[error("event {index} has an empty name or one with a colon in it")]
    AmbiguousName {
        /// Position in the log.
        index: usize,
    },
    /// The log is not what was extended into RTMR3.
    #[error("the event log does not replay to the quote's RTMR3")]
    LogMismatch,
    /// The firmware's and boot loader's part of the log is not what was extended.
    #[error("the boot events do not replay to the quote's RTMR{register}")]
    BootLogMismatch {
        /// Index of the register.
        register: usize,
    },
    /// Two events of one name before `system-ready`.
    #[error("event {name:?} occurs twice before system-ready")]
    DuplicateEvent {
        /// The name.
        name: String,
    },
    /// A boot event out of its order.
    #[error("event {name:?} comes out of its order")]
    EventOrder {
        /// The name.
        name: String,
    },
    /// A boot event that must be there.
    #[error("event {name:?} is missing from the boot part of the log")]
    MissingEvent {
        /// The name.
        name: &'static str,
    },
    /// A payload of another length than its meaning needs. Nothing is padded.
    #[error("event {name:?} has {got} bytes of payload, {expected} are needed")]
    PayloadLength {
        /// The name.
        name: &'static str,
        /// Length found.
        got: usize,
        /// Length needed.
        expected: usize,
    },

    /// The image manifest is not one.
    #[error("the OS image manifest cannot be read: {reason}")]
    BadImage {
        /// What the parser said.
        reason: String,
    },
    /// The manifest is not the one that the OS image hash names.
    #[error("the OS image manifest hashes to another value than the event log's os-image-hash")]
    ImageHashMismatch,
    /// What booted is not the image it claims to be.
    #[error("what was measured at boot is in no row of the OS image's manifest: another image was booted")]
    ImageNotBooted,
    /// Evidence without a manifest, of an image that the verifier does not know.
    #[error(
        "the evidence carries no OS image manifest and its registers are of no known image; \
         give the image's measurements in the verifier's configuration"
    )]
    UnknownImage,
    /// Two images with one set of registers.
    #[error(
        "the images {first} and {second} are given the same registers: a quote could not tell them apart"
    )]
    AmbiguousImage {
        /// One hash.
        first: B256,
        /// The other.
        second: B256,
    },
}

/// Why the quote itself was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuoteError {
    /// It cannot be parsed.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// Not a version that carries a TD report.
    #[error("version {0} is not accepted, versions 4 and 5 are")]
    Version(u16),
    /// Some other TEE's quote.
    #[error("TEE type {0:#x} is not TDX (0x81)")]
    NotTdx(u32),
    /// A debug bit is set: the host reads the TD's memory.
    #[error("the TD is under debug (TUD byte {0:#04x})")]
    Debug(u8),
    /// The TD can be migrated to another platform.
    #[error("the TD is migratable")]
    Migratable,
    /// EPT violations are turned into exceptions that the host can inject.
    #[error("SEPT_VE_DISABLE is not set")]
    SeptVeEnabled,
    /// Somebody else than Intel signed the TDX module.
    #[error("MRSIGNERSEAM is not zero: the TDX module is not Intel's")]
    SeamSigner,
    /// The TDX module runs with attributes.
    #[error("SEAMATTRIBUTES are set ({0:#018x}): the TDX module is no production module")]
    SeamAttributes(u64),
    /// The TDX module is not what the TCB info lists.
    #[error("its TDX module is not acceptable: {0}")]
    TdxModule(String),
    /// A service TD is bound and could act on this TD.
    #[error("a service TD is bound to the TD")]
    ServiceTd,
    /// Reserved attribute bits are set.
    #[error("reserved TD attribute bits are set ({0:#018x})")]
    ReservedAttributes(u64),
    /// A certificate chain, CRL or signature of the collateral leads to another root.
    #[error("it does not lead to the trusted root: {0}")]
    Untrusted(String),
    /// A certificate is revoked.
    #[error("a certificate of its chain is revoked: {0}")]
    CertificateRevoked(String),
    /// Collateral or a certificate is expired or not yet valid.
    #[error("its collateral is not valid at this time: {0}")]
    Expired(String),
    /// Intel has revoked the platform's TCB level.
    #[error("the platform's TCB level is revoked")]
    TcbRevoked,
    /// Below every level that the TCB info lists.
    #[error("the platform is below every listed TCB level: {0}")]
    TcbUnlisted(String),
    /// The quoting enclave is not the expected one, or too old.
    #[error("its quoting enclave is not acceptable: {0}")]
    QuotingEnclave(String),
    /// A signature over the quote is wrong.
    #[error("a signature is wrong: {0}")]
    Signature(String),
    /// The collateral is another platform's or another TEE's.
    #[error("the collateral does not belong to it: {0}")]
    WrongCollateral(String),
    /// The PCK certificate names no platform.
    #[error("its PCK certificate carries no PPID")]
    NoDevice,
    /// Anything else that the verification library refuses.
    #[error("{0}")]
    Other(String),
}

/// A part of the evidence, for error texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// All of it.
    Evidence,
    /// The magic, version and kind bytes.
    Preamble,
    /// The quote.
    Quote,
    /// The event log (counted in events).
    EventLog,
    /// One event's name.
    EventName,
    /// One event's payload.
    EventPayload,
    /// The OS image manifest.
    Image,
    /// The rows of the OS image manifest.
    ImageRows,
    /// A PEM certificate chain of the collateral.
    CertificateChain,
    /// A CRL of the collateral.
    Crl,
    /// The TCB info.
    TcbInfo,
    /// The QE identity.
    QeIdentity,
    /// A signature of the collateral.
    Signature,
    /// The SEV-SNP report.
    Report,
    /// A DER certificate.
    Certificate,
    /// The Nitro document.
    Document,
    /// The launch configuration.
    Config,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evidence => "evidence",
            Self::Preamble => "preamble",
            Self::Quote => "quote",
            Self::EventLog => "event log",
            Self::EventName => "event name",
            Self::EventPayload => "event payload",
            Self::Image => "OS image manifest",
            Self::ImageRows => "OS image manifest's list of measurements",
            Self::CertificateChain => "certificate chain",
            Self::Crl => "CRL",
            Self::TcbInfo => "TCB info",
            Self::QeIdentity => "QE identity",
            Self::Signature => "collateral signature",
            Self::Report => "report",
            Self::Certificate => "certificate",
            Self::Document => "Nitro document",
            Self::Config => "launch configuration",
        })
    }
}
