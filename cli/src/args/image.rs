// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate image`.

use std::path::PathBuf;

use alloy::primitives::FixedBytes;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Compute from an image's files what the hardware measures, and the OS image hash
    #[command(after_help = MEASURE_HELP)]
    Measure(MeasureArgs),
}

const MEASURE_HELP: &str = "\
The OS image hash is the SHA-256 of the manifest, which lists what every supported shape of machine measures. Give the \
same files and shapes as whoever proposed the hash: the same hash says that it stands for these files.

Guests are meant that QEMU boots directly (-kernel, -initrd, -append) with OVMF. RTMR0 needs the ACPI files that QEMU \
hands to the firmware: in the guest, /sys/firmware/qemu_fw_cfg/by_name/etc/{table-loader,acpi/rsdp,acpi/tables}/raw. \
Without them the TDX registers are printed, but a manifest for TDX cannot be made.";

#[derive(Debug, Args)]
pub(crate) struct MeasureArgs {
    /// Name of the image in its manifest
    #[arg(long, default_value = "image")]
    pub(crate) name: String,
    /// OVMF with SEV metadata: measure for SEV-SNP
    #[arg(long, value_name = "FILE", required_unless_present = "tdx_firmware")]
    pub(crate) snp_firmware: Option<PathBuf>,
    /// OVMF with TDX metadata: measure for TDX
    #[arg(long, value_name = "FILE", requires_all = ["kernel", "initrd"])]
    pub(crate) tdx_firmware: Option<PathBuf>,
    /// Kernel (bzImage)
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// Initrd
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(crate) initrd: Option<PathBuf>,
    /// The kernel's command line, as given to QEMU
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    pub(crate) cmdline: Option<String>,
    #[command(flatten)]
    pub(crate) snp: SnpShapes,
    #[command(flatten)]
    pub(crate) tdx: TdxShape,
    /// Write the manifest here; it must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "SEV-SNP")]
pub(crate) struct SnpShapes {
    /// Numbers of virtual CPUs, one row of the manifest for each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1")]
    pub(crate) vcpus: Vec<u32>,
    /// Types of virtual CPUs, by QEMU's names
    #[arg(long, value_name = "TYPE", value_delimiter = ',', default_value = "EPYC-v4")]
    pub(crate) vcpu_type: Vec<String>,
    /// SEV features of the virtual CPUs; 0x1 is SEV-SNP alone
    #[arg(long, value_name = "BITS", default_value = "0x1", value_parser = bits)]
    pub(crate) guest_features: u64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "TDX")]
pub(crate) struct TdxShape {
    /// The guest's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub(crate) memory: u64,
    /// QEMU's etc/table-loader, for RTMR0
    #[arg(long, value_name = "FILE", requires_all = ["acpi_rsdp", "acpi_tables"])]
    pub(crate) acpi_loader: Option<PathBuf>,
    /// QEMU's etc/acpi/rsdp
    #[arg(long, value_name = "FILE", requires = "acpi_loader")]
    pub(crate) acpi_rsdp: Option<PathBuf>,
    /// QEMU's etc/acpi/tables
    #[arg(long, value_name = "FILE", requires = "acpi_loader")]
    pub(crate) acpi_tables: Option<PathBuf>,
    /// RTMR0 as read from a machine of this shape, instead of the ACPI files: then it is that machine's word
    #[arg(long, value_name = "HEX", conflicts_with = "acpi_loader")]
    pub(crate) rtmr0: Option<FixedBytes<48>>,
    /// Pages are measured in two passes: QEMU 8 with Intel's patches
    #[arg(long)]
    pub(crate) two_passes: bool,
    /// The firmware gets the kernel unpatched: QEMU 10 and later, with firmware that asks for it
    #[arg(long)]
    pub(crate) kernel_as_is: bool,
}

fn bits(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    digits.map_err(|_| format!("{text:?} is no number, decimal or 0x…"))
}
