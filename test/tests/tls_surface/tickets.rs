// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sessions that are resumed: where they may be, and what must not come with them.

use std::path::{Path, PathBuf};

use crate::{
    openssl::ask,
    programs::{Ran, find, run, text},
    world::{APP, DOMAIN, LABEL, OTHER_DOMAIN, OTHER_LABEL, World, id_name},
};

/// What openssl shows of its ClientHello when it asks to resume: a PSK in TLS 1.3, a ticket that is not empty in TLS 1.2.
fn offers_a_ticket(version: &str, ran: &Ran) -> bool {
    let sent = ran.out.split("Received Record").next().unwrap_or_default();
    match version {
        "-tls1_3" => sent.contains("extension_type=psk(41)"),
        _ => sent.contains("ticket (len="),
    }
}

/// A first connection to `name`, and where its session lies.
async fn first(world: &World, name: &str, version: &str) -> Option<PathBuf> {
    let session = world.dir().join(format!("session{version}"));
    let ran = ask(world, name, &[version, "-sess_out", text(&session)]).await?;
    ran.must_say("New, TLSv1.");
    assert!(session.is_file(), "no session: {}", ran.all());
    Some(session)
}

async fn again(world: &World, name: &str, version: &str, session: &Path) -> Option<Ran> {
    let ran = ask(world, name, &[version, "-sess_in", text(session), "-trace"]).await?;
    assert!(offers_a_ticket(version, &ran), "no ticket was offered: {}", ran.all());
    Some(ran)
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_resumes_its_sessions() {
    let world = World::start().await;
    for version in ["-tls1_3", "-tls1_2"] {
        for name in [DOMAIN, &id_name(APP, "")] {
            let Some(session) = first(&world, name, version).await else { return };
            let Some(ran) = again(&world, name, version, &session).await else { return };
            ran.must_say("Reused, TLSv1.");
            ran.must_say(LABEL);
        }
    }
}

/// Whoever has been at one app, or is one, has a session with the gateway. If it were good for another name, a client would
/// accept that name without its certificate.
#[tokio::test(flavor = "multi_thread")]
async fn attack_ticket_of_one_name_does_not_resume_under_another() {
    let world = World::start().await;
    for version in ["-tls1_3", "-tls1_2"] {
        let Some(session) = first(&world, DOMAIN, version).await else { return };
        for (name, label) in [(OTHER_DOMAIN, OTHER_LABEL), (&id_name(APP, ""), LABEL)] {
            let Some(ran) = again(&world, name, version, &session).await else { return };
            ran.must_say("New, TLSv1.");
            assert!(!ran.says("Reused, "), "{name}: {}", ran.all());
            ran.must_say(label);
        }
        // The ticket was good all the time.
        let Some(ran) = again(&world, DOMAIN, version, &session).await else { return };
        ran.must_say("Reused, TLSv1.");
    }
}

/// What is sent with the first message can be sent again by anybody who has seen it. The gateway says with each ticket that it
/// takes no early data; this client does not care.
#[tokio::test(flavor = "multi_thread")]
async fn attack_early_data_is_not_taken() {
    let world = World::start().await;
    let Some(session) = first(&world, DOMAIN, "-tls1_3").await else { return };
    let before = world.app.requests();
    let Some(eager) = with_early_data(world.dir(), &session).await else { return };
    let early = world.dir().join("early");
    std::fs::write(
        &early,
        format!("POST /upload HTTP/1.1\r\nhost: {DOMAIN}\r\ncontent-length: 5\r\n\r\nearly"),
    )
    .unwrap();
    let arguments = ["-tls1_3", "-sess_in", text(&eager), "-early_data", text(&early)];
    let Some(ran) = ask(&world, DOMAIN, &arguments).await else { return };
    ran.must_say("Early data was rejected");
    ran.must_say("Reused, TLSv1.3");
    ran.must_say(LABEL);
    assert_eq!(world.app.requests() - before, 1, "the early request arrived");
}

/// The session as if the server had allowed early data.
async fn with_early_data(dir: &Path, session: &Path) -> Option<PathBuf> {
    // `max_early_data [15] EXPLICIT INTEGER` of openssl's SSL_SESSION: 16384.
    const MAX_EARLY_DATA: &[u8] = &[0xaf, 4, 2, 2, 0x40, 0];
    let (der, eager) = (dir.join("session.der"), dir.join("eager.pem"));
    let mut convert = find("openssl", "openssl")?;
    convert.args(["sess_id", "-in", text(session), "-outform", "DER", "-out", text(&der)]);
    assert_eq!(run(convert, "").await.code, Some(0));
    let der = std::fs::read(der).unwrap();
    let (header, body) = sequence(&der);
    assert_eq!(header + body.len(), der.len());
    let at = place_of(body, 0xaf);
    let mut changed = body.to_vec();
    changed.splice(at..at, MAX_EARLY_DATA.iter().copied());
    let mut out = vec![0x30, 0x82];
    out.extend(u16::try_from(changed.len()).unwrap().to_be_bytes());
    out.extend(changed);
    let raw = dir.join("eager.der");
    std::fs::write(&raw, out).unwrap();
    let mut convert = find("openssl", "openssl")?;
    convert.args(["sess_id", "-inform", "DER", "-in", text(&raw), "-out", text(&eager)]);
    let ran = run(convert, "").await;
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    Some(eager)
}

/// The length of the header of what DER begins with, and its content.
fn sequence(der: &[u8]) -> (usize, &[u8]) {
    let (header, length) = match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
        other => panic!("a length of {other:#x}"),
    };
    (header, &der[header..header + length])
}

/// Where an element with `tag` belongs among elements whose tags ascend from the first optional one on.
fn place_of(body: &[u8], tag: u8) -> usize {
    let mut at = 0;
    while at < body.len() && (body[at] < 0xa0 || body[at] < tag) {
        let (header, content) = sequence(&body[at..]);
        at += header + content.len();
    }
    at
}
