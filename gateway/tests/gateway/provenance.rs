// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the gateway's own pages say, over the TLS connection that they are about.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use mandate_acme::{
    ACCOUNT_KEY, P256,
    keys::{AgentKeys, DevelopmentKeys, KeySource, P256Key},
};
use mandate_attestation::{Evidence, Verifier};
use mandate_gateway::{Parts, provenance::Agent};
use mandate_model::wire::{
    provenance::{AppKeys, DomainProvenance, DomainStatement, GatewayProvenance},
    upstream::{self, AcmeInfo, AppInfo},
};
use mandate_runtime::{Clock, net::TcpNet};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    guest_agent::{GATEWAY, GuestAgent, report_data},
    instance::Instance,
    world::{APP, BASE, DEPLOYED, DOMAIN, NOW, OTHER_APP, World},
};

/// A gateway that serves [`DOMAIN`], with an agent if there is one.
pub async fn world(agent: Option<&GuestAgent>) -> World {
    let world = World::start_whole(|_, parts: &mut Parts| {
        if let Some(agent) = agent {
            parts.keys = Arc::new(AgentKeys::new(Arc::new(TcpNet), agent.socket()));
            parts.origin.agent = Some(Agent::new(Arc::new(TcpNet), agent.socket()));
        }
    })
    .await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    world
}

pub async fn open(world: &World, name: &str) -> TlsStream<TcpStream> {
    world.browse(name, &[b"http/1.1"]).await.unwrap()
}

/// Status and body.
pub async fn ask(mut stream: TlsStream<TcpStream>, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The end of the connection need not be told.
    let _ = stream.read_to_string(&mut answer).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.starts_with("HTTP/1.1 200") || head.contains("cache-control: no-store"), "{head}");
    (head[9..12].parse().unwrap(), body.to_owned())
}

pub async fn page<T: DeserializeOwned>(world: &World, path: &str) -> T {
    let (status, body) = ask(open(world, BASE).await, path).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

pub fn about(nonce: Option<B256>) -> String {
    let query = nonce.map(|nonce| format!("?nonce={}", hex::encode(nonce))).unwrap_or_default();
    format!("/.well-known/mandate/domain/{DOMAIN}{query}")
}

pub fn sha256(bytes: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

/// The key that the other side of the connection proved.
pub fn spki(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let leaf = &stream.get_ref().1.peer_certificates().unwrap()[0];
    X509Certificate::from_der(leaf).unwrap().1.public_key().raw.to_vec()
}

pub fn verify(
    world: &World,
    answer: &DomainProvenance,
    statement: &DomainStatement,
) -> Result<Address, String> {
    let evidence = Evidence::decode(answer.evidence.as_ref().unwrap()).unwrap();
    let verifier: Verifier = world.pki.trust_anchors().into();
    let verified = verifier.verify(&evidence, NOW, &statement.report_data());
    verified.map(|verified| verified.app_id()).map_err(|e| e.to_string())
}

#[tokio::test]
async fn evidence_binds_the_key_of_the_connection_with_the_clients_nonce() {
    let agent = GuestAgent::start().await;
    let (world, app) = (world(Some(&agent)).await, Instance::echo().await);
    world.register(APP, &app).await;
    let (stream, nonce) = (open(&world, DOMAIN).await, B256::repeat_byte(7));
    let key = spki(&stream);
    let (status, body) = ask(stream, &about(Some(nonce))).await;
    assert_eq!(status, 200, "{body}");
    let answer: DomainProvenance = serde_json::from_str(&body).unwrap();

    let account = AgentKeys::new(Arc::new(TcpNet), agent.socket()).key(ACCOUNT_KEY, P256).await.unwrap();
    let expected = DomainStatement {
        chain_id: DEPLOYED.chain_id,
        kms_auth: DEPLOYED.kms_auth,
        domain_registry: DEPLOYED.domain_registry,
        domain: DOMAIN.to_owned(),
        app: APP,
        spki_hash: sha256(&key),
        issuer: "ca.test".to_owned(),
        account_uri: "https://ca.test/account/1".to_owned(),
        account_key_hash: sha256(P256Key::derive(&account).unwrap().spki()),
        nonce: Some(nonce),
    };
    assert_eq!((&answer.statement, answer.made_at, answer.development), (&expected, NOW, false));
    assert_eq!(verify(&world, &answer, &expected), Ok(GATEWAY));
    let keys = answer.keys.as_ref().unwrap();
    let word = AppKeys {
        chain_id: 31_337,
        kms_auth: DEPLOYED.kms_auth,
        app: GATEWAY,
        generation: 1,
        ca_spki_hash: B256::repeat_byte(0x11),
        ethereum: agent.app_key.address(),
        signature: vec![0x22; 2].into(),
    };
    assert_eq!(keys, &word);
    assert_eq!(answer.signature.as_ref().unwrap().app_key(&expected), Some(keys.ethereum));

    // Nobody can pass it off as the answer to another question, or for another site.
    let (mut other_nonce, mut other_domain) = (expected.clone(), expected);
    other_nonce.nonce = Some(B256::ZERO);
    other_domain.domain = "other.example.org".to_owned();
    for other in [other_nonce, other_domain] {
        assert!(verify(&world, &answer, &other).is_err());
        assert_ne!(answer.signature.as_ref().unwrap().app_key(&other), Some(keys.ethereum));
    }
}

#[tokio::test]
async fn answer_without_nonce_is_made_once_a_minute_and_anew_for_another_certificate() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    let first: DomainProvenance = page(&world, &about(None)).await;
    assert_eq!(first.statement.nonce, None);
    assert_eq!(verify(&world, &first, &first.statement), Ok(GATEWAY));
    assert_eq!(page::<DomainProvenance>(&world, &about(None)).await, first);
    assert_eq!(agent.made(), 1);

    world.clock.advance(Duration::from_secs(60));
    page::<DomainProvenance>(&world, &about(None)).await;
    assert_eq!(agent.made(), 2);

    // The domain changes hands: what was said of the former key is said no more.
    world.chain.approve(DOMAIN, OTHER_APP);
    world.order(DOMAIN).await.unwrap();
    let moved: DomainProvenance = page(&world, &about(None)).await;
    assert_eq!((moved.statement.app, agent.made()), (OTHER_APP, 3));
    assert_ne!(moved.statement.spki_hash, first.statement.spki_hash);
}

/// Status of a page and how long it took, by a clock that goes in small steps: it is its turn that takes too long and not its
/// handshake.
async fn refused_after(world: &World, path: &str) -> (u16, Duration) {
    let stream = open(world, BASE).await;
    let (before, answer) = (world.clock.monotonic(), ask(stream, path));
    tokio::pin!(answer);
    loop {
        tokio::select! {
            (status, _) = &mut answer => break (status, world.clock.monotonic() - before),
            () = tokio::task::yield_now() => world.clock.advance(Duration::from_millis(1)),
        }
    }
}

#[tokio::test]
async fn attack_crowd_that_wants_evidence_waits_or_is_sent_away() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    agent.gate.forget_permits(1_000);
    let ask_with = |byte: u8| {
        let (world, path) = (&world, about(Some(B256::repeat_byte(byte))));
        async move { ask(open(world, BASE).await, &path).await.0 }
    };
    let four = futures::future::join_all((0..4).map(ask_with));
    let fifth = async {
        while agent.asked.load(Ordering::SeqCst) < 4 {
            tokio::task::yield_now().await;
        }
        let (mut refused, without_nonce) = (Vec::new(), about(None));
        for path in
            ["/.well-known/mandate/gateway", "/.dstack/app-info", "/.dstack/acme-info", &without_nonce]
        {
            refused.push(refused_after(&world, path).await);
        }
        agent.gate.add_permits(1_000);
        refused
    };
    let (four, fifth) = tokio::join!(four, fifth);
    let turn = Duration::from_secs(5);
    assert_eq!(four, vec![200; 4]);
    assert!(fifth.iter().all(|(status, after)| *status == 503 && *after >= turn), "{fifth:?}");
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    for (path, expected) in [
        ("/.well-known/mandate/domain/other.example.org".to_owned(), 404),
        ("/.well-known/mandate/domain/not_a_domain".to_owned(), 400),
        (format!("{}?nonce=abcd", about(None)), 400),
        (format!("{}?nonce={}", about(None), "zz".repeat(32)), 400),
        ("/.well-known/mandate/domain/".to_owned(), 404),
    ] {
        assert_eq!(ask(open(&world, BASE).await, &path).await.0, expected, "{path}");
    }
    assert_eq!(agent.made(), 0);
}

#[tokio::test]
async fn keys_that_the_committee_has_not_stated_yet_are_left_out_and_nothing_else() {
    let agent = GuestAgent::start().await;
    agent.stated.store(false, Ordering::SeqCst);
    let world = world(Some(&agent)).await;
    let answer: DomainProvenance = page(&world, &about(Some(B256::ZERO))).await;
    assert_eq!((answer.keys.as_ref(), answer.signature.as_ref()), (None, None));
    assert_eq!(verify(&world, &answer, &answer.statement), Ok(GATEWAY));
}

#[tokio::test]
async fn agent_that_is_gone_makes_no_development_gateway() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    std::fs::remove_file(agent.socket()).unwrap();
    let (status, body) = ask(open(&world, BASE).await, &about(Some(B256::ZERO))).await;
    assert_eq!(status, 502);
    assert!(!body.contains("agent.sock"), "{body}");
}

#[tokio::test]
async fn development_keys_are_called_so_and_come_without_evidence() {
    let world = world(None).await;
    let answer: DomainProvenance = page(&world, &about(Some(B256::ZERO))).await;
    assert_eq!((answer.development, answer.evidence), (true, None));
    let keys = DevelopmentKeys::new(zeroize::Zeroizing::new([3; 32]));
    let account = P256Key::derive(&keys.key(ACCOUNT_KEY, P256).await.unwrap()).unwrap();
    assert_eq!(answer.statement.account_key_hash, sha256(account.spki()));
    let gateway: GatewayProvenance = page(&world, "/.well-known/mandate/gateway").await;
    assert_eq!((gateway.development, gateway.app), (true, None));
    assert_eq!(page::<AppInfo>(&world, "/.dstack/app-info").await, AppInfo::default());
    assert_eq!(page::<AcmeInfo>(&world, "/.dstack/acme-info").await.account_quote, "");
}

#[tokio::test]
async fn gateway_page_names_deployment_app_and_what_is_served() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    let about: GatewayProvenance = page(&world, "/.well-known/mandate/gateway").await;
    assert_eq!((about.chain_id, about.kms_auth), (DEPLOYED.chain_id, DEPLOYED.kms_auth));
    assert_eq!((about.domain_registry, about.development), (DEPLOYED.domain_registry, false));
    let stated: DomainProvenance = page(&world, &self::about(None)).await;
    assert_eq!(about.account_key_hash, stated.statement.account_key_hash);
    assert_eq!((about.app, about.base_domain.as_str()), (Some(GATEWAY), BASE));
    assert_eq!(about.domains, world.certificates().await);
    assert_eq!(about.domains.len(), 1);
}

#[tokio::test]
async fn upstreams_pages_quote_account_and_keys_with_upstreams_report_data() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    let info: AppInfo = page(&world, "/.dstack/app-info").await;
    assert_eq!((info.app_id, info.app_name.as_str()), (hex::encode(GATEWAY), "gw"));

    let base = spki(&open(&world, BASE).await);
    let acme: AcmeInfo = page(&world, "/.dstack/acme-info").await;
    let quoted = |text: &str| -> [u8; 64] { report_data(&serde_json::from_str(text).unwrap()) };
    assert_eq!(acme.account_uri, "https://ca.test/account/1");
    assert_eq!(
        quoted(&acme.account_quote),
        upstream::report_data("acme-account", acme.account_uri.as_bytes())
    );
    assert_eq!(acme.hist_keys.len(), 2);
    assert_eq!(acme.hist_keys[0], hex::encode(&base));
    for (key, quoted_key) in acme.hist_keys.iter().zip(&acme.quoted_hist_keys) {
        let der = hex::decode(key).unwrap();
        assert_eq!(*key, quoted_key.public_key);
        assert_eq!(quoted(&quoted_key.quote), upstream::report_data("zt-cert", &der));
    }
    assert!(acme.active_cert.starts_with("-----BEGIN CERTIFICATE-----"));
    // Quotes are made once, not for each who asks.
    assert_eq!(agent.made(), 3);
    assert_eq!(page::<AcmeInfo>(&world, "/.dstack/acme-info").await, acme);
    assert_eq!(agent.made(), 3);
}

#[tokio::test]
async fn attack_request_for_all_keys_of_many_domains_makes_a_bounded_number_of_quotes() {
    let agent = GuestAgent::start().await;
    let world = world(Some(&agent)).await;
    for name in (0..64).map(|i| format!("d{i}.example.org")) {
        world.chain.approve(&name, APP);
        world.order(&name).await.unwrap();
    }
    let base = hex::encode(spki(&open(&world, BASE).await));
    let acme: AcmeInfo = page(&world, "/.dstack/acme-info").await;
    // The account's besides.
    assert_eq!((acme.hist_keys.len(), acme.quoted_hist_keys.len(), agent.made()), (64, 64, 65));
    assert_eq!(acme.hist_keys[0], base);
}
