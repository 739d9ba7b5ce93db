// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an OS image leaves in a TEE's registers, computed from its files.
//!
//! A hash that is approved on chain is worth what somebody knows about the files behind it. From firmware, kernel, initrd
//! and command line this computes what the hardware will measure, so that anyone can make the manifest whose SHA-256 is
//! the OS image hash, and compare:
//!
//! | register | covers | needed |
//! |---|---|---|
//! | SNP MEASUREMENT | firmware, kernel, initrd, command line, virtual CPUs | the files; number and type of virtual CPUs |
//! | TDX MRTD | firmware | the file |
//! | TDX RTMR0 | memory map, variable store, secure boot, ACPI tables, boot option | firmware, memory, the ACPI files |
//! | TDX RTMR1 | kernel, as QEMU hands it over | kernel, initrd, memory |
//! | TDX RTMR2 | command line, initrd | both |
//!
//! The guests meant are those that QEMU boots directly (`-kernel`, `-initrd`, `-append`) with OVMF.

mod kernel;
mod ovmf;
mod rtmr;
mod snp;
mod tdvf;

pub use kernel::{Handover, kernel_digest};
pub use rtmr::{AcpiDigests, Boot, rtmr0, rtmr1, rtmr2};
pub use sev::measurement::{vcpu_types::CpuType, vmsa::GuestFeatures};
pub use snp::{SnpLaunch, snp_measurement};
pub use tdvf::{PageOrder, Tdvf};

use sha2::{Digest, Sha384};

/// A SHA-384 digest: what every register holds.
pub type Register = [u8; 48];

/// Why an image cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The firmware has no TDX metadata, or metadata that makes no sense.
    #[error("the firmware's TDX metadata: {0}")]
    Tdvf(&'static str),
    /// The kernel is no Linux bzImage with an EFI stub.
    #[error("the kernel: {0}")]
    Kernel(&'static str),
    /// The launch digest cannot be computed.
    #[error("the SEV-SNP launch digest: {0}")]
    Snp(String),
}

/// SHA-384 over all the parts.
fn sha384(parts: &[&[u8]]) -> Register {
    parts.iter().fold(Sha384::new(), |hash, part| hash.chain_update(part)).finalize().into()
}
