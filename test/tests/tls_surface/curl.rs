// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTP through the gateway, as curl and h2load speak it.

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::{
    programs::{Ran, find, run, text},
    world::{APP, BASE, DOMAIN, LABEL, World, id_name},
};

const UPLOAD: usize = 8 << 20;
/// curl's exit code when it does not know the authority.
const UNKNOWN_AUTHORITY: i32 = 60;

fn url(world: &World, name: &str, path: &str) -> String {
    format!("https://{name}:{}{path}", world.port())
}

/// Curl, with version and status on its last line.
fn curl(world: &World, name: &str) -> Option<Command> {
    let mut command = find("curl", "curl")?;
    command.args(["--silent", "--show-error", "--max-time", "60"]);
    command.args(["--write-out", "\n%{http_version} %{http_code}", "--resolve"]);
    command.arg(format!("{name}:{}:127.0.0.1", world.port()));
    Some(command)
}

async fn get(world: &World, name: &str, path: &str, arguments: &[&str]) -> Option<Ran> {
    let mut command = curl(world, name)?;
    command.args(["--cacert", text(&world.ca_file())]).args(arguments).arg(url(world, name, path));
    Some(run(command, "").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_both_versions_of_http_with_the_app() {
    let world = World::start().await;
    for (name, version, spoken) in [
        (DOMAIN, "--http2", "2 200"),
        (DOMAIN, "--http1.1", "1.1 200"),
        // Names of ids stand for HTTP/1.1 whatever a client would like.
        (&id_name(APP, ""), "--http2", "1.1 200"),
    ] {
        let Some(ran) = get(&world, name, "/who", &[version]).await else { return };
        assert_eq!(ran.out, format!("{LABEL}\n{spoken}"), "{}", ran.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_refuses_when_it_does_not_know_the_authority() {
    let world = World::start().await;
    let Some(mut command) = curl(&world, DOMAIN) else { return };
    let ran = run(
        {
            command.arg(url(&world, DOMAIN, "/who"));
            command
        },
        "",
    )
    .await;
    assert_eq!(ran.code, Some(UNKNOWN_AUTHORITY), "{}", ran.all());
    assert_eq!(world.app.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_uploads_some_megabytes_in_chunks_and_downloads_more() {
    let world = World::start().await;
    let (file, bytes) =
        (world.dir().join("upload"), (0..UPLOAD).map(|i| (i % 251) as u8).collect::<Vec<_>>());
    std::fs::write(&file, &bytes).unwrap();
    let expected = format!("{UPLOAD} {}", hex::encode(Sha256::digest(&bytes)));
    for (version, spoken) in [("--http1.1", "1.1 200"), ("--http2", "2 200")] {
        let mut arguments = vec![version, "--upload-file", text(&file)];
        if version == "--http1.1" {
            arguments.extend(["--header", "transfer-encoding: chunked"]);
        }
        let Some(ran) = get(&world, DOMAIN, "/upload", &arguments).await else { return };
        assert_eq!(ran.out, format!("{expected}\n{spoken}"), "{version}: {}", ran.err);
        let down = world.dir().join("down");
        let arguments = [version, "--output", text(&down)];
        let Some(ran) = get(&world, DOMAIN, "/large/20000000", &arguments).await else { return };
        assert_eq!(std::fs::metadata(&down).unwrap().len(), 20_000_000, "{version}: {}", ran.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_upgrades_to_a_websocket() {
    let world = World::start().await;
    for name in [DOMAIN, &id_name(APP, "")] {
        let headers = [
            "connection: Upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let mut arguments = vec!["--http1.1", "--include"];
        headers.iter().for_each(|header| arguments.extend(["--header", header]));
        let Some(ran) = get(&world, name, "/ws/greet", &arguments).await else { return };
        ran.must_say("HTTP/1.1 101");
        // What the key of RFC 6455, section 1.3, is answered with there.
        ran.must_say("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        ran.must_say(LABEL);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_the_gateways_own_pages() {
    let world = World::start().await;
    for name in [BASE, DOMAIN] {
        let Some(ran) = get(&world, name, "/.well-known/mandate/gateway", &["--http1.1"]).await else {
            return;
        };
        assert!(ran.out.ends_with("\n1.1 200") && ran.out.contains(DOMAIN), "{}", ran.all());
    }
    assert_eq!(world.app.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn h2load_loses_no_request() {
    let world = World::start().await;
    for (version, requests, clients) in [("--npn-list=h2", 6_000, 12), ("--h1", 2_000, 8)] {
        let Some(mut command) = find("h2load", "nghttp2-client") else { return };
        command.args([version, "-n", &requests.to_string(), "-c", &clients.to_string(), "-m", "10"]);
        command.arg(format!("--connect-to={}", world.addr())).arg(url(&world, DOMAIN, "/who"));
        let ran = run(command, "").await;
        ran.must_say(&format!(
            "requests: {requests} total, {requests} started, {requests} done, {requests} succeeded, 0 failed, 0 errored, \
             0 timeout"
        ));
        ran.must_say(if version == "--h1" {
            "Application protocol: http/1.1"
        } else {
            "Application protocol: h2"
        });
    }
    assert_eq!(world.app.requests(), 8_000);
}
