// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Versions, suites, groups, protocols and names, as `openssl s_client` meets them.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    app::App,
    programs::{Ran, find, run, run_holding, text},
    world::{BASE, DOMAIN, LABEL, THIRD_APP, World, id_name, request},
};

/// Every suite of TLS 1.2 that openssl knows, other than those of the gateway.
const ALL_BUT_OURS: &str = "ALL:COMPLEMENTOFALL:!ECDHE+AESGCM:!ECDHE+CHACHA20:@SECLEVEL=0";

const PROTOCOL_VERSION: &str = "SSL alert number 70";
const HANDSHAKE_FAILURE: &str = "SSL alert number 40";
const MISSING_EXTENSION: &str = "SSL alert number 109";
const UNRECOGNIZED_NAME: &str = "SSL alert number 112";
const NO_APPLICATION_PROTOCOL: &str = "SSL alert number 120";

/// A client that believes the authority and nobody else, or nothing where there is none.
pub fn s_client(world: &World, arguments: &[&str]) -> Option<Command> {
    let mut command = find("openssl", "openssl")?;
    command.args(["s_client", "-connect", &world.addr().to_string(), "-verify_return_error"]);
    command.args(["-CAfile", text(&world.ca_file())]).args(arguments);
    Some(command)
}

/// Shakes hands and goes.
async fn handshake(world: &World, arguments: &[&str]) -> Option<Ran> {
    Some(run(s_client(world, arguments)?, "").await)
}

/// Asks `name` who it is.
pub async fn ask(world: &World, name: &str, arguments: &[&str]) -> Option<Ran> {
    let mut command = s_client(world, arguments)?;
    command.args(["-servername", name, "-ign_eof"]);
    Some(run(command, &request("/who", name)).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_speaks_tls_1_3_and_1_2_with_every_kind_of_name() {
    let world = World::start().await;
    for (version, spoken) in
        [("-tls1_3", "New, TLSv1.3, Cipher is "), ("-tls1_2", "New, TLSv1.2, Cipher is ")]
    {
        for name in [DOMAIN.to_owned(), id_name(crate::world::APP, "")] {
            let Some(ran) = ask(&world, &name, &[version]).await else { return };
            ran.must_say(spoken);
            ran.must_say("Verify return code: 0 (ok)");
            ran.must_say("Compression: NONE");
            ran.must_say(LABEL);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_is_refused_with_an_alert_when_it_speaks_tls_1_1_or_1_0() {
    let world = World::start().await;
    for version in ["-tls1_1", "-tls1"] {
        let arguments = ["-servername", DOMAIN, version, "-cipher", "ALL:@SECLEVEL=0"];
        let Some(ran) = handshake(&world, &arguments).await else { return };
        // Such clients know no signature schemes, and rustls misses those before it looks at the version.
        assert!(ran.says(PROTOCOL_VERSION) || ran.says(HANDSHAKE_FAILURE), "{}", ran.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_gets_forward_secret_aead_suites_and_no_other() {
    let world = World::start().await;
    for suite in ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
        let Some(ran) = ask(&world, DOMAIN, &["-tls1_3", "-ciphersuites", suite]).await else { return };
        ran.must_say(&format!("New, TLSv1.3, Cipher is {suite}"));
    }
    for suite in ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"] {
        let suite = format!("ECDHE-ECDSA-{suite}");
        let Some(ran) = ask(&world, DOMAIN, &["-tls1_2", "-cipher", &suite]).await else { return };
        ran.must_say(&format!("New, TLSv1.2, Cipher is {suite}"));
    }
    // RSA for the key exchange, finite fields, CBC, CCM, static and anonymous Diffie-Hellman, and what else there is.
    let arguments = ["-servername", DOMAIN, "-tls1_2", "-cipher", ALL_BUT_OURS];
    let Some(ran) = handshake(&world, &arguments).await else { return };
    ran.must_say(HANDSHAKE_FAILURE);
    let arguments = ["-servername", DOMAIN, "-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"];
    let Some(ran) = handshake(&world, &arguments).await else { return };
    ran.must_say(HANDSHAKE_FAILURE);
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_gets_elliptic_curves_that_are_strong_and_no_other_group() {
    let world = World::start().await;
    for (group, shown) in
        [("X25519", "X25519, 253 bits"), ("P-256", "prime256v1, 256 bits"), ("P-384", "secp384r1, 384 bits")]
    {
        for version in ["-tls1_3", "-tls1_2"] {
            let Some(ran) = ask(&world, DOMAIN, &[version, "-groups", group]).await else { return };
            assert!(ran.says(shown) || ran.says(&format!("ECDH, {shown}")), "{group}: {}", ran.all());
        }
    }
    for group in ["ffdhe2048", "P-521", "X448"] {
        let Some(ran) = handshake(&world, &["-servername", DOMAIN, "-tls1_3", "-groups", group]).await else {
            return;
        };
        ran.must_say(HANDSHAKE_FAILURE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_and_the_app_agree_on_the_protocol_through_the_gateway() {
    let world = World::start().await;
    let chosen = |protocol: &str| format!("ALPN protocol: {protocol}");
    for version in ["-tls1_3", "-tls1_2"] {
        for (offered, spoken) in [
            ("h2,http/1.1", chosen("h2")),
            ("http/1.1,h2", chosen("h2")),
            ("h2", chosen("h2")),
            ("http/1.1", chosen("http/1.1")),
            ("acme-tls/1,http/1.1", chosen("http/1.1")),
        ] {
            let arguments = ["-servername", DOMAIN, version, "-alpn", offered];
            let Some(ran) = handshake(&world, &arguments).await else { return };
            ran.must_say(&spoken);
        }
        let Some(ran) = handshake(&world, &["-servername", DOMAIN, version]).await else { return };
        ran.must_say("No ALPN negotiated");
        // Nothing that both speak.
        let Some(ran) = handshake(&world, &["-servername", DOMAIN, version, "-alpn", "spdy/1"]).await else {
            return;
        };
        ran.must_say(NO_APPLICATION_PROTOCOL);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_gets_an_alert_when_it_names_nobody_or_nobody_that_is_here() {
    let world = World::start().await;
    for version in ["-tls1_3", "-tls1_2"] {
        for name in ["unknown.example.org", "example.org", "x.app.example.org", "1234.gw.test", "x.gw.test"] {
            let Some(ran) = handshake(&world, &["-servername", name, version]).await else { return };
            ran.must_say(UNRECOGNIZED_NAME);
            assert!(!ran.says("BEGIN CERTIFICATE"), "{}", ran.all());
        }
        let Some(ran) = handshake(&world, &["-noservername", version]).await else { return };
        ran.must_say(MISSING_EXTENSION);
        assert!(!ran.says("BEGIN CERTIFICATE"), "{}", ran.all());
    }
}

/// An app that goes on talking: rustls's answer goes out with the next thing that is said.
async fn ticking() -> App {
    App::raw(&[], |mut tls| async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while tls.write_all(b".").await.is_ok() && tls.flush().await.is_ok() {
            ticks.tick().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_cannot_renegotiate() {
    let (world, app) = (World::start().await, ticking().await);
    world.register(THIRD_APP, &app).await;
    let name = id_name(THIRD_APP, "");
    let mut refused = false;
    for _ in 0..20 {
        let arguments = ["-servername", &name, "-tls1_2", "-legacy_renegotiation"];
        let Some(command) = s_client(&world, &arguments) else { return };
        // `R` on a line of its own is its command to renegotiate.
        let ran = run_holding(command, "R\n").await;
        ran.must_say("Secure Renegotiation IS supported");
        ran.must_say("RENEGOTIATING");
        refused = ran.says("no renegotiation");
        if refused {
            break;
        }
        // What the app said just before the wish arrived is what openssl does not want now.
        ran.must_say("unexpected record");
    }
    assert!(refused, "the app's words came first each time");
    assert_eq!(world.who(DOMAIN).await, LABEL);
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_finds_the_gateways_own_pages() {
    let world = World::start().await;
    let Some(mut command) = s_client(&world, &["-servername", BASE, "-ign_eof", "-alpn", "http/1.1"]) else {
        return;
    };
    command.arg("-quiet");
    let ran = run(command, &request("/.well-known/mandate/gateway", BASE)).await;
    ran.must_say("HTTP/1.1 200");
    ran.must_say(DOMAIN);
}
