// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Intel TDX: the quote through `dcap-qvl`, then what a quote alone does not say.

pub(crate) mod config_id;
pub(crate) mod memory;
mod refusal;
mod report;

use alloy::primitives::B256;
use dcap_qvl::{
    QuoteCollateralV3,
    quote::{Quote, TDReport10},
    verify::VerifiedReport,
};

use self::memory::Remembering;
use crate::{
    anchors::TrustAnchors,
    error::{EvidenceError, QuoteError},
    event_log::{self, Registers},
    evidence::{Collateral, Reader, TdxEvidence, codec},
    image::{self, ImageMeasurements},
    kind::Kind,
    measurements,
    verified::{Tee, Verified},
    verifier::Trust,
};

const TEE_TYPE_TDX: u32 = 0x81;

/// A quote that verified: its registers are what the platform measured. Says nothing yet about what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedQuote {
    report: TDReport10,
    ppid: Vec<u8>,
    tcb_status: String,
    advisories: Vec<String>,
}

impl VerifiedQuote {
    /// The report data that the guest chose.
    pub fn report_data(&self) -> &[u8; 64] {
        &self.report.report_data
    }

    /// RTMR3.
    pub fn rtmr3(&self) -> &[u8; 48] {
        &self.report.rt_mr3
    }

    /// RTMR0 to RTMR3.
    pub fn registers(&self) -> Registers {
        let td = &self.report;
        [td.rt_mr0, td.rt_mr1, td.rt_mr2, td.rt_mr3]
    }

    /// MRTD and RTMR0-2.
    pub fn image_measurements(&self) -> ImageMeasurements {
        let td = &self.report;
        ImageMeasurements {
            mrtd: td.mr_td.into(),
            rtmr0: td.rt_mr0.into(),
            rtmr1: td.rt_mr1.into(),
            rtmr2: td.rt_mr2.into(),
        }
    }

    /// SHA-256 of the platform's provisioning id.
    pub fn device_id(&self) -> B256 {
        measurements::device_id(&self.ppid)
    }

    /// TCB status in Intel's words.
    pub fn tcb_status(&self) -> &str {
        &self.tcb_status
    }

    /// Intel's advisories that apply.
    pub fn advisories(&self) -> &[String] {
        &self.advisories
    }
}

/// Verifies a quote with its collateral at `now_unix`, down to the anchors' root.
///
/// # Errors
/// [`QuoteError`], for whatever makes a quote worthless under every policy.
pub fn verify_quote(
    quote: &[u8],
    collateral: &Collateral,
    anchors: &TrustAnchors,
    now_unix: u64,
) -> Result<VerifiedQuote, QuoteError> {
    quote_under(&Trust::cold(anchors), quote, collateral, now_unix)
}

pub(crate) fn quote_under(
    trust: &Trust<'_>,
    quote: &[u8],
    collateral: &Collateral,
    now_unix: u64,
) -> Result<VerifiedQuote, QuoteError> {
    check_header(quote)?;
    let parsed = Quote::parse(quote).map_err(|e| QuoteError::Malformed(refusal::text(&e)))?;
    // Before the signatures, for an error that names the attribute; after them, because only then it is proven.
    report::check(&parsed.report)?;
    let verified = dcap_verify(trust, quote, &QuoteCollateralV3::from(collateral), now_unix)?;
    let report = report::check(&verified.report)?;
    if verified.ppid.is_empty() {
        return Err(QuoteError::NoDevice);
    }
    Ok(VerifiedQuote {
        report,
        ppid: verified.ppid,
        tcb_status: verified.status,
        advisories: verified.advisory_ids,
    })
}

/// With a memory, the same verification with remembered signatures.
fn dcap_verify(
    trust: &Trust<'_>,
    quote: &[u8],
    collateral: &QuoteCollateralV3,
    now_unix: u64,
) -> Result<VerifiedReport, QuoteError> {
    let verifier = trust.anchors.quote_verifier();
    let verified = match trust.signatures {
        None => verifier.verify(quote, collateral, now_unix),
        Some(memory) => {
            let verifier = verifier.with_config::<Remembering>();
            memory.during(|| verifier.verify(quote, collateral, now_unix))
        }
    };
    verified.map_err(|e| refusal::classify(&e))
}

impl Kind for TdxEvidence {
    const TEE: Tee = Tee::Tdx;

    fn put(&self, out: &mut Vec<u8>) {
        codec::put_tdx(out, self);
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, EvidenceError> {
        codec::take_tdx(input)
    }

    fn check_caps(&self) -> Result<(), EvidenceError> {
        self.caps()
    }

    fn verify(
        &self,
        trust: &Trust<'_>,
        now_unix: u64,
        expected_report_data: &[u8; 64],
    ) -> Result<Verified, EvidenceError> {
        verify(self, trust, now_unix, expected_report_data)
    }
}

fn verify(
    evidence: &TdxEvidence,
    trust: &Trust<'_>,
    now_unix: u64,
    expected_report_data: &[u8; 64],
) -> Result<Verified, EvidenceError> {
    let quote = quote_under(trust, &evidence.quote, &evidence.collateral, now_unix)?;
    if quote.report_data() != expected_report_data {
        return Err(EvidenceError::ReportDataMismatch);
    }
    let boot = event_log::prove(&evidence.event_log, &quote.registers())?;
    config_id::check(&quote.report.mr_config_id, &boot)?;
    let os_image_hash = prove_image(trust, &evidence.image, boot.os_image_hash, &quote.image_measurements())?;
    Ok(Verified {
        app_id: boot.app_id,
        compose_hash: boot.compose_hash,
        os_image_hash,
        launch_ticket: boot.launch_ticket,
        instance_id: boot.instance_id,
        device_id: quote.device_id(),
        mr_aggregated: measurements::mr_aggregated(&quote.report),
        mr_system: measurements::mr_system(&quote.report, &boot.key_provider),
        tee: Tee::Tdx,
        tcb_status: quote.tcb_status,
        advisories: quote.advisories,
        key_provider: boot.key_provider,
        development: trust.anchors.is_development(),
    })
}

/// A manifest is named by the hash that the OS extended. Without one the verifier must know the registers itself, and what
/// the log says about the image counts nothing: upstream's guests extend another hash there, or none.
fn prove_image(
    trust: &Trust<'_>,
    manifest: &[u8],
    logged: Option<B256>,
    booted: &ImageMeasurements,
) -> Result<B256, EvidenceError> {
    if manifest.is_empty() {
        return trust.image_of(booted).ok_or(EvidenceError::UnknownImage);
    }
    let hash = logged.ok_or(EvidenceError::MissingEvent { name: event_log::OS_IMAGE_HASH })?;
    image::prove(manifest, hash, booted)?;
    Ok(hash)
}

/// Versions 4 and 5 carry TD reports; 3 is SGX's, and later ones have layouts that nobody here has read. The TEE's type
/// decides how the rest is read, so it is looked at before that.
fn check_header(quote: &[u8]) -> Result<(), QuoteError> {
    let Some(&[v0, v1, _, _, t0, t1, t2, t3]) = quote.first_chunk() else {
        return Err(QuoteError::Malformed("it ends inside its header".to_owned()));
    };
    match (u16::from_le_bytes([v0, v1]), u32::from_le_bytes([t0, t1, t2, t3])) {
        (4 | 5, TEE_TYPE_TDX) => Ok(()),
        (4 | 5, tee) => Err(QuoteError::NotTdx(tee)),
        (version, _) => Err(QuoteError::Version(version)),
    }
}
