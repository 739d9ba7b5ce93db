// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The SEV-SNP launch digest, by the `sev` library's calculator.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use sev::{
    measurement::{
        ovmf::{OVMF, SectionType},
        snp::{SnpMeasurementArgs, snp_calc_launch_digest},
        vcpu_types::CpuType,
        vmsa::{GuestFeatures, VMMType},
    },
    parser::ByteParser,
};

use super::{
    MeasureError, Register,
    ovmf::{self, Guid, Table},
};

const METADATA_GUID: Guid =
    [0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47, 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc];
/// Signature, length, version and number of sections, and then the sections.
const METADATA_HEADER: usize = 16;
const SECTION: usize = 12;

/// The page that QEMU writes the hashes of kernel, initrd and command line into.
const HASHES_PAGE: u32 = 4096;

/// What is launched, and on how many virtual CPUs of which type.
#[derive(Debug, Clone)]
pub struct SnpLaunch<'a> {
    /// OVMF with SEV metadata.
    pub firmware: &'a Path,
    /// The kernel; with it initrd and command line are measured too.
    pub kernel: Option<&'a Path>,
    /// The initrd.
    pub initrd: Option<&'a Path>,
    /// The kernel's command line.
    pub command_line: Option<&'a str>,
    /// How many virtual CPUs.
    pub vcpus: u32,
    /// QEMU's name of their type.
    pub vcpu_type: CpuType,
    /// `SEV_FEATURES` of the virtual CPUs; 1 is SEV-SNP alone.
    pub features: u64,
}

/// The launch digest under QEMU.
///
/// # Errors
/// [`MeasureError::Snp`] when a file cannot be read or the firmware is not made for this launch.
pub fn snp_measurement(launch: &SnpLaunch<'_>) -> Result<Register, MeasureError> {
    check_metadata(&std::fs::read(launch.firmware).map_err(failed)?)?;
    // The library indexes firmware where the firmware itself says. What is known to lead it astray is refused above.
    let digest = std::panic::catch_unwind(|| calculate(launch));
    digest.unwrap_or_else(|_| Err(failed("the firmware's table or metadata is out of bounds")))
}

fn calculate(launch: &SnpLaunch<'_>) -> Result<Register, MeasureError> {
    check_firmware(launch)?;
    let arguments = SnpMeasurementArgs {
        vcpus: launch.vcpus,
        vcpu_type: launch.vcpu_type,
        ovmf_file: launch.firmware.to_owned(),
        guest_features: GuestFeatures(launch.features),
        kernel_file: launch.kernel.map(PathBuf::from),
        initrd_file: launch.initrd.map(PathBuf::from),
        append: launch.command_line,
        ovmf_hash_str: None,
        vmm_type: Some(VMMType::QEMU),
    };
    snp_calc_launch_digest(arguments).map_err(failed)?.to_bytes().map_err(failed)
}

/// That the firmware's table and SEV metadata are within the file, which the library takes for granted.
fn check_metadata(firmware: &[u8]) -> Result<(), MeasureError> {
    const OUTSIDE: &str = "the firmware's SEV metadata is out of bounds";
    let table = Table::of(firmware).ok_or_else(|| failed(ovmf::NO_TABLE))?;
    let from_end = table.offset(METADATA_GUID).ok_or_else(|| failed("the firmware has no SEV metadata"))?;
    let metadata = firmware.len().checked_sub(from_end).and_then(|start| firmware.get(start..));
    let metadata = metadata.ok_or_else(|| failed(OUTSIDE))?;
    let field = |at: usize| {
        let bytes = metadata.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map(|bytes| u32::from_le_bytes(*bytes)).and_then(|value| usize::try_from(value).ok())
    };
    let (Some(length), Some(sections)) = (field(4), field(12)) else { return Err(failed(OUTSIDE)) };
    let needed = sections.checked_mul(SECTION).and_then(|size| size.checked_add(METADATA_HEADER));
    match needed {
        Some(needed) if needed <= length && length <= metadata.len() => Ok(()),
        _ => Err(failed(OUTSIDE)),
    }
}

/// What the calculator takes for granted of a launch.
fn check_firmware(launch: &SnpLaunch<'_>) -> Result<(), MeasureError> {
    let firmware = OVMF::new(launch.firmware.to_owned()).map_err(failed)?;
    let hashes =
        firmware.metadata_items().iter().filter(|item| item.section_type == SectionType::SnpKernelHashes);
    let whole = hashes.into_iter().all(|item| item.size == HASHES_PAGE);
    let refused = match launch {
        SnpLaunch { vcpus: 0, .. } => "a guest has at least one virtual CPU",
        SnpLaunch { kernel: None, initrd: Some(_), .. }
        | SnpLaunch { kernel: None, command_line: Some(_), .. } => {
            "initrd and command line are measured with a kernel only"
        }
        _ if !whole => "the firmware's area for kernel hashes is not one page",
        _ => return Ok(()),
    };
    Err(failed(refused))
}

fn failed(error: impl Display) -> MeasureError {
    MeasureError::Snp(error.to_string())
}

#[cfg(test)]
mod tests;
