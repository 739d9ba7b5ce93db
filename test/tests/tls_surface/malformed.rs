// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the port says to peers that keep to no protocol: an alert or nothing, soon, and to everybody else what it said before.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    hello::{
        ALERT, Answer, EARLY_DATA, GROUPS, HANDSHAKE, HEARTBEAT, Hello, KEY_SHARE, PROTOCOLS, SERVER_NAME,
        SIGNATURES, SSL_3, TLS_1_0, TLS_1_1, TLS_1_2, VERSIONS, long, message, record, server_names,
    },
    talk::{PATIENCE, connect, first_answer, start, still_serves, until_closed},
    world::{BASE, DOMAIN, World},
};

const CHANGE_CIPHER_SPEC: u8 = 20;
const APPLICATION_DATA: u8 = 23;
const HEARTBEATS: u8 = 24;
const CLIENT_HELLO: u8 = 1;
const FINISHED: u8 = 20;

const UNEXPECTED_MESSAGE: u8 = 10;
const HANDSHAKE_FAILURE: u8 = 40;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const PROTOCOL_VERSION: u8 = 70;
const MISSING_EXTENSION: u8 = 109;
const UNRECOGNIZED_NAME: u8 = 112;
const NO_APPLICATION_PROTOCOL: u8 = 120;

async fn assert_alerts(world: &World, cases: Vec<(&str, Vec<u8>, &[u8])>) {
    let mut wrong = Vec::new();
    for (what, bytes, alerts) in cases {
        let answer = first_answer(world, &[bytes]).await;
        if !matches!(answer, Answer::Alert(alert) if alerts.contains(&alert)) {
            wrong.push(format!("{what}: {answer:?} and not {alerts:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    still_serves(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_in_any_number_of_segments_and_records_is_answered() {
    let (world, _) = start().await;
    for hello in [Hello::tls_1_3(DOMAIN), Hello::tls_1_2(DOMAIN)] {
        let whole = hello.record();
        let bytes: Vec<_> = whole.iter().map(|byte| vec![*byte]).collect();
        let records = hello.records(1);
        let record_by_record = records.chunks(6).map(<[u8]>::to_vec).collect();
        for (what, segments) in [
            ("one segment", vec![whole.clone()]),
            ("single bytes", bytes),
            ("records of one byte in one segment", vec![records.clone()]),
            ("records of one byte, each by itself", record_by_record),
            ("records of one byte cut anywhere", records.chunks(7).map(<[u8]>::to_vec).collect()),
        ] {
            let answer = first_answer(&world, &segments).await;
            assert!(answer.is_hello(), "{what}: {answer:?}");
        }
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_that_nobody_needs_are_not_agreed_to() {
    let (world, _) = start().await;
    let mut hello = Hello::tls_1_2(DOMAIN).and(HEARTBEAT, &[1]);
    hello.compression = vec![1, 0];
    match first_answer(&world, &[hello.record()]).await {
        Answer::Hello { compression, extensions } => {
            assert_eq!(compression, 0);
            assert!(!extensions.contains(&HEARTBEAT), "{extensions:?}");
        }
        other => panic!("{other:?}"),
    }
    // Values that mean nothing are to be ignored (RFC 8701).
    let mut grease = Hello::tls_1_3(DOMAIN).and(0x0a0a, &[]).and(0xfafa, &[1, 2, 3]);
    grease.suites.insert(0, 0x1a1a);
    assert!(first_answer(&world, &[grease.record()]).await.is_hello());
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_hello_gets_an_alert() {
    let (world, _) = start().await;
    let sslv2 = [&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10], [1, 0, 0x80].repeat(12).as_slice()].concat();
    let hello = Hello::tls_1_3(DOMAIN).message();
    assert_alerts(
        &world,
        vec![
            ("HTTP", b"GET / HTTP/1.1\r\nhost: app.example.org\r\n\r\n".to_vec(), &[DECODE_ERROR]),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[DECODE_ERROR]),
            ("a PROXY header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n".to_vec(), &[DECODE_ERROR]),
            ("SSLv2", sslv2, &[DECODE_ERROR]),
            ("a record of an unknown kind", record(99, TLS_1_2, b"x"), &[DECODE_ERROR]),
            (
                "a record that is longer than any may be",
                [&[HANDSHAKE, 3, 3], [0xff; 2048].as_slice()].concat(),
                &[DECODE_ERROR, 22],
            ),
            (
                "a handshake record with nothing in it",
                record(HANDSHAKE, TLS_1_2, &[]),
                &[DECODE_ERROR, UNEXPECTED_MESSAGE],
            ),
            (
                "a message that is longer than any may be",
                record(HANDSHAKE, TLS_1_2, &[CLIENT_HELLO, 0xff, 0xff, 0xff, 3, 3]),
                &[DECODE_ERROR, ILLEGAL_PARAMETER],
            ),
            (
                "another message",
                record(HANDSHAKE, TLS_1_2, &message(FINISHED, &[0; 32])),
                &[UNEXPECTED_MESSAGE],
            ),
            (
                "an unknown message",
                record(HANDSHAKE, TLS_1_2, &message(77, b"what")),
                &[UNEXPECTED_MESSAGE, DECODE_ERROR],
            ),
            ("an alert", record(ALERT, TLS_1_2, &[2, HANDSHAKE_FAILURE]), &[UNEXPECTED_MESSAGE]),
            ("change_cipher_spec", record(CHANGE_CIPHER_SPEC, TLS_1_2, &[1]), &[UNEXPECTED_MESSAGE]),
            (
                "application data",
                record(APPLICATION_DATA, TLS_1_2, b"GET / HTTP/1.1\r\n\r\n"),
                &[UNEXPECTED_MESSAGE],
            ),
            ("a heartbeat", record(HEARTBEATS, TLS_1_2, &[1, 0x40, 0]), &[UNEXPECTED_MESSAGE, DECODE_ERROR]),
            (
                "half a hello and something else",
                [record(HANDSHAKE, TLS_1_0, &hello[..50]), record(APPLICATION_DATA, TLS_1_2, b"x")].concat(),
                &[UNEXPECTED_MESSAGE, DECODE_ERROR],
            ),
            (
                "half a hello and an alert",
                [record(HANDSHAKE, TLS_1_0, &hello[..50]), record(ALERT, TLS_1_2, &[1, 0])].concat(),
                &[UNEXPECTED_MESSAGE, DECODE_ERROR],
            ),
            (
                "a hello that does not end",
                record(
                    HANDSHAKE,
                    TLS_1_0,
                    &[&[CLIENT_HELLO, 0, 0xff, 0xff, 3, 3], [0; 16_000].as_slice()].concat(),
                )
                .repeat(3),
                &[DECODE_ERROR],
            ),
            (
                "a hello after 32 KiB of others' names",
                Hello::tls_1_3(DOMAIN).and(0x4242, &[0; 40_000]).records(16_000),
                &[DECODE_ERROR],
            ),
        ],
    )
    .await;
    assert_eq!(world.app.requests(), 1, "something that is no request arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_that_breaks_a_rule_gets_an_alert() {
    let (world, _) = start().await;
    let (new, old) = (Hello::tls_1_3(DOMAIN), Hello::tls_1_2(DOMAIN));
    let broken = |change: &dyn Fn(&mut Hello)| {
        let mut hello = old.clone();
        change(&mut hello);
        hello.record()
    };
    let versions =
        |offered: &[u8]| new.clone().but(VERSIONS, &[&[offered.len() as u8], offered].concat()).record();
    assert_alerts(
        &world,
        vec![
            ("SSL 3", broken(&|h| h.version = SSL_3), &[PROTOCOL_VERSION]),
            ("TLS 1.0", broken(&|h| h.version = TLS_1_0), &[PROTOCOL_VERSION]),
            ("TLS 1.1", broken(&|h| h.version = TLS_1_1), &[PROTOCOL_VERSION]),
            ("no version that is known", versions(&[9, 9]), &[PROTOCOL_VERSION]),
            ("a draft of TLS 1.3", versions(&[0x7f, 28]), &[PROTOCOL_VERSION]),
            (
                "no suites",
                broken(&|h| h.suites = Vec::new()),
                &[HANDSHAKE_FAILURE, DECODE_ERROR, ILLEGAL_PARAMETER],
            ),
            (
                "suites without forward secrecy",
                broken(&|h| h.suites = vec![0x009c, 0x002f, 0x000a]),
                &[HANDSHAKE_FAILURE],
            ),
            ("suites with CBC", broken(&|h| h.suites = vec![0xc023, 0xc009, 0xc00a]), &[HANDSHAKE_FAILURE]),
            (
                "suites with RC4, NULL, export",
                broken(&|h| h.suites = vec![0xc007, 0xc006, 0x0003, 0x0000]),
                &[HANDSHAKE_FAILURE],
            ),
            ("suites for RSA", broken(&|h| h.suites = vec![0xc02f, 0xc030]), &[HANDSHAKE_FAILURE]),
            ("compression alone", broken(&|h| h.compression = vec![1]), &[ILLEGAL_PARAMETER]),
            (
                "no compression method",
                broken(&|h| h.compression = Vec::new()),
                &[ILLEGAL_PARAMETER, DECODE_ERROR],
            ),
            ("a session id of 33 bytes", broken(&|h| h.session_id = vec![1; 33]), &[DECODE_ERROR]),
            (
                "something after the hello",
                record(HANDSHAKE, TLS_1_0, &new.message_and(&[0; 3])),
                &[DECODE_ERROR],
            ),
            (
                "an extension twice",
                old.clone().and(GROUPS, &[0, 2, 0, 23]).record(),
                &[DECODE_ERROR, ILLEGAL_PARAMETER],
            ),
            (
                "no groups in TLS 1.3",
                new.clone().without(GROUPS).record(),
                &[MISSING_EXTENSION, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER],
            ),
            (
                "no groups that are known",
                old.clone().but(GROUPS, &[0, 2, 0, 99]).record(),
                &[HANDSHAKE_FAILURE],
            ),
            (
                "no signatures",
                new.clone().without(SIGNATURES).record(),
                &[MISSING_EXTENSION, HANDSHAKE_FAILURE],
            ),
            (
                "signatures with SHA-1",
                old.clone().but(SIGNATURES, &[0, 2, 2, 3]).record(),
                &[HANDSHAKE_FAILURE],
            ),
            (
                "a key share twice",
                new.clone().but(KEY_SHARE, &long(&[[0, 29, 0, 1, 9], [0, 29, 0, 1, 8]].concat())).record(),
                &[ILLEGAL_PARAMETER],
            ),
            (
                "a key share that is no point",
                new.clone().but(KEY_SHARE, &long(&[0, 29, 0, 1, 9])).record(),
                &[ILLEGAL_PARAMETER],
            ),
            (
                "a key share that gives zero",
                new.clone().but(KEY_SHARE, &long(&[&[0, 29, 0, 32], [0; 32].as_slice()].concat())).record(),
                &[ILLEGAL_PARAMETER],
            ),
            (
                "a protocol without a name",
                old.clone().and(PROTOCOLS, &[0, 1, 0]).record(),
                &[DECODE_ERROR, ILLEGAL_PARAMETER],
            ),
            (
                "no protocol of the app",
                old.clone().and(PROTOCOLS, b"\0\x07\x06spdy/1").record(),
                &[NO_APPLICATION_PROTOCOL],
            ),
            (
                "two messages in one record",
                record(HANDSHAKE, TLS_1_0, &new.message().repeat(2)),
                &[UNEXPECTED_MESSAGE],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_name_that_is_none_gets_an_alert() {
    let (world, _) = start().await;
    let named = |names: &[&[u8]]| Hello::tls_1_3(DOMAIN).but(SERVER_NAME, &server_names(names)).record();
    let domain = DOMAIN.as_bytes();
    let refused: &[u8] = &[DECODE_ERROR, ILLEGAL_PARAMETER, UNRECOGNIZED_NAME, MISSING_EXTENSION];
    assert_alerts(
        &world,
        vec![
            ("no extension", Hello::tls_1_3(DOMAIN).without(SERVER_NAME).record(), &[MISSING_EXTENSION]),
            ("an empty list", named(&[]), refused),
            ("an empty name", named(&[b""]), refused),
            ("two names", named(&[domain, domain]), refused),
            ("a name with a NUL", named(&[b"app.example.org\0.evil.example"]), refused),
            ("an address", named(&[b"127.0.0.1"]), refused),
            ("a wildcard", named(&[b"*.example.org"]), refused),
            ("a name of 300 bytes", named(&[[b'a'; 300].as_slice()]), refused),
            ("a name that is no text", named(&[&[0xff, 0xfe, 0xc0]]), refused),
            ("a name that is a path", named(&[b"../../etc/passwd"]), refused),
            (
                "a name with a length that is none",
                Hello::tls_1_3(DOMAIN).but(SERVER_NAME, &[0xff, 0xff, 0, 0, 3]).record(),
                refused,
            ),
            ("a base of its own", named(&[b"gw.test.evil.example"]), refused),
        ],
    )
    .await;
}

/// Early data without a session is skipped, up to a limit, and the handshake goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_hello_too_early_ends_the_connection() {
    let (world, _) = start().await;
    let early = record(APPLICATION_DATA, TLS_1_2, &[0; 64]);
    for (what, bytes) in [
        ("garbage", [Hello::tls_1_3(DOMAIN).record(), vec![0xff; 500]].concat()),
        ("plain HTTP", [Hello::tls_1_3(DOMAIN).record(), b"GET / HTTP/1.1\r\n\r\n".to_vec()].concat()),
        ("the hello again", Hello::tls_1_3(DOMAIN).record().repeat(2)),
        ("application data", [Hello::tls_1_3(DOMAIN).record(), early.clone()].concat()),
        (
            "early data that was announced",
            [Hello::tls_1_3(DOMAIN).and(EARLY_DATA, &[]).record(), early].concat(),
        ),
        (
            "application data in TLS 1.2",
            [Hello::tls_1_2(DOMAIN).record(), record(APPLICATION_DATA, TLS_1_2, b"x")].concat(),
        ),
        ("an alert", [Hello::tls_1_2(DOMAIN).record(), record(ALERT, TLS_1_2, &[2, 0])].concat()),
        ("garbage at the gateway's own pages", [Hello::tls_1_3(BASE).record(), vec![0xff; 500]].concat()),
    ] {
        eprintln!("{what}");
        until_closed(&world, &bytes).await;
    }
    assert_eq!(world.app.requests(), 0);
    still_serves(&world).await;
}

/// Whoever takes his time has the handshake's timeout, twice at most.
#[tokio::test(flavor = "multi_thread")]
async fn client_that_stalls_is_cut_off_when_its_time_is_over() {
    let (world, clock) = start().await;
    let hello = Hello::tls_1_3(DOMAIN).record();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("a byte", hello[..1].to_vec()),
        ("a record's header", hello[..5].to_vec()),
        ("half a hello", hello[..hello.len() / 2].to_vec()),
        ("half of many records", Hello::tls_1_3(DOMAIN).records(1)[..600].to_vec()),
        ("a hello and no more", hello.clone()),
        ("a hello and half a record", [hello.as_slice(), &[CHANGE_CIPHER_SPEC, 3, 3]].concat()),
        ("a hello for the gateway's own pages", Hello::tls_1_3(BASE).record()),
    ] {
        let mut stream = connect(&world).await;
        stream.write_all(&bytes).await.unwrap();
        let mut all = Vec::new();
        let mut read = std::pin::pin!(stream.read_to_end(&mut all));
        let until = tokio::time::Instant::now() + PATIENCE;
        // It may not have begun to wait yet, so time goes on until it has.
        while tokio::time::timeout(Duration::from_millis(1), &mut read).await.is_err() {
            assert!(tokio::time::Instant::now() < until, "{what}: not cut off");
            clock.advance(Duration::from_secs(1));
        }
    }
    still_serves(&world).await;
}
