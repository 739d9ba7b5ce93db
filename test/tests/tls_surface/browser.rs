// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What Chromium makes of it.

use std::path::Path;

use crate::{
    programs::{Ran, find, run, text},
    world::{APP, BASE, DOMAIN, OTHER_APP, World, id_name},
};

/// Every name of these tests is here, and no other one anywhere.
const NAMES: &str =
    "MAP *.example.org 127.0.0.1,MAP *.gw.test 127.0.0.1,MAP gw.test 127.0.0.1,MAP * ~NOTFOUND";

/// Shows a page once nothing is under way any more, or after so much of its own time.
const AFTER_ALL: &str = "--virtual-time-budget=10000";

/// Has Chromium trust the authority, by the database that it shares with other programs below `home`.
async fn trust(world: &World, home: &Path) -> Option<()> {
    let store = home.join(".pki/nssdb");
    std::fs::create_dir_all(&store).unwrap();
    let store = format!("sql:{}", store.display());
    let ca = world.ca_file();
    for arguments in [
        vec!["-N", "--empty-password", "-d", &store],
        vec!["-A", "-d", &store, "-n", "root of the tests", "-t", "C,,", "-i", text(&ca)],
    ] {
        let mut certutil = find("certutil", "libnss3-tools")?;
        certutil.args(arguments);
        let ran = run(certutil, "").await;
        assert_eq!(ran.code, Some(0), "{}", ran.all());
    }
    Some(())
}

/// Loads a page as somebody who lives in `home` and shows what its script has made of it.
async fn load(home: &Path, url: &str, more: &[&str]) -> Option<Ran> {
    let mut command = find("chromium", "chromium")?;
    // A container may have no room for namespaces, and root none for a sandbox.
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg(format!("--host-resolver-rules={NAMES}"));
    command.arg(format!("--user-data-dir={}", home.join("profile").display()));
    command.args(more).args(["--dump-dom", url]).env("HOME", home);
    Some(run(command, "").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_loads_a_page_over_h2_and_opens_a_websocket() {
    let world = World::start().await;
    if trust(&world, world.dir()).await.is_none() {
        return;
    }
    for (name, protocol) in [(DOMAIN, "h2"), (&id_name(APP, ""), "http/1.1")] {
        let Some(ran) = load(world.dir(), &format!("https://{name}:{}/", world.port()), &[]).await else {
            return;
        };
        ran.must_say(&format!("[protocol: {protocol}]"));
        ran.must_say("[socket: said back]");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_refuses_the_page_of_an_authority_that_it_does_not_know() {
    let world = World::start().await;
    let Some(ran) = load(world.dir(), &format!("https://{DOMAIN}:{}/", world.port()), &[]).await else {
        return;
    };
    ran.must_say("ERR_CERT_AUTHORITY_INVALID");
    assert!(!ran.says("[protocol:"), "{}", ran.all());
    assert_eq!(world.app.requests(), 0);
}

/// All names of ids share a certificate and an address, and a browser that has an HTTP/2 connection to one of them sends over it
/// whatever it has for the others (RFC 9113, section 9.1.1). An app would get the requests of all other apps, cookies included.
#[tokio::test(flavor = "multi_thread")]
async fn attack_app_does_not_get_what_chromium_sends_to_another_app() {
    let world = World::start().await;
    if trust(&world, world.dir()).await.is_none() {
        return;
    }
    let url = |name: &str, path: &str| format!("https://{name}:{}{path}", world.port());
    let victim = url(&id_name(APP, ""), "/who");
    // The gateway's own name, too, is on that certificate.
    let names = [id_name(OTHER_APP, "g"), id_name(OTHER_APP, ""), BASE.to_owned()];
    for first in names {
        let before = (world.app.requests(), world.other.requests());
        let page = asking(world.dir(), &url(&first, "/who"), &victim);
        let Some(ran) = load(world.dir(), &page, &[AFTER_ALL]).await else { return };
        let after = (world.app.requests(), world.other.requests());
        assert_eq!(after.0 - before.0, 1, "{first} got the request: {}", ran.all());
        assert!(after.1 - before.1 <= 1, "{first} got both requests");
    }
}

/// A page of anybody's that asks for one thing, then for the other, as the visitor.
fn asking(dir: &Path, first: &str, then: &str) -> String {
    let script = format!(
        "const ask = url => fetch(url, {{ mode: 'no-cors', credentials: 'include' }}).catch(() => {{}});
         ask('{first}').then(() => ask('{then}')).then(() => document.body.append('[asked]'));"
    );
    let page = dir.join("asking.html");
    std::fs::write(&page, format!("<!doctype html><body><script>{script}</script>")).unwrap();
    format!("file://{}", page.display())
}
