// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use mandate_gateway::{Settings, StartError, chain::At};
use rustls::AlertDescription;

use crate::{
    instance::Instance,
    scripted::{Mischief, ScriptedChain, TestCa},
    world::{APP, BASE, DOMAIN, NOW, OTHER_APP, World, alert, closed, greeting},
};

#[tokio::test]
async fn g1_domain_that_no_app_holds_gets_no_certificate() {
    let world = World::start().await;
    let refused = world.order(DOMAIN).await.unwrap_err();
    assert_eq!(refused.status(), Some(403));
    assert!(refused.to_string().contains("not approved for any app at block 0"), "{refused}");
    world.chain.approve(DOMAIN, APP);
    world.chain.release(At::Head, DOMAIN);
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(409));
    world.chain.set_undecided(true);
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(503));
    assert_eq!(world.ca.issued(), 0);
}

#[tokio::test]
async fn attack_names_of_the_gateway_itself_are_no_domains() {
    let world = World::start().await;
    for name in
        [BASE, &format!("{}.{BASE}", hex::encode(APP)), "*.example.org", "127.0.0.1", "A.example.org", ""]
    {
        world.chain.approve(name, APP);
        assert_eq!(world.order(name).await.unwrap_err().status(), Some(400), "{name}");
    }
    assert_eq!(world.ca.issued(), 0);
}

#[tokio::test]
async fn certificate_is_ordered_once_however_often_it_is_asked_for() {
    let world = World::start().await;
    world.chain.approve(DOMAIN, APP);
    let all = futures::future::join_all((0..5).map(|_| world.order(DOMAIN))).await;
    let first = all[0].as_ref().unwrap();
    assert!(all.iter().all(|one| one.as_ref().unwrap() == first));
    assert_eq!((first.app, first.issuer.as_str()), (APP, "ca.test"));
    assert_eq!(first.account_uri, "https://ca.test/account/1");
    assert_eq!(world.ca.issued(), 1);
    assert_eq!(world.certificates().await, std::slice::from_ref(first));
}

#[tokio::test]
async fn domain_that_moves_to_another_app_gets_another_certificate_and_loses_its_connections() {
    let (world, one, two) =
        (World::start().await, Instance::start("one").await, Instance::start("two").await);
    world.register(APP, &one).await;
    world.register(OTHER_APP, &two).await;
    world.chain.approve(DOMAIN, APP);
    let first = world.order(DOMAIN).await.unwrap();
    let mut stream = world.browse(DOMAIN, &[]).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "one");
    world.chain.approve(DOMAIN, OTHER_APP);
    let second = world.order(DOMAIN).await.unwrap();
    assert_ne!(first.spki_hash, second.spki_hash);
    closed(&mut stream).await;
    assert_eq!(greeting(&mut world.browse(DOMAIN, &[]).await.unwrap()).await, "two");
}

#[tokio::test]
async fn g7_domain_that_is_released_is_served_no_more() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    let mut stream = world.browse(DOMAIN, &[]).await.unwrap();
    greeting(&mut stream).await;
    world.chain.release(At::Head, DOMAIN);
    let mut ended = std::pin::pin!(closed(&mut stream));
    loop {
        tokio::select! {
            () = &mut ended => break,
            () = tokio::task::yield_now() => world.clock.advance(Duration::from_secs(1)),
        }
    }
    assert_eq!(alert(world.browse(DOMAIN, &[]).await), AlertDescription::UnrecognisedName);
}

#[tokio::test]
async fn attack_certificate_that_was_not_asked_for_is_refused() {
    for mischief in [Mischief::CertifiesAnotherKey, Mischief::CertifiesMoreNames, Mischief::Expired] {
        let world = World::start().await;
        world.chain.approve(DOMAIN, APP);
        world.ca.set(mischief);
        assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(502), "{mischief:?}");
        assert!(world.certificates().await.is_empty());
    }
}

#[tokio::test]
async fn failed_order_is_not_repeated_at_once() {
    let world = World::start().await;
    world.chain.approve(DOMAIN, APP);
    world.ca.set(Mischief::Refuses);
    assert!(world.order(DOMAIN).await.unwrap_err().to_string().contains("not today"));
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(429));
    assert_eq!(world.ca.issued(), 1);
    world.ca.set(Mischief::Nothing);
    world.clock.advance(Duration::from_secs(1));
    world.order(DOMAIN).await.unwrap();
}

async fn restarted(dir: &Path, chain: &Arc<ScriptedChain>, ca: &Arc<TestCa>) -> Result<World, StartError> {
    World::start_in(Some(dir.to_owned()), Arc::clone(chain), Arc::clone(ca)).await
}

fn only_file(dir: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// Lets the review run that follows a start.
async fn reviewed(world: &World) {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    world.certificates().await;
}

#[tokio::test]
async fn g12_certificate_survives_a_restart_and_its_key_is_never_written() {
    let (dir, chain, ca) = (tempfile::tempdir().unwrap(), Arc::new(ScriptedChain::default()), TestCa::new());
    chain.approve(DOMAIN, APP);
    let world = restarted(dir.path(), &chain, &ca).await.unwrap();
    let before = world.order(DOMAIN).await.unwrap();
    world.gateway.shutdown().await;
    let file = only_file(dir.path());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(DOMAIN) && !text.to_lowercase().contains("key"), "{text}");

    let world = restarted(dir.path(), &chain, &ca).await.unwrap();
    reviewed(&world).await;
    assert_eq!(world.certificates().await, [before]);
    assert_eq!(ca.issued(), 1);
}

#[tokio::test]
async fn g6_kept_certificate_is_served_only_once_the_registry_confirms_it() {
    let (dir, chain, ca) = (tempfile::tempdir().unwrap(), Arc::new(ScriptedChain::default()), TestCa::new());
    chain.approve(DOMAIN, APP);
    let world = restarted(dir.path(), &chain, &ca).await.unwrap();
    world.order(DOMAIN).await.unwrap();
    world.gateway.shutdown().await;
    chain.set_undecided(true);
    let world = restarted(dir.path(), &chain, &ca).await.unwrap();
    reviewed(&world).await;
    assert!(world.certificates().await.is_empty());
    only_file(dir.path());
    chain.set_undecided(false);
    chain.release(At::Head, DOMAIN);
    chain.release(At::Finalized, DOMAIN);
    world.gateway.shutdown().await;
    let world = restarted(dir.path(), &chain, &ca).await.unwrap();
    reviewed(&world).await;
    assert!(world.certificates().await.is_empty());
}

#[tokio::test]
async fn expired_certificate_is_never_loaded_and_its_file_goes() {
    // The test authority's certificates end with the year 2199.
    const AFTER: u64 = 7_258_118_400 + 1;
    let (dir, chain, ca) = (tempfile::tempdir().unwrap(), Arc::new(ScriptedChain::default()), TestCa::new());
    chain.approve(DOMAIN, APP);
    let world = restarted(dir.path(), &chain, &ca).await.unwrap();
    world.order(DOMAIN).await.unwrap();
    world.gateway.shutdown().await;
    let kept = Some(dir.path().to_owned());
    let world = World::start_at(AFTER, kept, Arc::clone(&chain), Arc::clone(&ca)).await.unwrap();
    while fs::read_dir(dir.path()).unwrap().count() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(world.certificates().await.is_empty());
}

#[tokio::test]
async fn damaged_certificate_file_is_an_error_and_not_a_missing_certificate() {
    let (dir, chain, ca) = (tempfile::tempdir().unwrap(), Arc::new(ScriptedChain::default()), TestCa::new());
    chain.approve(DOMAIN, APP);
    let world = restarted(dir.path(), &chain, &ca).await.unwrap();
    world.order(DOMAIN).await.unwrap();
    world.gateway.shutdown().await;
    let file = only_file(dir.path());
    fs::write(&file, "{").unwrap();
    let error = restarted(dir.path(), &chain, &ca).await.err().unwrap().to_string();
    assert!(error.contains("damaged") && error.contains(&file.display().to_string()), "{error}");
}

/// A gateway that wants a certificate for its own names.
async fn with_base(ca: &Arc<TestCa>) -> World {
    let (chain, set) = (Arc::default(), |settings: &mut Settings| settings.base_certificate = true);
    World::start_with(NOW, chain, Arc::clone(ca), set).await.unwrap()
}

/// Moves the clock until so many certificates were asked for.
async fn until_asked(world: &World, times: usize) {
    while world.ca.issued() < times {
        world.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn gateways_own_names_are_ordered_at_the_start_and_only_when_they_are_wanted() {
    let ca = TestCa::new();
    let world = with_base(&ca).await;
    until_asked(&world, 1).await;
    reviewed(&world).await;
    assert_eq!(ca.issued(), 1);
    // The registry knows nothing of it, so it is not among the domains.
    assert!(world.certificates().await.is_empty());

    let world = World::start().await;
    reviewed(&world).await;
    assert_eq!(world.ca.issued(), 0);
}

#[tokio::test]
async fn failed_order_for_the_gateways_own_names_is_repeated_after_a_pause() {
    let ca = TestCa::new();
    ca.set(Mischief::Refuses);
    let world = with_base(&ca).await;
    until_asked(&world, 2).await;
    ca.set(Mischief::Nothing);
    until_asked(&world, 3).await;
    reviewed(&world).await;
    assert_eq!(ca.issued(), 3);
}
