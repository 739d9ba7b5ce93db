// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A certificate from pebble, by TLS-ALPN-01 through the gateway's own TLS port, and a page fetched with it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy::primitives::{Address, B256};
use futures::future::{BoxFuture, FutureExt};
use mandate_acme::{
    AcmeConfig, AcmeIssuer, caa::guard::CaaMode, dns::Dns, keys::DevelopmentKeys, name::DomainName,
};
use mandate_attestation::dev_pki::{DevGuest, DevPki};
use mandate_cli::demo::{client::Connection, pebble::Pebble};
use mandate_gateway::{
    Gateway, Live, Parts, Running, Settings,
    chain::{At, Chain, Holder, Standing, Undecided, Verdict},
    config::StoreConfig,
    facts::Facts,
    provenance::{Deployed, Origin},
};
use mandate_guest::instance::TlsIdentity;
use mandate_model::{
    Outcome,
    wire::{
        BlockRef,
        gateway::{DomainOrder, IssuedCertificate, RegisterRequest, RegisterResponse},
    },
};
use mandate_runtime::{
    Ambient,
    http::{Client, HttpError},
    net::free_port,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

const APP: Address = Address::repeat_byte(0xa1);
const CODE: B256 = B256::repeat_byte(0xc0);
const NAME: &str = "app.example.org";
const PAGE: &str = "a page of the app";

/// Allows everything: what the gateway does with another answer is tested elsewhere.
#[derive(Debug)]
struct Permissive;

const BLOCK: BlockRef = BlockRef { number: 1, hash: B256::ZERO };

impl Chain for Permissive {
    fn decide<'a>(&'a self, _: &'a Facts, _: At) -> BoxFuture<'a, Verdict> {
        let remaining = Duration::from_secs(3_600);
        futures::future::ready(Verdict::Allowed { valid_until: u64::MAX, remaining, block: BLOCK }).boxed()
    }

    fn app_of<'a>(&'a self, _: &'a DomainName, _: At) -> BoxFuture<'a, Result<Holder, Undecided>> {
        futures::future::ready(Ok(Holder { app: Some(APP), block: BLOCK })).boxed()
    }

    fn standing(&self, _: Address, _: At) -> BoxFuture<'_, Result<Standing, Undecided>> {
        futures::future::ready(Ok(Standing::Active)).boxed()
    }
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

async fn gateway(pebble: &Pebble, tls_port: u16, pki: &DevPki) -> Running {
    gateway_on(StoreConfig::default(), pebble, tls_port, pki).await
}

async fn gateway_on(store: StoreConfig, pebble: &Pebble, tls_port: u16, pki: &DevPki) -> Running {
    let ambient = Ambient::system();
    let keys = Arc::new(DevelopmentKeys::new([3; 32].into()));
    let acme = AcmeConfig {
        directory: pebble.directory_url.clone(),
        extra_roots: vec![CertificateDer::from_pem_slice(pebble.ca_pem.as_bytes()).unwrap()],
        issuer: "pebble.test".to_owned(),
        timeout: Duration::from_secs(60),
        external_account: None,
        caa: CaaMode::Off,
    };
    let dns = Arc::new(Dns::new(Vec::new(), Vec::new(), Duration::ZERO, &ambient));
    let (its_keys, its_ambient) = (Arc::clone(&keys), ambient.clone());
    let parts = Parts {
        ambient,
        chain: Arc::new(Permissive),
        verifier: pki.trust_anchors().into(),
        store,
        keys,
        issuer: Box::new(move |challenges| {
            Ok(Arc::new(AcmeIssuer::new(acme, its_keys, challenges, dns, its_ambient)?))
        }),
        origin: Origin {
            deployed: Deployed { chain_id: 1, kms_auth: Address::ZERO, domain_registry: Address::ZERO },
            agent: None,
        },
        admin: None,
        reload: None,
    };
    let settings = Settings::new(loopback(tls_port), loopback(0), DomainName::try_from("gw.test").unwrap());
    Gateway::start(settings, on_this_host(), parts).await.unwrap()
}

/// The instances of the tests are at loopback addresses.
fn on_this_host() -> Live {
    let mut live = Live::default();
    live.network.upstreams = vec!["127.0.0.0/8".parse().unwrap()];
    live
}

fn client() -> Client {
    Client::new(Ambient::system().net).timeout(Duration::from_secs(90))
}

async fn order(gateway: &Running) -> Result<IssuedCertificate, HttpError> {
    let url = format!("http://{}/v1/domains", gateway.api_addr);
    client().post_json(&url, &DomainOrder { name: NAME.to_owned() }).await
}

/// An app that answers every connection with one page.
async fn app(identity: &TlsIdentity) -> SocketAddr {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate()], identity.private_key())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(loopback(0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else { return };
                let _ = tls.read(&mut [0; 1024]).await;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{PAGE}", PAGE.len());
                let _ = tls.write_all(answer.as_bytes()).await;
                let _ = tls.shutdown().await;
            });
        }
    });
    addr
}

async fn register(gateway: &Running, pki: &DevPki, identity: &TlsIdentity, upstream: SocketAddr) {
    let mut request = RegisterRequest {
        proof: Default::default(),
        spki: identity.spki().to_vec().into(),
        upstream: upstream.to_string(),
        domains: Vec::new(),
        certificates: Vec::new(),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    request.proof = pki.evidence(&DevGuest::new(APP, CODE), request.report_data(), now).encode().into();
    let url = format!("http://{}/v1/register", gateway.api_addr);
    let answer: RegisterResponse = client().post_json(&url, &request).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Allowed { .. }), "{}", answer.outcome);
}

#[tokio::test]
async fn page_is_fetched_with_a_certificate_that_pebble_issued() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (dir, tls_port, pki) =
        (tempfile::tempdir().unwrap(), free_port().unwrap(), DevPki::from_seed([5; 32]));
    let pebble = Pebble::start(dir.path(), tls_port).await.unwrap();
    let gateway = gateway(&pebble, tls_port, &pki).await;
    let identity = TlsIdentity::generate(&Ambient::system(), &["instance.invalid".to_owned()]).unwrap();
    register(&gateway, &pki, &identity, app(&identity).await).await;

    let issued = order(&gateway).await.unwrap();
    assert_eq!((issued.name.as_str(), issued.app, issued.issuer.as_str()), (NAME, APP, "pebble.test"));
    assert!(issued.account_uri.contains("/my-account/"), "{}", issued.account_uri);

    let mut connection = Connection::open(gateway.tls_addr, NAME, &pebble.issuing_root_pem).await.unwrap();
    assert_eq!(connection.page().await.unwrap(), PAGE);
    // Pebble's own HTTPS root vouches for pebble alone.
    assert!(Connection::open(gateway.tls_addr, NAME, &pebble.ca_pem).await.is_err());
}

#[tokio::test]
async fn gateways_of_a_fleet_are_one_account() {
    let (dir, tls_port, pki) =
        (tempfile::tempdir().unwrap(), free_port().unwrap(), DevPki::from_seed([5; 32]));
    let pebble = Pebble::start(dir.path(), tls_port).await.unwrap();
    let first = gateway(&pebble, tls_port, &pki).await;
    let one = order(&first).await.unwrap();
    first.shutdown().await;
    // Another gateway with the same secret takes over the address, with nothing on disk.
    let second = gateway(&pebble, tls_port, &pki).await;
    let two = order(&second).await.unwrap();
    assert_eq!((&one.account_uri, one.spki_hash), (&two.account_uri, two.spki_hash));
    assert_ne!(one.fingerprint, two.fingerprint);
}

#[tokio::test]
async fn order_of_one_gateway_is_validated_through_another_of_its_fleet() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (dir, tls_port, pki) =
        (tempfile::tempdir().unwrap(), free_port().unwrap(), DevPki::from_seed([5; 32]));
    let pebble = Pebble::start(dir.path(), tls_port).await.unwrap();
    let store = StoreConfig { sqlite: Some(dir.path().join("gateway.sqlite")), postgres: None };
    // All validations come to this one.
    let other = gateway_on(store.clone(), &pebble, tls_port, &pki).await;
    let one = gateway_on(store, &pebble, 0, &pki).await;
    let issued = order(&one).await.unwrap();
    assert_eq!(order(&other).await.unwrap(), issued);
}

#[tokio::test]
async fn validation_that_does_not_reach_the_gateway_is_reported_in_the_authoritys_words() {
    let (dir, pki) = (tempfile::tempdir().unwrap(), DevPki::from_seed([5; 32]));
    let pebble = Pebble::start(dir.path(), free_port().unwrap()).await.unwrap();
    let gateway = gateway(&pebble, 0, &pki).await;
    let refused = order(&gateway).await.unwrap_err();
    assert_eq!(refused.status(), Some(502));
    let text = refused.to_string();
    assert!(text.contains("pebble.test refused app.example.org") && text.contains("tls-alpn-01"), "{text}");
}
