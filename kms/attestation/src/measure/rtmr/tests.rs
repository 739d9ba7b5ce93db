// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Against a published quote: upstream's verifier fixture `tdx-lite-attestation.json` (Dstack-TEE/dstack, Apache-2.0), made
//! on real hardware by `dstack-0.6.0` with 2 GiB under QEMU 8.2.2. Its image measurements carry the digests of the files,
//! its event log the ACPI digests, its quote the registers.

use alloy::hex;

use super::*;
use crate::measure::tdvf::hob_list;

const RTMR0: Register =
    hex!("f8438db36b96f85d8752ff7f24a89ec05c79ec9eda2ba732c897fb970ca429365b7471b1c054cb84f17b1c2b23ba6640");
const RTMR1: Register =
    hex!("2023546e7f3b9d1228e274f70c44d481162540f8452544520a796a52f06879709b81a824a26792a7822327504b0d2aee");
const RTMR2: Register =
    hex!("4c1b739ed451a637b0f82642e48a5ea83925d23633c72e7385c8e9aca4175e133ed1625b7d92eb39edf509c27ff392dc");
const KERNEL: Register =
    hex!("ac7e632dcf5cd2a1fe5c1f41f4d9b8219570e64ed3c61038fdbf25404e6f542ffd57f276bc5076307efaf882e6d64177");
const COMMAND_LINE: Register =
    hex!("786280842b7364287a3a70d96f7e309252857beb45fb1f91314a2ea863db0adc04c8431ecbf29a966405604631a5aab8");
const INITRD: Register =
    hex!("4fe4f7710134a61d7def357add6ac50bdbfeee5032a4c100375e207216ffe42a3bd5822b24e679f91501fff795b81521");
/// Of the empty variable store, 528 KiB: also the SHA-384 of Debian's `OVMF_VARS_4M.fd` (package `ovmf` 2022.11).
const VARIABLES: Register =
    hex!("344bc51c980ba621aaa00da3ed7436f7d6e549197dfe699515dfa2c6583d95e6412af21c097d473155875ffd561d6790");
const ACPI: AcpiDigests = AcpiDigests {
    loader: hex!(
        "095d04cf26fe03aef6e3561fa24c1aa1cea93f4aeaf563b1f9f7616184c53454875925759434769cec2490acb563a337"
    ),
    rsdp: hex!(
        "8d9a4d4777a1bc77ecd9d8d37a4628129a80052a510320159a20a923bd07a0e90d8d1f2e1ebf088992b25f0d0fa672ef"
    ),
    tables: hex!(
        "3070721e169bc41884724cb0e6b3082e1baf249083d8b389181ba50b9afa951057876c380b8870e8c2facf2eff67a2b6"
    ),
};
/// Its firmware's places for the memory list and temporary memory.
const GIVEN: [(u64, u64); 4] =
    [(0x80_9000, 0x2000), (0x81_0000, 0x1_0000), (0x80_b000, 0x2000), (0x80_0000, 0x6000)];

fn td_hob(memory: u64) -> Register {
    sha384(&[&hob_list(0x80_9000, GIVEN.to_vec(), memory).unwrap()])
}

#[test]
fn rtmr0_is_that_of_a_published_quote() {
    assert_eq!(rtmr0(td_hob(2 << 30), VARIABLES, &ACPI), RTMR0);
    assert_ne!(rtmr0(td_hob(3 << 30), VARIABLES, &ACPI), RTMR0);
}

#[test]
fn rtmr1_and_rtmr2_are_those_of_a_published_quote() {
    assert_eq!(rtmr1(KERNEL), RTMR1);
    assert_eq!(rtmr2(COMMAND_LINE, INITRD), RTMR2);
}

/// The digest that upstream's calculator has as a constant.
#[test]
fn the_boot_menus_option_has_the_published_digest() {
    let published = hex!(
        "23ada07f5261f12f34a0bd8e46760962d6b4d576a416f1fea1c64bc656b1d28eacf7047ae6e967c58fd2a98bfa74c298"
    );
    assert_eq!(sha384(&BOOT_MENU), published);
}

#[test]
fn memory_above_the_split_is_listed_above_4_gib() {
    let list = hob_list(0x80_9000, GIVEN.to_vec(), 4 << 30).unwrap();
    let (_, last) = list.split_at(list.len() - 16);
    assert_eq!(last, [&(4u64 << 30).to_le_bytes()[..], &(2u64 << 30).to_le_bytes()].concat());
    let whole = hob_list(0x80_9000, GIVEN.to_vec(), 0xafff_f000).unwrap();
    assert_eq!(whole.len() + 48, list.len());
}

#[test]
fn memory_lists_refuse_overlaps_and_guests_that_are_too_small() {
    let overlap = vec![(0x80_0000, 0x2000), (0x80_1000, 0x1000)];
    assert!(hob_list(0x80_9000, overlap, 2 << 30).is_err());
    assert!(hob_list(0x80_9000, GIVEN.to_vec(), 0x80_0000).is_err());
}
