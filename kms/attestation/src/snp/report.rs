// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report: what it says, and what no report of an honest guest may say.

use sev::{Generation, firmware::guest::AttestationReport, firmware::host::TcbVersion, parser::ByteParser};

use super::{KeyKind, Product, SnpError, bounded};

/// Length of every version of the report.
pub(super) const LENGTH: usize = 1184;

const ECDSA_P384_SHA384: u32 = 1;
/// Bit 17 must be one; bits 26 to 63 have no meaning yet.
const POLICY_ALWAYS: u64 = 1 << 17;
const POLICY_RESERVED: u64 = !((1 << 26) - 1);
/// A guest without migration agent reports all ones.
const NO_MIGRATION_AGENT: [u8; 32] = [0xff; 32];
/// "Undermining Integrity Features of SEV-SNP with Memory Aliasing" (CVE-2024-21944).
const MEMORY_ALIASES: &str = "AMD-SB-3015";

/// Parses a report and refuses what no policy could make acceptable. Proves nothing: the signature comes later.
pub(super) fn parse(bytes: &[u8]) -> Result<AttestationReport, SnpError> {
    let version = bytes.first_chunk().map(|version| u32::from_le_bytes(*version));
    match version {
        Some(2..=5) => {}
        Some(other) => return Err(SnpError::Version(other)),
        None => return Err(SnpError::Malformed("it is cut short".to_owned())),
    }
    if bytes.len() != LENGTH {
        return Err(SnpError::Malformed(format!("it is {} bytes long, not {LENGTH}", bytes.len())));
    }
    if bytes.get(0x1a0..0x1e0).is_some_and(|chip| chip.iter().all(|byte| *byte == 0)) {
        return Err(SnpError::ChipMasked);
    }
    let report = AttestationReport::from_bytes(bytes).map_err(|e| SnpError::Malformed(bounded(&e)))?;
    check_lossless(&report, bytes)?;
    check(&report)?;
    Ok(report)
}

/// The library verifies the signature over what it writes again, so that has to be what was read.
fn check_lossless(report: &AttestationReport, bytes: &[u8]) -> Result<(), SnpError> {
    let again = report.to_bytes().map_err(|e| SnpError::Malformed(bounded(&e)))?;
    let high = |scalar: &[u8; 72]| scalar.iter().skip(48).any(|byte| *byte != 0);
    if again.as_slice() != bytes || high(report.signature.r()) || high(report.signature.s()) {
        return Err(SnpError::Malformed("it has bytes that its version does not define".to_owned()));
    }
    Ok(())
}

fn check(report: &AttestationReport) -> Result<(), SnpError> {
    let policy = policy(report);
    if report.policy.debug_allowed() {
        return Err(SnpError::Debug);
    }
    if report.policy.migrate_ma_allowed() || report.report_id_ma != NO_MIGRATION_AGENT {
        return Err(SnpError::Migratable);
    }
    if policy & POLICY_RESERVED != 0 || policy & POLICY_ALWAYS == 0 {
        return Err(SnpError::ReservedPolicy(policy));
    }
    if report.vmpl != 0 {
        return Err(SnpError::Vmpl(report.vmpl));
    }
    if report.sig_algo != ECDSA_P384_SHA384 {
        return Err(SnpError::Algorithm(report.sig_algo));
    }
    Ok(())
}

/// The policy as it was signed: the library's own conversion sets bit 17.
fn policy(report: &AttestationReport) -> u64 {
    report.policy.to_bytes().map(u64::from_le_bytes).unwrap_or_default()
}

/// The kind of key that the report says it is signed with.
pub(super) fn key_kind(report: &AttestationReport) -> Result<KeyKind, SnpError> {
    match (report.key_info.mask_chip_key(), report.key_info.signing_key()) {
        (false, 0) => Ok(KeyKind::Vcek),
        (false, 1) => Ok(KeyKind::Vlek),
        _ => Err(SnpError::Unsigned),
    }
}

/// Whether the processor is of this line. Version 2 does not say which it is, but Turin's chip ids are eight bytes long,
/// and the fields of the TCB were read accordingly.
pub(super) fn is_of(report: &AttestationReport, product: Product) -> bool {
    let Some((family, model)) = report.cpuid_fam_id.zip(report.cpuid_mod_id) else {
        return (product == Product::Turin) == short_chip_id(report);
    };
    matches!(
        (Generation::identify_cpu(family, model), product),
        (Ok(Generation::Milan), Product::Milan)
            | (Ok(Generation::Genoa), Product::Genoa)
            | (Ok(Generation::Turin), Product::Turin)
    )
}

fn short_chip_id(report: &AttestationReport) -> bool {
    report.chip_id.iter().skip(8).all(|byte| *byte == 0)
}

/// The platform's TCB in the words that the contracts know. AMD publishes no list of levels; what the report itself
/// shows is whether the evidence is as good as the firmware that is running:
///
/// | reported and launched | committed | status |
/// |---|---|---|
/// | as running | as running | `UpToDate` |
/// | as running | older: the host can go back to it | `ConfigurationNeeded` |
/// | older: a key of older firmware signs, or it launched the guest | as running | `OutOfDate` |
/// | older | older | `OutOfDateConfigurationNeeded` |
pub(super) fn tcb_status(report: &AttestationReport) -> &'static str {
    let running = report.current_tcb;
    let behind = |tcb: TcbVersion| tcb != running;
    match (behind(report.reported_tcb) || behind(report.launch_tcb), behind(report.committed_tcb)) {
        (false, false) => "UpToDate",
        (false, true) => "ConfigurationNeeded",
        (true, false) => "OutOfDate",
        (true, true) => "OutOfDateConfigurationNeeded",
    }
}

/// AMD's bulletins whose remedy the platform does not attest to. One remedy can be seen in a report: that firmware has
/// looked for memory aliases since the last reset.
pub(super) fn advisories(report: &AttestationReport) -> Vec<String> {
    match report.plat_info.alias_check_complete() {
        true => Vec::new(),
        false => vec![MEMORY_ALIASES.to_owned()],
    }
}
