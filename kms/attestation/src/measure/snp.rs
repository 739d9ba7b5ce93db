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

use super::{MeasureError, Register};

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
    // The library indexes firmware where the firmware itself says, and is not made for files that lie.
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

/// What the calculator takes for granted.
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
