// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Intel TDX: the quote through `dcap-qvl`, then what a quote alone does not say.

mod refusal;

use alloy::primitives::B256;
use dcap_qvl::quote::{Quote, Report, TDReport10};

use crate::{
    anchors::TrustAnchors,
    error::{EvidenceError, QuoteError},
    event_log,
    evidence::{Collateral, Reader, TdxEvidence, codec},
    image::{self, ImageMeasurements},
    kind::Kind,
    measurements,
    verified::{Tee, Verified},
    verifier::Trust,
};

const TEE_TYPE_TDX: u32 = 0x81;
const UNSET: [u8; 48] = [0; 48];
/// First byte of an MR_CONFIG_ID that goes on with the compose hash.
const CONFIG_ID_COMPOSE: u8 = 1;

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
    check_version(quote)?;
    let parsed = Quote::parse(quote).map_err(|e| QuoteError::Malformed(refusal::text(&e)))?;
    if parsed.header.tee_type != TEE_TYPE_TDX {
        return Err(QuoteError::NotTdx(parsed.header.tee_type));
    }
    // Before the signatures, for an error that names the attribute; after them, because only then it is proven.
    check_attributes(&parsed.report)?;
    let verified = anchors
        .quote_verifier()
        .verify(quote, &collateral.to_dcap(), now_unix)
        .map_err(|e| refusal::classify(&e))?;
    let report = check_attributes(&verified.report)?;
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
        verify(self, trust.anchors, now_unix, expected_report_data)
    }
}

fn verify(
    evidence: &TdxEvidence,
    anchors: &TrustAnchors,
    now_unix: u64,
    expected_report_data: &[u8; 64],
) -> Result<Verified, EvidenceError> {
    let quote = verify_quote(&evidence.quote, &evidence.collateral, anchors, now_unix)?;
    if quote.report_data() != expected_report_data {
        return Err(EvidenceError::ReportDataMismatch);
    }
    let boot = event_log::prove(&evidence.event_log, quote.rtmr3())?;
    check_config_id(&quote.report.mr_config_id, boot.compose_hash)?;
    image::prove(&evidence.image, boot.os_image_hash, &quote.image_measurements())?;
    Ok(Verified {
        app_id: boot.app_id,
        compose_hash: boot.compose_hash,
        os_image_hash: boot.os_image_hash,
        launch_ticket: boot.launch_ticket,
        instance_id: boot.instance_id,
        device_id: quote.device_id(),
        mr_aggregated: measurements::mr_aggregated(&quote.report),
        mr_system: measurements::mr_system(&quote.report, &boot.key_provider),
        tee: Tee::Tdx,
        tcb_status: quote.tcb_status,
        advisories: quote.advisories,
        key_provider: boot.key_provider,
        development: anchors.is_development(),
    })
}

/// Versions 4 and 5 carry TD reports; 3 is SGX's, and later ones have layouts that nobody here has read.
fn check_version(quote: &[u8]) -> Result<(), QuoteError> {
    match quote.first_chunk().map(|version| u16::from_le_bytes(*version)) {
        Some(4 | 5) => Ok(()),
        Some(version) => Err(QuoteError::Version(version)),
        None => Err(QuoteError::Malformed("it is empty".to_owned())),
    }
}

/// Refuses what no policy could make acceptable. The whole TUD byte counts: each of its bits opens the TD to the host.
fn check_attributes(report: &Report) -> Result<TDReport10, QuoteError> {
    let td = report.as_td10().ok_or(QuoteError::NotTdx(0))?;
    let attributes = Attributes(u64::from_le_bytes(td.td_attributes));
    match attributes {
        a if a.tud() != 0 => Err(QuoteError::Debug(a.tud())),
        a if a.has(Attributes::SERVICE_TD) => Err(QuoteError::ServiceTd),
        a if a.has(Attributes::MIGRATABLE) => Err(QuoteError::Migratable),
        a if !a.has(Attributes::SEPT_VE_DISABLE) => Err(QuoteError::SeptVeEnabled),
        a if a.has(Attributes::RESERVED) => Err(QuoteError::ReservedAttributes(a.0 & Attributes::RESERVED)),
        _ => Ok(()),
    }?;
    if report.as_td15().is_some_and(|td15| td15.mr_service_td != UNSET) {
        return Err(QuoteError::ServiceTd);
    }
    Ok(*td)
}

/// TD attributes (Intel TDX module ABI, table "ATTRIBUTES").
#[derive(Clone, Copy)]
struct Attributes(u64);

impl Attributes {
    const SERVICE_TD: u64 = 1 << 17;
    const SEPT_VE_DISABLE: u64 = 1 << 28;
    const MIGRATABLE: u64 = 1 << 29;
    /// Bits 8-15, 23-26 and 32-61.
    const RESERVED: u64 = 0xff00 | (0xf << 23) | ((1 << 62) - (1 << 32));

    fn tud(self) -> u8 {
        let [tud, ..] = self.0.to_le_bytes();
        tud
    }

    fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }
}

/// A host that committed to a compose hash at launch is held to it. The other forms of MR_CONFIG_ID commit to documents
/// that evidence does not carry; they count in `mr_aggregated`.
fn check_config_id(config_id: &[u8; 48], compose_hash: B256) -> Result<(), EvidenceError> {
    match config_id {
        [CONFIG_ID_COMPOSE, rest @ ..] if !rest.starts_with(compose_hash.as_slice()) => {
            Err(EvidenceError::ConfigIdMismatch)
        }
        _ => Ok(()),
    }
}
