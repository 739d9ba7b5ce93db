// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What OVMF extends into RTMR0 to RTMR2 when QEMU boots a kernel directly.
//!
//! The sequences are those of OVMF before its release 202505.

use super::{
    MeasureError, PageOrder, Register, Tdvf,
    kernel::{Handover, kernel_digest},
    sha384,
};

/// EFI_GLOBAL_VARIABLE, in memory order.
const GLOBAL: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];
/// EFI_IMAGE_SECURITY_DATABASE.
const SECURITY: [u8; 16] =
    [0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f];
const SEPARATOR: [u8; 4] = [0; 4];
/// The one boot option of a firmware without any: OVMF's own menu. Active, hidden, an application; then the length of
/// its path, its name and its path: a firmware volume and a file in it.
const BOOT_MENU: [&[u8]; 7] = [
    &[0x09, 0x01, 0, 0, 0x2c, 0],
    b"U\0i\0A\0p\0p\0\0\0",
    &[0x04, 0x07, 0x14, 0x00],
    &[0xc9, 0xbd, 0xb8, 0x7c, 0xeb, 0xf8, 0x34, 0x4f, 0xaa, 0xea, 0x3e, 0xe4, 0xaf, 0x65, 0x16, 0xa1],
    &[0x04, 0x06, 0x14, 0x00],
    &[0x21, 0xaa, 0x2c, 0x46, 0x14, 0x76, 0x03, 0x45, 0x83, 0x6e, 0x8a, 0xb6, 0xf4, 0x66, 0x23, 0x31],
    &[0x7f, 0xff, 0x04, 0x00],
];

/// SHA-384 of the files that QEMU gives the firmware to build ACPI tables from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcpiDigests {
    /// Of `etc/table-loader`.
    pub loader: Register,
    /// Of `etc/acpi/rsdp`.
    pub rsdp: Register,
    /// Of `etc/acpi/tables`.
    pub tables: Register,
}

impl AcpiDigests {
    /// Of the files themselves.
    pub fn of(loader: &[u8], rsdp: &[u8], tables: &[u8]) -> Self {
        Self { loader: sha384(&[loader]), rsdp: sha384(&[rsdp]), tables: sha384(&[tables]) }
    }
}

/// What a TD boots, and with how much memory.
#[derive(Debug, Clone, Copy)]
pub struct Boot<'a> {
    /// OVMF with TDX metadata.
    pub firmware: &'a [u8],
    /// The kernel.
    pub kernel: &'a [u8],
    /// The initrd.
    pub initrd: &'a [u8],
    /// The kernel's command line, as given to QEMU.
    pub command_line: &'a str,
    /// The guest's memory in bytes.
    pub memory: u64,
    /// How pages are measured.
    pub order: PageOrder,
    /// Whether the firmware gets the kernel as it is in its file.
    pub kernel_as_is: bool,
    /// ACPI, for RTMR0.
    pub acpi: Option<AcpiDigests>,
}

impl Boot<'_> {
    /// MRTD.
    ///
    /// # Errors
    /// [`MeasureError::Tdvf`].
    pub fn mrtd(&self) -> Result<Register, MeasureError> {
        Ok(Tdvf::parse(self.firmware)?.mrtd(self.order))
    }

    /// RTMR0, where ACPI is given.
    ///
    /// # Errors
    /// [`MeasureError::Tdvf`].
    pub fn rtmr0(&self) -> Result<Option<Register>, MeasureError> {
        let Some(acpi) = &self.acpi else { return Ok(None) };
        let firmware = Tdvf::parse(self.firmware)?;
        let variables = sha384(&[firmware.variables()?]);
        Ok(Some(rtmr0(firmware.td_hob(self.memory)?, variables, acpi)))
    }

    /// RTMR1.
    ///
    /// # Errors
    /// [`MeasureError::Kernel`].
    pub fn rtmr1(&self) -> Result<Register, MeasureError> {
        let too_large = |_| MeasureError::Kernel("the initrd is larger than 4 GiB");
        let initrd_len = u32::try_from(self.initrd.len()).map_err(too_large)?;
        let handover = match self.kernel_as_is {
            true => Handover::AsIs,
            false => Handover::Patched { initrd_len, memory: self.memory },
        };
        Ok(rtmr1(kernel_digest(self.kernel, handover)?))
    }

    /// RTMR2.
    pub fn rtmr2(&self) -> Register {
        rtmr2(command_line_digest(self.command_line), sha384(&[self.initrd]))
    }
}

/// RTMR0 from the digests of memory list, variable store and ACPI files. Secure boot is off and nothing is enrolled.
pub fn rtmr0(td_hob: Register, variables: Register, acpi: &AcpiDigests) -> Register {
    replay(&[
        td_hob,
        variables,
        variable(&GLOBAL, "SecureBoot"),
        variable(&GLOBAL, "PK"),
        variable(&GLOBAL, "KEK"),
        variable(&SECURITY, "db"),
        variable(&SECURITY, "dbx"),
        sha384(&[&SEPARATOR]),
        acpi.loader,
        acpi.rsdp,
        acpi.tables,
        sha384(&[&[0, 0]]), // BootOrder
        sha384(&BOOT_MENU), // Boot0000
    ])
}

/// RTMR1 from the kernel's digest.
pub fn rtmr1(kernel: Register) -> Register {
    replay(&[
        kernel,
        sha384(&[b"Calling EFI Application from Boot Option"]),
        sha384(&[&SEPARATOR]),
        sha384(&[b"Exit Boot Services Invocation"]),
        sha384(&[b"Exit Boot Services Returned with Success"]),
    ])
}

/// RTMR2 from the digests of command line and initrd.
pub fn rtmr2(command_line: Register, initrd: Register) -> Register {
    replay(&[command_line, initrd])
}

/// OVMF appends the name under which it offers the initrd; the kernel's EFI stub measures UTF-16 with its end.
fn command_line_digest(command_line: &str) -> Register {
    let units = command_line.encode_utf16().chain(" initrd=initrd\0".encode_utf16());
    sha384(&[&units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()])
}

/// A variable that does not exist: vendor, lengths, name, no data.
fn variable(vendor: &[u8; 16], name: &str) -> Register {
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = u64::try_from(name.len()).unwrap_or(u64::MAX);
    sha384(&[vendor, &length.to_le_bytes(), &0u64.to_le_bytes(), &units])
}

fn replay(digests: &[Register]) -> Register {
    digests.iter().fold([0; 48], |register, digest| sha384(&[&register, digest]))
}

#[cfg(test)]
mod tests;
