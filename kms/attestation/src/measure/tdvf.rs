// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The firmware of a TD: its metadata, MRTD, and the memory map that it is handed.
//!
//! An entry of OVMF's table says where the TDX metadata is: a list of sections with what the host puts where in memory, and
//! whether that is measured (TDX Virtual Firmware Design Guide, section 11).

use sha2::{Digest, Sha384};

use super::{
    MeasureError, Register,
    ovmf::{self, Guid, Table},
    sha384,
};

const PAGE: u64 = 4096;
/// A page is extended in pieces of this size.
const CHUNK: usize = 256;
const METADATA_GUID: Guid =
    [0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2];
const VERSION: u32 = 1;
const MAX_SECTIONS: u32 = 64;
/// No section of a firmware is larger.
const MAX_SECTION: u64 = 1 << 30;

const VARIABLES: u32 = 1;
const TD_HOB: u32 = 2;
const TEMPORARY_MEMORY: u32 = 3;
const EXTEND: u32 = 1;
const AUGMENT: u32 = 2;

/// Guests with this much memory or more have 2 GiB of it below 4 GiB.
const SPLIT_FROM: u64 = 0xb000_0000;
const LOW_WHEN_SPLIT: u64 = 0x8000_0000;
const FOUR_GIB: u64 = 0x1_0000_0000;
/// Resource types: memory, and memory that the guest has yet to accept.
const MEMORY: u8 = 0;
const UNACCEPTED: u8 = 7;

/// In which order the host adds and measures pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PageOrder {
    /// Each page is measured right after it is added: QEMU from version 9 on.
    #[default]
    Interleaved,
    /// All pages of a section are added, then all are measured: QEMU 8 with Intel's patches.
    TwoPasses,
}

/// A firmware with TDX metadata.
#[derive(Debug)]
pub struct Tdvf<'a> {
    firmware: &'a [u8],
    sections: Vec<Section>,
}

#[derive(Debug, Clone, Copy)]
struct Section {
    data: usize,
    data_len: usize,
    address: u64,
    size: u64,
    kind: u32,
    attributes: u32,
}

impl<'a> Tdvf<'a> {
    /// Reads the metadata.
    ///
    /// # Errors
    /// [`MeasureError::Tdvf`].
    pub fn parse(firmware: &'a [u8]) -> Result<Self, MeasureError> {
        let from_end = metadata_offset(firmware)?;
        let start =
            firmware.len().checked_sub(from_end).ok_or(MeasureError::Tdvf("its offset is out of bounds"))?;
        let mut input = firmware.get(start..).unwrap_or_default();
        if take(&mut input)? != *b"TDVF" {
            return Err(MeasureError::Tdvf("there is none where it should be"));
        }
        let [_length, version, count] = [u32_of(&mut input)?, u32_of(&mut input)?, u32_of(&mut input)?];
        if version != VERSION || count > MAX_SECTIONS {
            return Err(MeasureError::Tdvf("its version is not known, or it has too many sections"));
        }
        let sections = (0..count).map(|_| section(&mut input)).collect::<Result<Vec<_>, _>>()?;
        let this = Self { firmware, sections };
        this.check()?;
        Ok(this)
    }

    fn check(&self) -> Result<(), MeasureError> {
        for section in &self.sections {
            let in_file =
                section.data.checked_add(section.data_len).is_some_and(|end| end <= self.firmware.len());
            let aligned =
                section.address % PAGE == 0 && section.size % PAGE == 0 && section.size <= MAX_SECTION;
            let in_memory = section.address.checked_add(section.size).is_some();
            if !(in_file && aligned && in_memory) {
                return Err(MeasureError::Tdvf("a section is out of bounds or not of whole pages"));
            }
            let measured_whole = u64::try_from(section.data_len).is_ok_and(|data| data == section.size);
            if section.attributes & EXTEND != 0 && !measured_whole {
                return Err(MeasureError::Tdvf("a measured section is not given whole"));
            }
        }
        Ok(())
    }

    /// MRTD: SHA-384 over the operations that built the TD.
    pub fn mrtd(&self, order: PageOrder) -> Register {
        let mut hash = Sha384::new();
        for section in &self.sections {
            let pages = (0..section.size).step_by(4096);
            match order {
                PageOrder::Interleaved => pages.for_each(|page| {
                    self.add(&mut hash, section, page);
                    self.extend(&mut hash, section, page);
                }),
                PageOrder::TwoPasses => {
                    pages.clone().for_each(|page| self.add(&mut hash, section, page));
                    pages.for_each(|page| self.extend(&mut hash, section, page));
                }
            }
        }
        hash.finalize().into()
    }

    fn add(&self, hash: &mut Sha384, section: &Section, page: u64) {
        if section.attributes & AUGMENT == 0 {
            hash.update(operation(b"MEM.PAGE.ADD", section.address + page));
        }
    }

    fn extend(&self, hash: &mut Sha384, section: &Section, page: u64) {
        if section.attributes & EXTEND == 0 {
            return;
        }
        let bytes = self.bytes_of(section);
        let page_bytes = bytes.iter().skip(usize::try_from(page).unwrap_or(usize::MAX)).take(4096);
        let page_bytes: Vec<u8> = page_bytes.copied().collect();
        for (chunk, at) in page_bytes.chunks(CHUNK).zip((section.address + page..).step_by(CHUNK)) {
            hash.update(operation(b"MR.EXTEND", at));
            hash.update(chunk);
        }
    }

    /// The variable store as it is built into the firmware.
    pub fn variables(&self) -> Result<&'a [u8], MeasureError> {
        let section = self.sections.iter().find(|section| section.kind == VARIABLES);
        section
            .map(|s| self.bytes_of(s))
            .ok_or(MeasureError::Tdvf("it has no section with the variable store"))
    }

    fn bytes_of(&self, section: &Section) -> &'a [u8] {
        self.firmware.get(section.data..section.data + section.data_len).unwrap_or_default()
    }

    /// SHA-384 of the list of memory (the TD HOB) that QEMU hands to a guest with this many bytes of it.
    ///
    /// # Errors
    /// [`MeasureError::Tdvf`] when the metadata has no place for the list, or places that overlap.
    pub fn td_hob(&self, memory: u64) -> Result<Register, MeasureError> {
        let of_kind = |kinds: &[u32]| {
            let sections = self.sections.iter().filter(|section| kinds.contains(&section.kind));
            sections.map(|section| (section.address, section.size)).collect::<Vec<_>>()
        };
        let (base, _) = *of_kind(&[TD_HOB]).first().ok_or(MeasureError::Tdvf("it has no TD HOB section"))?;
        Ok(sha384(&[&hob_list(base, of_kind(&[TD_HOB, TEMPORARY_MEMORY]), memory)?]))
    }
}

/// The list: a header, one descriptor per range, an end that is not part of it. `given` is what the host has filled or
/// zeroed; the rest the guest has to accept.
pub(super) fn hob_list(base: u64, mut given: Vec<(u64, u64)>, memory: u64) -> Result<Vec<u8>, MeasureError> {
    given.sort_unstable();
    let low_end = if memory >= SPLIT_FROM { LOW_WHEN_SPLIT } else { memory };
    let mut ranges = Vec::new();
    let mut at = 0;
    for (start, size) in given {
        let gap = start.checked_sub(at).ok_or(MeasureError::Tdvf("sections overlap"))?;
        ranges.extend((gap > 0).then_some((UNACCEPTED, at, gap)));
        ranges.push((MEMORY, start, size));
        at = start + size;
    }
    let rest =
        low_end.checked_sub(at).ok_or(MeasureError::Tdvf("the guest has less memory than it needs"))?;
    ranges.extend((rest > 0).then_some((UNACCEPTED, at, rest)));
    ranges.extend((memory > low_end).then(|| (UNACCEPTED, FOUR_GIB, memory - low_end)));

    let descriptors: Vec<u8> =
        ranges.into_iter().flat_map(|(kind, start, size)| descriptor(kind, start, size)).collect();
    let end = base + 56 + u64::try_from(descriptors.len()).unwrap_or(u64::MAX) + 8;
    let mut list = [&[1, 0][..], &56u16.to_le_bytes(), &[0; 4], &9u32.to_le_bytes(), &[0; 36]].concat();
    list.extend_from_slice(&end.to_le_bytes());
    list.extend_from_slice(&descriptors);
    Ok(list)
}

/// EFI_HOB_RESOURCE_DESCRIPTOR; attributes are present, initialized and tested.
fn descriptor(kind: u8, start: u64, size: u64) -> Vec<u8> {
    let mut hob =
        [&[3, 0][..], &48u16.to_le_bytes(), &[0; 20], &[kind, 0, 0, 0], &7u32.to_le_bytes()].concat();
    hob.extend_from_slice(&start.to_le_bytes());
    hob.extend_from_slice(&size.to_le_bytes());
    hob
}

/// 128 bytes: name, and at byte 16 the guest's physical address.
fn operation(name: &[u8], address: u64) -> [u8; 128] {
    let mut block = [0; 128];
    block.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    block.iter_mut().skip(16).zip(address.to_le_bytes()).for_each(|(to, from)| *to = from);
    block
}

/// How far the metadata is from the firmware's end.
fn metadata_offset(firmware: &[u8]) -> Result<usize, MeasureError> {
    let table = Table::of(firmware).ok_or(MeasureError::Tdvf(ovmf::NO_TABLE))?;
    let none = MeasureError::Tdvf("there is none: this firmware is not made for TDX");
    table.offset(METADATA_GUID).ok_or(none)
}

fn section(input: &mut &[u8]) -> Result<Section, MeasureError> {
    let index =
        |value: u32| usize::try_from(value).map_err(|_| MeasureError::Tdvf("an offset is out of bounds"));
    Ok(Section {
        data: index(u32_of(input)?)?,
        data_len: index(u32_of(input)?)?,
        address: u64::from_le_bytes(take(input)?),
        size: u64::from_le_bytes(take(input)?),
        kind: u32_of(input)?,
        attributes: u32_of(input)?,
    })
}

fn u32_of(input: &mut &[u8]) -> Result<u32, MeasureError> {
    take(input).map(u32::from_le_bytes)
}

fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], MeasureError> {
    let (head, rest) = input.split_first_chunk().ok_or(MeasureError::Tdvf("it is cut short"))?;
    *input = rest;
    Ok(*head)
}

#[cfg(test)]
mod tests;
