// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel as the firmware measures it: the Authenticode digest of the image that QEMU hands over.
//!
//! QEMU fills in fields of the setup header (Linux/x86 boot protocol) before it hands the kernel over: boot loader, heap,
//! command line, and where in memory the initrd is. The last one depends on the memory of guests with less than 2.75 GiB.

use sha2::{Digest, Sha384};

use super::{MeasureError, Register};

/// What QEMU keeps free for ACPI tables below the initrd's end.
const ACPI_DATA: u32 = 0x2_8000;
const SPLIT_FROM: u64 = 0xb000_0000;
const LOW_WHEN_SPLIT: u32 = 0x8000_0000;
const SETUP_HEADER_END: usize = 0x268;

const PROTOCOL: usize = 0x206;
const LOADER: usize = 0x210;
const LOAD_FLAGS: usize = 0x211;
const INITRD_ADDRESS: usize = 0x218;
const INITRD_SIZE: usize = 0x21c;
const HEAP_END: usize = 0x224;
const COMMAND_LINE: usize = 0x228;
const INITRD_MAX: usize = 0x22c;
const EXTENDED_FLAGS: usize = 0x236;
/// QEMU, version 0.
const QEMU: u8 = 0xb0;
const LOADED_HIGH: u8 = 1;
const CAN_USE_HEAP: u8 = 0x80;
const ABOVE_4G: u16 = 0x40;
const DEFAULT_INITRD_MAX: u32 = 0x37ff_ffff;

/// How the kernel reaches the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// With QEMU's values in its setup header.
    Patched {
        /// Length of the initrd; 0 for none.
        initrd_len: u32,
        /// The guest's memory in bytes.
        memory: u64,
    },
    /// As it is in its file: QEMU 10 and later with firmware that asks for it so.
    AsIs,
}

/// SHA-384 Authenticode digest of a kernel.
///
/// # Errors
/// [`MeasureError::Kernel`].
pub fn kernel_digest(kernel: &[u8], handover: Handover) -> Result<Register, MeasureError> {
    match handover {
        Handover::AsIs => authenticode::<Sha384>(kernel).map(Into::into),
        Handover::Patched { initrd_len, memory } => {
            let patched = patch(kernel, initrd_len, memory)?;
            authenticode::<Sha384>(&patched).map(Into::into)
        }
    }
}

fn patch(kernel: &[u8], initrd_len: u32, memory: u64) -> Result<Vec<u8>, MeasureError> {
    let mut image = kernel.to_vec();
    let header = image.get(..SETUP_HEADER_END).ok_or(MeasureError::Kernel("it is no bzImage: too short"))?;
    if header.get(0x202..0x206) != Some(b"HdrS") {
        return Err(MeasureError::Kernel("it is no bzImage: its setup header is missing"));
    }
    let protocol = u16::from_le_bytes(field(header, PROTOCOL)?);
    let [flags] = field(header, LOAD_FLAGS)?;
    if protocol < 0x203 || flags & LOADED_HIGH == 0 {
        return Err(MeasureError::Kernel("its boot protocol is older than 2.03, or it is loaded low"));
    }
    let initrd_max = initrd_max(header, protocol)?;
    // Real-mode code at 0x10000, command line at 0x20000.
    put(&mut image, LOADER, &[QEMU]);
    put(&mut image, LOAD_FLAGS, &[flags | CAN_USE_HEAP]);
    put(&mut image, HEAP_END, &(0x1_0000u32 - 0x200).to_le_bytes());
    put(&mut image, COMMAND_LINE, &0x2_0000u32.to_le_bytes());
    if initrd_len > 0 {
        let address = initrd_address(initrd_max, initrd_len, memory)?;
        put(&mut image, INITRD_ADDRESS, &address.to_le_bytes());
        put(&mut image, INITRD_SIZE, &initrd_len.to_le_bytes());
    }
    Ok(image)
}

/// The highest address that the kernel lets an initrd reach.
fn initrd_max(header: &[u8], protocol: u16) -> Result<u32, MeasureError> {
    if protocol >= 0x20c && u16::from_le_bytes(field(header, EXTENDED_FLAGS)?) & ABOVE_4G != 0 {
        return Ok(u32::MAX);
    }
    match u32::from_le_bytes(field(header, INITRD_MAX)?) {
        0 => Ok(DEFAULT_INITRD_MAX),
        max => Ok(max),
    }
}

fn initrd_address(max: u32, initrd_len: u32, memory: u64) -> Result<u32, MeasureError> {
    const TOO_LARGE: MeasureError = MeasureError::Kernel("the initrd does not fit into the guest's memory");
    let low =
        if memory >= SPLIT_FROM { LOW_WHEN_SPLIT } else { u32::try_from(memory).map_err(|_| TOO_LARGE)? };
    let available = low.checked_sub(ACPI_DATA).and_then(|free| free.checked_sub(1)).ok_or(TOO_LARGE)?;
    let top = max.min(available);
    if initrd_len >= top {
        return Err(TOO_LARGE);
    }
    Ok((top - initrd_len) & !0xfff)
}

fn field<const N: usize>(header: &[u8], at: usize) -> Result<[u8; N], MeasureError> {
    let bytes = header.get(at..).and_then(|rest| rest.first_chunk());
    bytes.copied().ok_or(MeasureError::Kernel("it is cut short"))
}

fn put(image: &mut [u8], at: usize, value: &[u8]) {
    image.iter_mut().skip(at).zip(value).for_each(|(to, from)| *to = *from);
}

/// The digest over a PE image without its checksum, its entry for the signature and the signature itself, as EDK2
/// computes it (Windows Authenticode Portable Executable Signature Format).
fn authenticode<D: Digest>(image: &[u8]) -> Result<sha2::digest::Output<D>, MeasureError> {
    const NO_PE: MeasureError = MeasureError::Kernel("it is no PE image: it has no EFI stub");
    let index = |value: u32| usize::try_from(value).map_err(|_| NO_PE);
    let u32_at = |at: usize| field(image, at).map(u32::from_le_bytes).map_err(|_| NO_PE).and_then(index);
    let u16_at = |at: usize| field(image, at).map(u16::from_le_bytes).map(usize::from).map_err(|_| NO_PE);

    let coff = u32_at(0x3c)?.checked_add(4).ok_or(NO_PE)?;
    let signature = coff.checked_sub(4).and_then(|at| image.get(at..coff));
    if signature != Some(b"PE\0\0") {
        return Err(NO_PE);
    }
    let optional = coff.checked_add(20).ok_or(NO_PE)?;
    let directories = optional + if u16_at(optional)? == 0x20b { 112 } else { 96 };
    let (checksum, security) = (optional + 64, directories + 4 * 8);
    // A header may end before the entry for the signature; then there is none to leave out.
    let signed = u32_at(directories - 4)? > 4;
    let headers = u32_at(optional + 60)?;
    let signature_len = if signed { u32_at(security + 4)? } else { 0 };

    let mut hash = D::new();
    let mut update = |from: usize, until: usize| -> Result<(), MeasureError> {
        hash.update(image.get(from..until).ok_or(NO_PE)?);
        Ok(())
    };
    update(0, checksum)?;
    if signed {
        update(checksum + 4, security)?;
        update(security + 8, headers)?;
    } else {
        update(checksum + 4, headers)?;
    }
    let table = optional.checked_add(u16_at(coff + 16)?).ok_or(NO_PE)?;
    let mut sections = Vec::new();
    for entry in (table..).step_by(40).take(u16_at(coff + 2)?) {
        sections.push((u32_at(entry + 20)?, u32_at(entry + 16)?));
    }
    sections.sort_unstable();
    let mut hashed = headers;
    for (start, size) in sections.into_iter().filter(|(_, size)| *size > 0) {
        update(start, start.checked_add(size).ok_or(NO_PE)?)?;
        hashed = hashed.checked_add(size).ok_or(NO_PE)?;
    }
    let end = image.len().checked_sub(signature_len).ok_or(NO_PE)?;
    if end > hashed {
        update(hashed, end)?;
    }
    Ok(hash.finalize())
}

#[cfg(test)]
mod tests;
