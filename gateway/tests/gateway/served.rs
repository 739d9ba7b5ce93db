// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates of domains whose TLS instances end themselves: recorded as the app's, and shared among its instances.

use std::{sync::Arc, time::Duration};

use alloy::primitives::Address;
use mandate_attestation::dev_pki::DevGuest;
use mandate_gateway::chain::At;
use mandate_model::{
    Outcome,
    wire::gateway::{RegisterRequest, RegisterResponse, ServedCertificate},
};
use rcgen::KeyPair;
use sha2::{Digest, Sha256};

use crate::{
    instance::Instance,
    scripted::TestCa,
    world::{APP, DOMAIN, NOW, OTHER_APP, World, code},
};

fn served(world: &World, name: &str, key: &KeyPair) -> ServedCertificate {
    ServedCertificate {
        name: name.to_owned(),
        issuer: "ca.test".to_owned(),
        account_uri: "https://ca.test/account/app".to_owned(),
        chain: vec![world.ca.certify(&[name], key).to_vec().into()],
    }
}

fn request(
    world: &World,
    app: Address,
    instance: &Instance,
    domains: &[&str],
    certificates: Vec<ServedCertificate>,
) -> RegisterRequest {
    let guest = DevGuest::new(app, code(app));
    let request = world.request_for(&guest, &instance.spki, &instance.upstream(), domains);
    world.bound(&guest, RegisterRequest { certificates, ..request })
}

async fn report(
    world: &World,
    instance: &Instance,
    certificates: Vec<ServedCertificate>,
) -> RegisterResponse {
    let answer = world.send(&request(world, APP, instance, &[DOMAIN], certificates)).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Allowed { .. }), "{}", answer.outcome);
    answer
}

#[tokio::test]
async fn certificate_of_an_instance_is_listed_and_given_to_whoever_asks_for_an_order() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.chain.approve(DOMAIN, APP);
    report(&world, &instance, Vec::new()).await;
    assert!(world.listed("").await.is_empty());
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(409), "it has none yet");

    let key = KeyPair::generate().unwrap();
    let certificate = served(&world, DOMAIN, &key);
    report(&world, &instance, vec![certificate.clone()]).await;
    let listed = world.listed("").await;
    assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].app), (1, DOMAIN, APP));
    let sha = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
    assert_eq!(listed[0].fingerprint, sha(&certificate.chain[0]));
    assert_eq!(listed[0].spki_hash, sha(&rcgen::PublicKeyData::subject_public_key_info(&key)));
    assert_eq!(listed[0].account_uri, certificate.account_uri);
    assert_eq!(world.order(DOMAIN).await.unwrap(), listed[0]);
    assert!(world.listed(DOMAIN).await.is_empty(), "a page begins behind a name");
    assert_eq!(world.ca.issued(), 0);
    assert_eq!(world.routes().await.len(), 1, "a new certificate is no new route");
}

#[tokio::test]
async fn list_has_the_gateways_own_and_leaves_out_what_instances_serve_instead() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    for name in [DOMAIN, "b.example.org"] {
        world.chain.approve(name, APP);
        world.order(name).await.unwrap();
    }
    let names = async || world.listed("").await.into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names().await, [DOMAIN, "b.example.org"]);
    report(&world, &instance, Vec::new()).await;
    assert_eq!(names().await, ["b.example.org"]);
    let theirs = served(&world, DOMAIN, &KeyPair::generate().unwrap());
    report(&world, &instance, vec![theirs]).await;
    let listed = world.listed("").await;
    assert_eq!(listed[0].account_uri, "https://ca.test/account/app");
}

/// The gateway's own account is not the one that such a domain's CAA records name.
#[tokio::test]
async fn domain_that_is_led_to_an_instance_is_not_renewed_by_the_gateway() {
    let long = Duration::from_secs(1 << 32);
    let world = World::start_with(NOW, Arc::default(), TestCa::new(), |settings| settings.lease = long);
    let (world, instance) = (world.await.unwrap(), Instance::start("one").await);
    world.chain.set_remaining(long);
    world.ca.set_life(2020, 2027);
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    report(&world, &instance, Vec::new()).await;
    // Reviews pass in which the certificate is due.
    for _ in 0..20 {
        world.clock.advance(Duration::from_secs(3_600));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.ca.issued(), 1);
}

/// Somebody on the way puts a certificate for a key of his own in place of the instance's.
#[tokio::test]
async fn g1_attack_certificate_that_the_evidence_does_not_bind_is_not_recorded() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.chain.approve(DOMAIN, APP);
    let own = served(&world, DOMAIN, &KeyPair::generate().unwrap());
    let honest = request(&world, APP, &instance, &[DOMAIN], vec![own.clone()]);
    let forged = served(&world, DOMAIN, &KeyPair::generate().unwrap());
    let mut other_account = own.clone();
    other_account.account_uri = "https://ca.test/account/mallory".to_owned();
    let mut other_issuer = own;
    other_issuer.issuer = "mallory.test".to_owned();
    for swapped in [forged, other_account, other_issuer] {
        let swapped = RegisterRequest { certificates: vec![swapped], ..honest.clone() };
        let answer = world.send(&swapped).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Denied { .. }), "{}", answer.outcome);
    }
    // Evidence out of an instance's certificate binds none at all.
    let guest = DevGuest::new(APP, code(APP));
    let public = world.request_of(&guest, &instance.spki, &instance.upstream());
    let forged = vec![served(&world, DOMAIN, &KeyPair::generate().unwrap())];
    let stolen = RegisterRequest { domains: vec![DOMAIN.to_owned()], certificates: forged, ..public };
    assert!(matches!(world.send(&stolen).await.unwrap().outcome, Outcome::Denied { .. }));
    assert!(world.listed("").await.is_empty());
}

/// An app's own evidence may say what it likes: the registry has given the domain to another app.
#[tokio::test]
async fn g1_attack_certificate_for_another_apps_domain_is_not_recorded() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.chain.approve(DOMAIN, OTHER_APP);
    world.chain.approve("mine.example.org", APP);
    let theirs = || served(&world, DOMAIN, &KeyPair::generate().unwrap());
    let asked = world.send(&request(&world, APP, &instance, &[DOMAIN], vec![theirs()])).await.unwrap();
    assert!(matches!(asked.outcome, Outcome::Denied { .. }), "{}", asked.outcome);
    // For a domain of its own it shows a certificate of the other's, or one that names both.
    let key = KeyPair::generate().unwrap();
    for names in [&[DOMAIN][..], &["mine.example.org", DOMAIN], &["*.example.org"]] {
        let mut wrong = served(&world, "mine.example.org", &key);
        wrong.chain = vec![world.ca.certify(names, &key).to_vec().into()];
        let request = request(&world, APP, &instance, &["mine.example.org"], vec![wrong]);
        assert_eq!(world.send(&request).await.unwrap_err().status(), Some(400), "{names:?}");
    }
    // Nor does it do to show it beside the domains, or twice.
    let mine = served(&world, "mine.example.org", &key);
    for certificates in [vec![theirs()], vec![mine.clone(), mine]] {
        let request = request(&world, APP, &instance, &["mine.example.org"], certificates);
        assert_eq!(world.send(&request).await.unwrap_err().status(), Some(400));
    }
    assert!(world.listed("").await.is_empty());
}

#[tokio::test]
async fn certificate_that_is_over_costs_no_route_and_is_not_listed() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.chain.approve(DOMAIN, APP);
    world.ca.set_life(2020, 2021);
    let over = served(&world, DOMAIN, &KeyPair::generate().unwrap());
    report(&world, &instance, vec![over]).await;
    assert!(world.listed("").await.is_empty());
}

#[tokio::test]
async fn g7_certificate_of_a_domain_that_was_released_is_listed_no_more() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.chain.approve(DOMAIN, APP);
    report(&world, &instance, vec![served(&world, DOMAIN, &KeyPair::generate().unwrap())]).await;
    assert_eq!(world.listed("").await.len(), 1);
    world.chain.release(At::Head, DOMAIN);
    world.release(DOMAIN, 0).await;
    assert!(world.listed("").await.is_empty());
}

#[tokio::test]
async fn instance_is_offered_the_newest_certificate_of_its_app_and_of_no_other() {
    let world = World::start().await;
    let (one, two, other) =
        (Instance::start("one").await, Instance::start("two").await, Instance::start("other").await);
    world.chain.approve(DOMAIN, APP);
    world.chain.approve("b.example.org", OTHER_APP);
    let key = KeyPair::generate().unwrap();
    let old = served(&world, DOMAIN, &key);
    world.ca.set_life(2024, 2200);
    let new = served(&world, DOMAIN, &key);
    report(&world, &one, vec![new.clone()]).await;
    assert_eq!(report(&world, &two, vec![old]).await.certificates, std::slice::from_ref(&new));
    assert_eq!(report(&world, &two, Vec::new()).await.certificates, [new]);
    let elsewhere = request(&world, OTHER_APP, &other, &["b.example.org"], Vec::new());
    assert!(world.send(&elsewhere).await.unwrap().certificates.is_empty());
}

async fn of_instance(
    world: &World,
    seed: &[u8],
    instance: &Instance,
    certificates: Vec<ServedCertificate>,
) -> RegisterResponse {
    let instance_id = DevGuest::instance_id_of(APP, seed);
    let guest = DevGuest { instance_id, ..DevGuest::new(APP, code(APP)) };
    let request = world.request_for(&guest, &instance.spki, &instance.upstream(), &[DOMAIN]);
    let answer = world.send(&world.bound(&guest, RegisterRequest { certificates, ..request })).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Allowed { .. }), "{}", answer.outcome);
    answer
}

#[tokio::test]
async fn instances_that_start_together_are_told_that_one_of_them_orders() {
    let world = World::start().await;
    let (one, two) = (Instance::start("one").await, Instance::start("two").await);
    world.chain.approve(DOMAIN, APP);
    let elsewhere = async |seed, instance| of_instance(&world, seed, instance, Vec::new()).await.elsewhere;
    for _ in 0..2 {
        assert!(elsewhere(b"1", &one).await.is_empty());
        assert_eq!(elsewhere(b"2", &two).await, [DOMAIN]);
    }
    // The first one has not obtained it within its turn: it is the next one's, and not for ever either.
    world.clock.advance(Duration::from_secs(150));
    assert!(elsewhere(b"2", &two).await.is_empty());
    assert_eq!(elsewhere(b"1", &one).await, [DOMAIN]);
    let served = vec![served(&world, DOMAIN, &KeyPair::generate().unwrap())];
    of_instance(&world, b"2", &two, served.clone()).await;
    let answer = of_instance(&world, b"1", &one, Vec::new()).await;
    assert_eq!((answer.certificates, answer.elsewhere), (served, Vec::new()));
}
