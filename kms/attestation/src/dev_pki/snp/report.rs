// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reports as firmware writes and signs them.

use sev::{
    firmware::{
        guest::{AttestationReport, GuestPolicy, KeyInfo, PlatformInfo, Version},
        host::TcbVersion,
    },
    parser::ByteParser,
};

use super::{DevSnpGuest, SnpDefect, keys::EcKey};
use crate::{
    config,
    snp::{KeyKind, Product},
};

const SIGNED: usize = 0x2a0;
/// SMT allowed, and the bit that must be one.
const POLICY: u64 = 0x3_0000;
/// SMT and ECC.
const PLATFORM: u64 = 0x5;
const ALIASES_CHECKED: u64 = 0x20;
const UNSIGNED: u32 = 1 << 1;
/// Somewhere in the last reserved range of every version.
const RESERVED_BYTE: usize = 0x290;

/// The guest's report.
pub(super) fn signed(key: &EcKey, guest: &DevSnpGuest, report_data: [u8; 64]) -> Vec<u8> {
    let mut bytes =
        report(guest, report_data).to_bytes().expect("all its fields are in their ranges").to_vec();
    patch(&mut bytes, guest);
    let signature = key.sign(bytes.get(..SIGNED).unwrap_or_default());
    bytes.iter_mut().skip(SIGNED).zip(signature).for_each(|(to, from)| *to = from);
    bytes
}

/// What the library would not write.
fn patch(bytes: &mut [u8], guest: &DevSnpGuest) {
    let version = match guest.defect {
        Some(SnpDefect::OldReportVersion) => Some(1u32),
        Some(SnpDefect::FutureReportVersion) => Some(6),
        _ => None,
    };
    if let Some(version) = version {
        bytes.iter_mut().zip(version.to_le_bytes()).for_each(|(to, from)| *to = from);
    }
    if guest.defect == Some(SnpDefect::ReservedByte)
        && let Some(byte) = bytes.get_mut(RESERVED_BYTE)
    {
        *byte = 1;
    }
    if guest.defect == Some(SnpDefect::MaskedChip) {
        bytes.iter_mut().skip(0x1a0).take(64).for_each(|byte| *byte = 0);
    }
}

fn report(guest: &DevSnpGuest, report_data: [u8; 64]) -> AttestationReport {
    let defect = guest.defect;
    let (family, model) = cpu(guest);
    let cpuid = |value: u8| (guest.report_version > 2).then_some(value);
    let vector = (guest.report_version > 4).then_some(1);
    AttestationReport {
        version: guest.report_version,
        policy: GuestPolicy::from(policy(defect)),
        vmpl: if defect == Some(SnpDefect::LessPrivileged) { 2 } else { 0 },
        sig_algo: if defect == Some(SnpDefect::SignatureAlgorithm) { 2 } else { 1 },
        current_tcb: tcb(guest, guest.tcb.current),
        plat_info: PlatformInfo::from(PLATFORM | if guest.aliases_checked { ALIASES_CHECKED } else { 0 }),
        key_info: KeyInfo::from(key_info(guest)),
        report_data: if defect == Some(SnpDefect::OtherReportData) { [0; 64] } else { report_data },
        measurement: guest.measurement().into(),
        host_data: config::host_data(&guest.config()).into(),
        report_id: [0x1d; 32],
        report_id_ma: if defect == Some(SnpDefect::MigrationAgentBound) { [7; 32] } else { [0xff; 32] },
        reported_tcb: reported(guest),
        cpuid_fam_id: cpuid(family),
        cpuid_mod_id: cpuid(model),
        cpuid_step: cpuid(1),
        chip_id: chip_id(guest),
        committed_tcb: tcb(guest, guest.tcb.committed),
        current: Version::new(1, 55, 40),
        committed: Version::new(1, 55, 40),
        launch_tcb: tcb(guest, guest.tcb.launched),
        launch_mit_vector: vector,
        current_mit_vector: vector,
        ..AttestationReport::default()
    }
}

fn policy(defect: Option<SnpDefect>) -> u64 {
    match defect {
        Some(SnpDefect::MigrationAgentAllowed) => POLICY | 1 << 18,
        Some(SnpDefect::Debug) => POLICY | 1 << 19,
        Some(SnpDefect::ReservedPolicy) => POLICY | 1 << 40,
        _ => POLICY,
    }
}

fn key_info(guest: &DevSnpGuest) -> u32 {
    let kind = match (guest.defect, guest.key) {
        (Some(SnpDefect::Unsigned), _) => return UNSIGNED,
        (Some(SnpDefect::UnknownSigningKey), _) => 7,
        (Some(SnpDefect::OtherKeyKind), KeyKind::Vcek) | (_, KeyKind::Vlek) => 1,
        (_, KeyKind::Vcek) => 0,
    };
    kind << 2
}

/// CPUID family and model.
fn cpu(guest: &DevSnpGuest) -> (u8, u8) {
    match (guest.defect, guest.product) {
        (Some(SnpDefect::OtherProcessor), Product::Milan) | (None | Some(_), Product::Genoa) => (0x19, 0x11),
        (_, Product::Milan) => (0x19, 0x01),
        (_, Product::Turin) => (0x1a, 0x02),
    }
}

fn chip_id(guest: &DevSnpGuest) -> [u8; 64] {
    let mut id = guest.chip_id();
    if guest.defect == Some(SnpDefect::OtherChip) {
        id[7] ^= 1;
    }
    id
}

/// The report's claim; one component of it is higher than the certificate says where that is the defect.
fn reported(guest: &DevSnpGuest) -> TcbVersion {
    let mut claimed = tcb(guest, guest.tcb.reported);
    match guest.defect {
        Some(SnpDefect::ClaimedBootLoader) => claimed.bootloader += 1,
        Some(SnpDefect::ClaimedTee) => claimed.tee += 1,
        Some(SnpDefect::ClaimedFirmware) => claimed.snp += 1,
        Some(SnpDefect::ClaimedMicrocode) => claimed.microcode += 1,
        Some(SnpDefect::ClaimedFmc) => claimed.fmc = claimed.fmc.map(|fmc| fmc + 1),
        _ => {}
    }
    claimed
}

fn tcb(guest: &DevSnpGuest, version: u8) -> TcbVersion {
    let fmc = (guest.product == Product::Turin).then_some(version);
    TcbVersion::new(fmc, version, version, version, version)
}
