// SPDX-License-Identifier: Apache-2.0 OR MIT
//! AWS Nitro Enclaves: a COSE_Sign1 document, the path to AWS's root through `rustls-webpki`, and what its registers mean.
//!
//! | fact | from |
//! |---|---|
//! | OS image | the manifest, which lists PCR0 to PCR2: the enclave image file, its kernel, its application |
//! | app, code hash, instance, launch ticket, key provider | the launch configuration, whose digest is in PCR16 |
//! | device | SHA-256 of the parent EC2 instance's id |
//! | `mr_system`, `mr_aggregated` | SHA-256(PCR0 ‖ PCR1 ‖ PCR2), SHA-256(PCR0 ‖ PCR1 ‖ PCR2 ‖ PCR16) |
//!
//! An enclave image could carry one app alone. Here it is an OS that is given its app from outside, as on other TEEs, and
//! so has to say which: before it starts anything, it extends PCR16 (the first that enclaves may extend) once with the
//! digest of its launch configuration and locks it. A document lists locked registers only, so nobody can extend that
//! register after the document shows it, and PCR0 to PCR2 say that the OS which did it is the approved one.
//!
//! AWS publishes no TCB levels and patches its hosts itself. The signing certificates live for hours, so a document that
//! verifies is of a host that AWS vouches for now: the status is always `UpToDate`. There is no CRL check for the same
//! reason: everything below the root is replaced within days.

mod document;
mod error;

use std::fmt::{self, Display};

use alloy::primitives::{B256, FixedBytes};
use coset::{CborSerializable, CoseSign1, iana::Algorithm};
use p384::ecdsa::Signature;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha384};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring::ECDSA_P384_SHA384};

use crate::{
    anchors::TrustAnchors,
    config::{self, LaunchConfig},
    error::{EvidenceError, Part, bounded},
    evidence::{Reader, cap, codec, within},
    image::{self, NitroMeasurement},
    kind::Kind,
    measurements::sha256,
    verified::{Tee, Verified},
    verifier::Trust,
};

pub use error::NitroError;

use document::Document;

/// Longest document that is parsed; AWS's module makes none above 16 KiB.
const MAX_DOCUMENT: usize = 16 * 1024;
/// The register that the OS binds its launch configuration to.
const CONFIG_PCR: u8 = 16;
const UP_TO_DATE: &str = "UpToDate";

/// A Nitro document with all that its verification needs: verifiers fetch nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct NitroEvidence {
    /// The document as the module gives it, COSE_Sign1.
    pub document: Vec<u8>,
    /// The document whose digest is in PCR16: [`LaunchConfig`].
    pub config: Vec<u8>,
    /// The manifest that lists PCR0 to PCR2 and whose SHA-256 is the OS image hash: [`crate::OsImage`].
    pub image: Vec<u8>,
}

/// A document that verified: its registers are what the hypervisor measured. Says nothing yet about what they mean.
#[derive(Debug)]
pub struct VerifiedDocument(Document);

impl VerifiedDocument {
    /// The user data that the enclave chose.
    pub fn user_data(&self) -> Option<&[u8]> {
        self.0.user_data.as_deref()
    }

    /// A locked register.
    ///
    /// # Errors
    /// [`NitroError::NotLocked`].
    pub fn pcr(&self, index: u8) -> Result<FixedBytes<48>, NitroError> {
        self.0.pcrs.get(&index).map(FixedBytes::from).ok_or(NitroError::NotLocked(index))
    }

    /// PCR0 to PCR2.
    ///
    /// # Errors
    /// [`NitroError::NotLocked`].
    pub fn image_measurements(&self) -> Result<NitroMeasurement, NitroError> {
        Ok(NitroMeasurement { pcr0: self.pcr(0)?, pcr1: self.pcr(1)?, pcr2: self.pcr(2)? })
    }

    /// SHA-256 of the parent instance's id: `i-…`, what comes before `-enc` in the module's name.
    ///
    /// # Errors
    /// [`NitroError::NoDevice`].
    pub fn device_id(&self) -> Result<B256, NitroError> {
        let instance = self.0.module_id.split_once("-enc").map(|(instance, _)| instance);
        let instance =
            instance.filter(|id| id.starts_with("i-") && id.len() > 2).ok_or(NitroError::NoDevice)?;
        Ok(sha256(&[instance.as_bytes()]))
    }
}

/// Verifies a document at `now_unix`, down to the anchors' root.
///
/// # Errors
/// [`NitroError`], for whatever makes a document worthless under every policy.
pub fn verify_document(
    document: &[u8],
    anchors: &TrustAnchors,
    now_unix: u64,
) -> Result<VerifiedDocument, NitroError> {
    let malformed = |what: &dyn Display| NitroError::Malformed(bounded(&what));
    let signed = CoseSign1::from_slice(document).map_err(|e| malformed(&e))?;
    check_headers(&signed)?;
    let payload = signed.payload.as_deref().ok_or_else(|| malformed(&"it has no payload"))?;
    let parsed = Document::parse(payload)?;
    check_signature(&signed, &parsed, anchors, now_unix)?;
    let registers = [0, 1, 2].map(|index| parsed.pcrs.get(&index));
    if registers.into_iter().flatten().all(|register| *register == [0; 48]) {
        return Err(NitroError::Debug);
    }
    Ok(VerifiedDocument(parsed))
}

fn check_headers(signed: &CoseSign1) -> Result<(), NitroError> {
    let mut protected = signed.protected.header.clone();
    let algorithm = protected.alg.take();
    let es384 = algorithm == Some(coset::Algorithm::Assigned(Algorithm::ES384));
    if es384 && protected.is_empty() && signed.unprotected.is_empty() {
        return Ok(());
    }
    Err(NitroError::Algorithm)
}

/// The path first, then the signature: an error names the outermost thing that is wrong.
fn check_signature(
    signed: &CoseSign1,
    document: &Document,
    anchors: &TrustAnchors,
    now_unix: u64,
) -> Result<(), NitroError> {
    let root = CertificateDer::from(anchors.nitro_root());
    let trusted = [anchor_from_trusted_cert(&root).map_err(|e| refused(&e))?];
    let leaf = CertificateDer::from(document.certificate.as_slice());
    let leaf = EndEntityCert::try_from(&leaf).map_err(|e| refused(&e))?;
    let own = document.bundle.iter().filter(|der| der.as_slice() != root.as_ref());
    let intermediates: Vec<_> = own.map(|der| CertificateDer::from(der.as_slice())).collect();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_unix));
    leaf.verify_for_usage(
        &[ECDSA_P384_SHA384],
        &trusted,
        &intermediates,
        now,
        KeyUsage::client_auth(),
        None,
        None,
    )
    .map_err(|e| refused(&e))?;
    let signature = Signature::from_slice(&signed.signature).map_err(|_| NitroError::Signature)?;
    leaf.verify_signature(ECDSA_P384_SHA384, &signed.tbs_data(&[]), signature.to_der().as_bytes())
        .map_err(|_| NitroError::Signature)
}

fn refused(error: &webpki::Error) -> NitroError {
    match error {
        webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
            NitroError::Expired(bounded(error))
        }
        other => NitroError::Untrusted(bounded(other)),
    }
}

/// PCR16 of an enclave that was started with this launch configuration: extended once, from zero.
pub fn config_pcr(document: &[u8]) -> FixedBytes<48> {
    let extended = Sha384::new().chain_update([0; 48]).chain_update(config::host_data(document)).finalize();
    FixedBytes::from(<[u8; 48]>::from(extended))
}

impl Kind for NitroEvidence {
    const TEE: Tee = Tee::Nitro;

    fn put(&self, out: &mut Vec<u8>) {
        for part in [&self.document, &self.config, &self.image] {
            codec::put(out, part);
        }
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, EvidenceError> {
        Ok(Self {
            document: input.bytes(Part::Document, MAX_DOCUMENT)?,
            config: input.bytes(Part::Config, cap::CONFIG)?,
            image: input.bytes(Part::Image, cap::IMAGE)?,
        })
    }

    fn check_caps(&self) -> Result<(), EvidenceError> {
        within(Part::Document, self.document.len(), MAX_DOCUMENT)?;
        within(Part::Config, self.config.len(), cap::CONFIG)?;
        within(Part::Image, self.image.len(), cap::IMAGE)
    }

    fn verify(
        &self,
        trust: &Trust<'_>,
        now_unix: u64,
        expected_report_data: &[u8; 64],
    ) -> Result<Verified, EvidenceError> {
        let document = verify_document(&self.document, trust.anchors, now_unix)?;
        if document.user_data() != Some(expected_report_data.as_slice()) {
            return Err(EvidenceError::ReportDataMismatch);
        }
        let bound = document.pcr(CONFIG_PCR)?;
        if config_pcr(&self.config) != bound {
            return Err(EvidenceError::ConfigPcrMismatch);
        }
        let config = LaunchConfig::parse(&self.config)?;
        let measured = document.image_measurements()?;
        let os_image_hash = image::prove_nitro(&self.image, &measured)?;
        let NitroMeasurement { pcr0, pcr1, pcr2 } = measured;
        let system = [pcr0.as_slice(), pcr1.as_slice(), pcr2.as_slice()];
        let [first, second, third] = system;
        Ok(Verified {
            app_id: config.app_id,
            compose_hash: config.compose_hash,
            launch_ticket: config.launch_ticket_hash,
            os_image_hash,
            instance_id: config.instance_id,
            device_id: document.device_id()?,
            mr_aggregated: sha256(&[first, second, third, bound.as_slice()]),
            mr_system: sha256(&system),
            tee: Self::TEE,
            tcb_status: UP_TO_DATE.to_owned(),
            advisories: Vec::new(),
            key_provider: config.key_provider_info(),
            development: trust.anchors.is_development(),
        })
    }
}

// Kilobytes of bytes that say nothing to a reader of a log.
impl fmt::Debug for NitroEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NitroEvidence")
            .field("document_len", &self.document.len())
            .field("config", &String::from_utf8_lossy(&self.config))
            .field("image_len", &self.image.len())
            .finish()
    }
}
