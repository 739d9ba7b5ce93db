// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The table of GUIDed entries that OVMF ends in. It is read from its end, and leads to the metadata for TDX and SEV.

/// Between the table and the end there is the reset vector.
pub(super) const AFTER_TABLE: usize = 32;
/// An entry ends in its length and its GUID.
pub(super) const ENTRY_TAIL: usize = 18;
pub(super) const FOOTER_GUID: Guid =
    [0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d];
pub(super) const NO_TABLE: &str = "the firmware does not end in OVMF's table";

/// As it is in the file: its first three fields are little-endian.
pub(super) type Guid = [u8; 16];

/// The entries, without the footer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a>(&'a [u8]);

impl<'a> Table<'a> {
    /// Nothing when the firmware does not end in one.
    pub(super) fn of(firmware: &'a [u8]) -> Option<Self> {
        let (before, _) = firmware.split_at_checked(firmware.len().checked_sub(AFTER_TABLE)?)?;
        let footer = last(before)?;
        let table = before.get(before.len().checked_sub(footer.length)?..)?;
        let (entries, _) = table.split_at_checked(table.len().checked_sub(ENTRY_TAIL)?)?;
        (footer.guid == FOOTER_GUID).then_some(Self(entries))
    }

    /// How far from the firmware's end there is what the entry with this GUID leads to.
    pub(super) fn offset(self, guid: Guid) -> Option<usize> {
        let mut table = self.0;
        while let Some(entry) = last(table) {
            let start = table.len().checked_sub(entry.length)?;
            if entry.guid == guid {
                let data = table.get(start..table.len() - ENTRY_TAIL)?;
                return usize::try_from(u32::from_le_bytes(*data.first_chunk()?)).ok();
            }
            table = table.get(..start)?;
        }
        None
    }
}

struct Entry {
    /// Of the whole entry, its tail included.
    length: usize,
    guid: Guid,
}

fn last(table: &[u8]) -> Option<Entry> {
    let (rest, guid) = table.split_last_chunk()?;
    let (_, length) = rest.split_last_chunk()?;
    let length = usize::from(u16::from_le_bytes(*length));
    (length >= ENTRY_TAIL).then_some(Entry { length, guid: *guid })
}
