// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Hellos with damage done to them at random.

use std::sync::atomic::Ordering;

use proptest::{prelude::*, sample::Index, test_runner::TestRunner};

use crate::{
    hello::{EARLY_DATA, Hello, PROTOCOLS},
    talk::{PANICS, start, still_serves, until_closed},
    world::{BASE, DOMAIN},
};

/// What somebody may do to a hello.
#[derive(Debug, Clone)]
enum Damage {
    Byte(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Double(Index, Index),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            (any::<Index>(), any::<u8>()).prop_map(|(at, to)| Self::Byte(at, to)),
            any::<Index>().prop_map(Self::Cut),
            (any::<Index>(), prop::collection::vec(any::<u8>(), 1..40))
                .prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Self::Remove(at, count)),
            (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Self::Double(from, to)),
        ]
    }

    fn done_to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Self::Byte(at, to) => bytes[at.index(length)] = *to,
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Insert(at, more) => {
                drop(bytes.splice(at.index(length)..at.index(length), more.iter().copied()))
            }
            Self::Remove(at, count) => {
                drop(bytes.drain(at.index(length)..(at.index(length) + count).min(length)))
            }
            Self::Double(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                bytes.extend_from_within(from.min(to)..from.max(to));
            }
        }
    }
}

fn hellos() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        Just(Hello::tls_1_3(DOMAIN)),
        Just(Hello::tls_1_2(DOMAIN)),
        Just(Hello::tls_1_3(BASE)),
        Just(Hello::tls_1_3(DOMAIN).and(EARLY_DATA, &[]).and(PROTOCOLS, b"\0\x0c\x02h2\x08http/1.1")),
    ];
    (whole, 1..400_usize, prop::collection::vec(Damage::any(), 0..5)).prop_map(|(hello, size, damages)| {
        let mut bytes = hello.records(size);
        damages.iter().for_each(|damage| damage.done_to(&mut bytes));
        bytes
    })
}

#[test]
fn damaged_hello_never_holds_a_connection_nor_harms_the_next() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (world, _) = runtime.block_on(start());
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let bytes = prop_oneof![4 => hellos(), 1 => prop::collection::vec(any::<u8>(), 0..2_000)];
    TestRunner::new(config)
        .run(&bytes, |bytes| {
            runtime.block_on(until_closed(&world, &bytes));
            prop_assert_eq!(PANICS.load(Ordering::SeqCst), 0);
            Ok(())
        })
        .unwrap();
    assert_eq!(world.app.requests(), 0);
    runtime.block_on(still_serves(&world));
}
