// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a log proves, and every way in which it does not.

use super::*;

fn boot() -> Vec<Event> {
    let event = |name: &str, payload: &[u8]| Event::runtime(DigestVersion::V1, name, payload);
    vec![
        event("system-preparing", b""),
        event(APP_ID, &[1; 20]),
        event(COMPOSE_HASH, &[2; 32]),
        event(INIT_SCRIPT_HASH, &[3; 32]),
        event(INIT_SCRIPT_HASH, &[3; 32]),
        event(INSTANCE_ID, &[4; 20]),
        event("boot-mr-done", b""),
        event("vendor-extra", b"x"),
        event(OS_IMAGE_HASH, &[5; 32]),
        event(KEY_PROVIDER, b"{}"),
        event("storage-fs", b"zfs"),
        event(SYSTEM_READY, b""),
    ]
}

/// Registers of a TD in which nothing but these runtime events was extended.
fn registers(events: &[Event]) -> Registers {
    [[0; 48], [0; 48], [0; 48], replay(events)]
}

fn prove_own(events: &[Event]) -> Result<BootFacts, EvidenceError> {
    prove(events, &registers(events))
}

fn without(name: &str) -> Vec<Event> {
    boot().into_iter().filter(|e| e.name != name).collect()
}

/// Vectors computed apart from this code, with `sha384sum`.
#[test]
fn digests_match_independent_vectors() {
    let mut event = Event::runtime(DigestVersion::V1, APP_ID, [0x11; 20]);
    assert_eq!(
        hex::encode(event.digest()),
        concat!(
            "3f1fbb6cfe25e7f19bd48cfa9dc590cabaa946da04f92154",
            "02e7083550177292c1478402b258a90c649ccfcb5f408175"
        )
    );
    event.digest_version = DigestVersion::V2;
    assert_eq!(
        hex::encode(event.digest()),
        concat!(
            "f3fdf5a4af4b5554d2fd20456bd667fce7df585c5d94a4f3",
            "6b5c16ae22eab4123bf6f4e97a30efb6ec980a950e28d1a8"
        )
    );
}

#[test]
fn an_empty_log_replays_to_zeros() {
    assert_eq!(replay(&[]), [0; 48]);
}

#[test]
fn g1_facts_come_from_the_boot_part() {
    let facts = prove_own(&boot()).unwrap();
    assert_eq!(facts.app_id, Address::repeat_byte(1));
    assert_eq!(facts.compose_hash, B256::repeat_byte(2));
    assert_eq!(facts.instance_id, Address::repeat_byte(4));
    assert_eq!(facts.os_image_hash, Some(B256::repeat_byte(5)));
    assert_eq!(facts.key_provider, b"{}");
}

#[test]
fn g1_launch_ticket_is_believed_only_from_the_boot_part() {
    assert_eq!(prove_own(&boot()).unwrap().launch_ticket, None);
    let ticket = |n| Event::runtime(DigestVersion::V1, LAUNCH_TICKET_HASH, [n; 32]);
    let mut events = boot();
    events.push(ticket(9));
    assert_eq!(prove_own(&events).unwrap().launch_ticket, None);
    events.insert(3, ticket(8));
    assert_eq!(prove_own(&events).unwrap().launch_ticket, Some(B256::repeat_byte(8)));
    events[3].payload.pop();
    let short = EvidenceError::PayloadLength { name: LAUNCH_TICKET_HASH, got: 31, expected: 32 };
    assert_eq!(prove_own(&events), Err(short));
}

#[test]
fn g1_events_after_system_ready_are_replayed_and_not_believed() {
    let mut events = boot();
    events.push(Event::runtime(DigestVersion::V1, COMPOSE_HASH, [9; 32]));
    events.push(Event::runtime(DigestVersion::V2, "a:b", b"c".to_vec()));
    assert_eq!(prove_own(&events), prove_own(&boot()));
    assert_eq!(prove(&events, &registers(&boot())), Err(EvidenceError::LogMismatch));
}

#[test]
fn g1_a_log_that_is_not_the_extended_one_is_refused() {
    let rtmr3 = registers(&boot());
    let mut other = boot();
    other[2].payload = vec![7; 32];
    assert_eq!(prove(&other, &rtmr3), Err(EvidenceError::LogMismatch));
    let mut swapped = boot();
    swapped.swap(1, 2);
    assert_eq!(prove(&swapped, &rtmr3), Err(EvidenceError::LogMismatch));
    assert_eq!(prove(&boot()[1..], &rtmr3), Err(EvidenceError::LogMismatch));
}

#[test]
fn a_second_event_of_a_name_is_refused_before_system_ready() {
    for index in [1, 2, 5, 7, 8, 9] {
        let mut events = boot();
        let twice = events[index].clone();
        events.insert(index, twice);
        let name = events[index].name.clone();
        assert_eq!(prove_own(&events), Err(EvidenceError::DuplicateEvent { name }));
    }
}

#[test]
fn boot_events_keep_their_order() {
    let mut events = boot();
    events.swap(1, 2);
    assert_eq!(prove_own(&events), Err(EvidenceError::EventOrder { name: APP_ID.to_owned() }));
}

#[test]
fn every_fact_must_be_there() {
    for name in [APP_ID, COMPOSE_HASH, INSTANCE_ID, KEY_PROVIDER, SYSTEM_READY] {
        assert_eq!(prove_own(&without(name)), Err(EvidenceError::MissingEvent { name }));
    }
}

#[test]
fn payloads_of_another_length_are_refused_not_padded() {
    for (index, name, expected) in [(1, APP_ID, 20), (2, COMPOSE_HASH, 32), (5, INSTANCE_ID, 20)] {
        for got in [1, expected - 1, expected + 1] {
            let mut events = boot();
            events[index].payload = vec![1; got];
            assert_eq!(prove_own(&events), Err(EvidenceError::PayloadLength { name, got, expected }));
        }
    }
}

/// The attack: extend `compose-hash:` ‖ x once, then show it under a shorter or longer name.
#[test]
fn a_version_1_event_has_one_reading() {
    let mut events = boot();
    events[7].payload = b"evil:app-id:x".to_vec();
    let rtmr3 = registers(&events);
    events[7] = Event::runtime(DigestVersion::V1, "vendor-extra:evil", b"app-id:x".to_vec());
    assert_eq!(registers(&events), rtmr3);
    assert_eq!(prove(&events, &rtmr3), Err(EvidenceError::AmbiguousName { index: 7 }));
}

#[test]
fn an_image_hash_need_not_be_logged_but_is_read_strictly() {
    assert_eq!(prove_own(&without(OS_IMAGE_HASH)).unwrap().os_image_hash, None);
    let mut events = boot();
    events[8].payload.pop();
    let short = EvidenceError::PayloadLength { name: OS_IMAGE_HASH, got: 31, expected: 32 };
    assert_eq!(prove_own(&events), Err(short));
}

#[test]
fn an_app_without_instance_ids_has_the_zero_address() {
    let mut events = boot();
    events[5].payload.clear();
    assert_eq!(prove_own(&events).unwrap().instance_id, Address::ZERO);
}

#[test]
fn gpu_events_keep_their_place() {
    let gpu = |name: &str| Event::runtime(DigestVersion::V2, name, [6; 32]);
    let mut events = boot();
    events.splice(5..5, [gpu("gpu-policy-hash"), gpu("gpu-attestation")]);
    assert!(prove_own(&events).is_ok());
    events.swap(5, 6);
    assert_eq!(prove_own(&events), Err(EvidenceError::EventOrder { name: "gpu-policy-hash".to_owned() }));
    let mut late = boot();
    late.insert(7, gpu("gpu-policy-hash"));
    assert_eq!(prove_own(&late), Err(EvidenceError::EventOrder { name: "gpu-policy-hash".to_owned() }));
}

/// Firmware's events first, as upstream logs them.
fn whole() -> Vec<Event> {
    let firmware =
        [(0, 0x8000_000b, 1), (0, 10, 2), (1, 0x8000_0003, 3), (0, 4, 4), (2, 6, 5), (1, 0x8000_0007, 6)];
    let firmware = firmware.map(|(register, kind, byte)| Event::boot(register, kind, [byte; 48]));
    firmware.into_iter().chain(boot()).collect()
}

fn replayed(events: &[Event]) -> Registers {
    [0, 1, 2, 3].map(|register| replay(events.iter().filter(|e| e.register == register)))
}

#[test]
fn g1_boot_events_replay_to_their_registers_and_add_no_fact() {
    let events = whole();
    assert_eq!(prove(&events, &replayed(&events)), prove_own(&boot()));
}

#[test]
fn g1_boot_events_that_were_not_extended_are_refused() {
    let registers = replayed(&whole());
    for (index, register) in [(0, 0), (1, 0), (2, 1), (4, 2)] {
        let mut forged = whole();
        forged[index].digest_version = DigestVersion::Boot([9; 48]);
        assert_eq!(prove(&forged, &registers), Err(EvidenceError::BootLogMismatch { register }));
        let mut shortened = whole();
        shortened.remove(index);
        assert_eq!(prove(&shortened, &registers), Err(EvidenceError::BootLogMismatch { register }));
    }
    let mut moved = whole();
    moved.swap(0, 1);
    assert_eq!(prove(&moved, &registers), Err(EvidenceError::BootLogMismatch { register: 0 }));
}

/// Nothing of RTMR0 to RTMR2 is believed from a log, so a log without boot events lacks nothing.
#[test]
fn a_log_may_leave_all_boot_events_out() {
    assert_eq!(prove(&boot(), &replayed(&whole())), prove_own(&boot()));
}

/// The attack: a digest of the attacker's choosing in the register whose names are believed, or a believed type in a
/// register that the firmware extends.
#[test]
fn g1_a_logged_digest_never_stands_in_for_a_recomputed_one() {
    let with = |index: usize, change: &dyn Fn(&mut Event)| {
        let mut events = whole();
        change(&mut events[index]);
        (prove(&events, &replayed(&events)), index)
    };
    let cases = [
        with(7, &|e| e.digest_version = DigestVersion::Boot(e.digest())),
        with(7, &|e| *e = Event::boot(3, 4, [1; 48])),
        with(7, &|e| e.register = 4),
        with(7, &|e| e.kind = 1),
        with(0, &|e| e.kind = RUNTIME_EVENT),
        with(0, &|e| e.digest_version = DigestVersion::V1),
        with(0, &|e| e.register = 3),
    ];
    for (refused, expected) in cases {
        assert!(
            matches!(refused, Err(EvidenceError::ForeignEvent { index, .. }) if index == expected),
            "{refused:?}"
        );
    }
}
