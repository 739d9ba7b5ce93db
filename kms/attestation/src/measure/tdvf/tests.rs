// SPDX-License-Identifier: Apache-2.0 OR MIT
//! No firmware is published together with its MRTD in a form that could be kept here. The expected values were computed
//! from the same bytes by a second reading of the design guide, in another language.

use alloy::hex;

use super::*;
use crate::measure::ovmf::{AFTER_TABLE, ENTRY_TAIL, FOOTER_GUID};

/// Byte offset of the metadata in [`firmware`].
const METADATA: usize = 0x1800;
const SECTIONS: [(u32, u32, u64, u64, u32, u32); 5] = [
    (0, 4096, 0xffff_e000, 4096, 0, EXTEND),
    (0x1000, 1024, 0xffff_d000, 4096, VARIABLES, 0),
    (0, 0, 0x80_9000, 0x2000, TD_HOB, 0),
    (0, 0, 0x81_0000, 0x1000, TEMPORARY_MEMORY, 0),
    (0, 0, 0x90_0000, 0x1000, 7, AUGMENT),
];

fn put(firmware: &mut [u8], at: usize, bytes: &[u8]) {
    firmware[at..at + bytes.len()].copy_from_slice(bytes);
}

fn table_entry(data: &[u8], guid: [u8; 16]) -> Vec<u8> {
    let length = u16::try_from(data.len() + ENTRY_TAIL).unwrap();
    [data, &length.to_le_bytes(), &guid].concat()
}

/// Two pages with metadata in the second and a table with another entry behind the one that matters.
fn firmware(sections: &[(u32, u32, u64, u64, u32, u32)]) -> Vec<u8> {
    let mut firmware: Vec<u8> = (0..8192usize).map(|i| u8::try_from(i * 7 % 256).unwrap()).collect();
    let count = u32::try_from(sections.len()).unwrap();
    let mut metadata =
        [&b"TDVF"[..], &(16 + 32 * count).to_le_bytes(), &1u32.to_le_bytes(), &count.to_le_bytes()].concat();
    for (data, data_len, address, size, kind, attributes) in sections {
        metadata.extend([data.to_le_bytes(), data_len.to_le_bytes()].concat());
        metadata.extend([address.to_le_bytes(), size.to_le_bytes()].concat());
        metadata.extend([kind.to_le_bytes(), attributes.to_le_bytes()].concat());
    }
    put(&mut firmware, METADATA, &metadata);
    let offset = u32::try_from(firmware.len() - METADATA).unwrap();
    let mut table = table_entry(&offset.to_le_bytes(), METADATA_GUID);
    table.extend(table_entry(&[1, 2, 3, 4], [9; 16]));
    let tail = u16::try_from(table.len() + ENTRY_TAIL).unwrap();
    table.extend([&tail.to_le_bytes()[..], &FOOTER_GUID].concat());
    let at = firmware.len() - AFTER_TABLE - table.len();
    put(&mut firmware, at, &table);
    firmware
}

#[test]
fn mrtd_is_that_of_a_second_reading() {
    let firmware = firmware(&SECTIONS);
    let tdvf = Tdvf::parse(&firmware).unwrap();
    assert_eq!(
        hex::encode(tdvf.mrtd(PageOrder::Interleaved)),
        "6e9fc234c914d8dd1ec064d524805e17d08116b09cc1a5a5f92ed9c58a1b2008c1ac7e53f4821b9fa292b483e7ffc9e0"
    );
    assert_eq!(tdvf.mrtd(PageOrder::TwoPasses), tdvf.mrtd(PageOrder::Interleaved));
}

/// One page more of measured firmware, so that the orders differ.
#[test]
fn mrtd_depends_on_the_order_of_pages() {
    let mut sections = SECTIONS;
    sections[0] = (0, 8192, 0xffff_e000, 8192, 0, EXTEND);
    let firmware = firmware(&sections);
    let tdvf = Tdvf::parse(&firmware).unwrap();
    assert_eq!(
        hex::encode(tdvf.mrtd(PageOrder::Interleaved)),
        "8f584c4cafeaa8d960e3750d36ce4a1956b47687b383ccf24c1ef12ddb1049ecde30e85334f825b74d29a40c066e6bfb"
    );
    assert_eq!(
        hex::encode(tdvf.mrtd(PageOrder::TwoPasses)),
        "821535608180372714ada07b121c88950e1505fb5d3c232ee12dc7e45364937dcd00e28b9f4a4948eecd4999d145cc1b"
    );
}

#[test]
fn every_byte_of_measured_firmware_counts_and_no_other() {
    let mut bytes = firmware(&SECTIONS);
    let measured = Tdvf::parse(&bytes).unwrap().mrtd(PageOrder::Interleaved);
    for (at, counts) in [(0, true), (4095, true), (4096, false), (0x1100, false)] {
        bytes[at] ^= 1;
        assert_eq!(Tdvf::parse(&bytes).unwrap().mrtd(PageOrder::Interleaved) != measured, counts, "{at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn variable_store_and_memory_list_are_found() {
    let bytes = firmware(&SECTIONS);
    let tdvf = Tdvf::parse(&bytes).unwrap();
    assert_eq!(tdvf.variables().unwrap(), &bytes[0x1000..0x1400]);
    let list = hob_list(0x80_9000, vec![(0x80_9000, 0x2000), (0x81_0000, 0x1000)], 2 << 30).unwrap();
    assert_eq!(tdvf.td_hob(2 << 30).unwrap(), sha384(&[&list]));
}

#[test]
fn metadata_that_makes_no_sense_is_refused() {
    let refused = |index: usize, section| {
        let mut sections = SECTIONS;
        sections[index] = section;
        assert!(matches!(Tdvf::parse(&firmware(&sections)), Err(MeasureError::Tdvf(_))), "{section:?}");
    };
    refused(0, (0, 4096, 0xffff_e001, 4096, 0, EXTEND));
    refused(0, (0, 4096, 0xffff_e000, 4097, 0, EXTEND));
    refused(0, (0, 2048, 0xffff_e000, 4096, 0, EXTEND));
    refused(0, (0x1001, 0x1000, 0xffff_e000, 4096, 0, EXTEND));
    refused(0, (u32::MAX, 4096, 0xffff_e000, 4096, 0, EXTEND));
    refused(2, (0, 0, u64::MAX - 0xfff, 0x2000, TD_HOB, 0));
    refused(2, (0, 0, 0x80_9000, MAX_SECTION + 0x1000, TD_HOB, 0));
    for (at, byte) in [(METADATA, b'X'), (METADATA + 8, 2), (METADATA + 12, 65)] {
        let mut bytes = firmware(&SECTIONS);
        bytes[at] = byte;
        assert!(matches!(Tdvf::parse(&bytes), Err(MeasureError::Tdvf(_))), "{at}");
    }
    assert!(Tdvf::parse(&[0; 8192]).is_err());
}

#[test]
fn firmware_cut_or_changed_anywhere_in_its_metadata_is_read_without_panic() {
    let good = firmware(&SECTIONS);
    for length in 0..good.len() {
        let _ = Tdvf::parse(&good[..length]);
        let _ = Tdvf::parse(&good[good.len() - length..]);
    }
    for at in (METADATA..METADATA + 176).chain(good.len() - 120..good.len()) {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            if let Ok(tdvf) = Tdvf::parse(&bytes) {
                let _ = (tdvf.variables(), tdvf.td_hob(2 << 30));
            }
        }
    }
}
