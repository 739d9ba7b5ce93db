// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ingress mode whole: the agent proves itself, registers its domain, and gets a certificate from pebble whose validation came
//! through the gateway; a client's TLS ends at the app's own key (T5).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "../../guest/tests/support/mod.rs"]
mod support;

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, FixedBytes};
use futures::future::{BoxFuture, FutureExt, ready};
use mandate_acme::{
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued},
    keys::DevelopmentKeys,
    name::DomainName,
};
use mandate_attestation::dev_pki::DevPki;
use mandate_cli::demo::{client::Connection, pebble::Pebble};
use mandate_gateway::{
    Gateway, Live, Parts, Running, Settings,
    chain::{At, Chain, GroupKeys, Holder, Standing, Undecided, Verdict},
    facts::Facts,
    provenance::{Deployed, Origin},
};
use mandate_guest::{
    Config, Service,
    config::{AppConfig, ChainConfig, LogConfig, RetryConfig},
    ingress::{AcmeSection, IngressConfig},
    instance::ProofKind,
};
use mandate_model::wire::BlockRef;
use mandate_runtime::{Ambient, clock::ManualClock};
use rustls::pki_types::CertificateDer;
use support::{APP, Manner, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::{CancellationToken, DropGuard};

const NAME: &str = "app.example.org";
const PAGE: &str = "the app's own page";
const REGISTRY: Address = Address::repeat_byte(0xd0);
const BLOCK: BlockRef = BlockRef { number: 1, hash: alloy::primitives::B256::ZERO };

/// Allows everything, and knows the committee's key: what the gateway does with another answer is tested elsewhere.
#[derive(Debug)]
struct Permissive([u8; 48]);

impl Chain for Permissive {
    fn decide<'a>(&'a self, _: &'a Facts, _: At) -> BoxFuture<'a, Verdict> {
        let remaining = Duration::from_secs(3_600);
        ready(Verdict::Allowed { valid_until: u64::MAX, remaining, block: BLOCK }).boxed()
    }

    fn group_keys(&self, _: At) -> BoxFuture<'_, Result<GroupKeys, Undecided>> {
        ready(Ok(GroupKeys { keys: vec![self.0], block: BLOCK })).boxed()
    }

    fn app_of<'a>(&'a self, _: &'a DomainName, _: At) -> BoxFuture<'a, Result<Holder, Undecided>> {
        ready(Ok(Holder { app: Some(APP), block: BLOCK })).boxed()
    }

    fn standing(&self, _: Address, _: At) -> BoxFuture<'_, Result<Standing, Undecided>> {
        ready(Ok(Standing::Active)).boxed()
    }
}

/// The gateway orders nothing in these tests.
#[derive(Debug)]
struct NoIssuer;

impl CertificateIssuer for NoIssuer {
    fn issue<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Issued, IssueError>> {
        panic!("the gateway ordered {}", request.name())
    }

    fn revoke<'a>(
        &'a self,
        name: &'a DomainName,
        _: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<(), IssueError>> {
        panic!("the gateway revoked {name}")
    }
}

/// The committee of the tests and their evidence live at this time. The gateway does as well; the agent lives in pebble's.
const NOW: u64 = 1_790_000_000;

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Pebble has to know the TLS port before the gateway, which has to know pebble, binds it.
fn free_port() -> u16 {
    TcpListener::bind(loopback(0)).unwrap().local_addr().unwrap().port()
}

async fn gateway(tls_port: u16, pki: &DevPki, world: &World) -> Running {
    let mut live = Live::default();
    live.network.upstreams = vec!["127.0.0.0/8".parse().unwrap()];
    live.limits.drain_timeout = Duration::ZERO;
    let parts = Parts {
        ambient: Ambient { clock: Arc::new(ManualClock::new(NOW)), ..Ambient::system() },
        chain: Arc::new(Permissive(world.pinned.group_key)),
        verifier: pki.trust_anchors().into(),
        store: Default::default(),
        keys: Arc::new(DevelopmentKeys::new([3; 32].into())),
        issuer: Box::new(|_| Ok(Arc::new(NoIssuer))),
        origin: Origin {
            deployed: Deployed {
                chain_id: world.pinned.chain_id,
                kms_auth: world.pinned.kms_auth,
                domain_registry: REGISTRY,
            },
            agent: None,
        },
        admin: None,
        reload: None,
    };
    let settings = Settings::new(loopback(tls_port), loopback(0), DomainName::try_from("gw.test").unwrap());
    Gateway::start(settings, live, parts).await.unwrap()
}

/// The app knows nothing of TLS.
async fn app() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(loopback(0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{PAGE}", PAGE.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.read(&mut [0; 1024]).await;
            });
        }
    });
    address
}

async fn agent(world: &World, dir: &Path, pebble: &Pebble, gateway: &Running, proof: ProofKind) -> DropGuard {
    let ca_file = dir.join("pebble-ca.pem");
    std::fs::write(&ca_file, &pebble.ca_pem).unwrap();
    // The agent's port has to be known before it is bound, since it is what the gateway is told.
    let port = free_port();
    let ingress = IngressConfig {
        domains: vec![NAME.parse().unwrap()],
        domain_registry: REGISTRY,
        listen: loopback(port),
        advertise: loopback(port).to_string(),
        forward: app().await,
        proof,
        gateways: vec![format!("http://{}", gateway.api_addr)],
        alpn: vec!["http/1.1".to_owned()],
        certificates: Some(dir.join("certificates")),
        acme: AcmeSection {
            directory: pebble.directory_url.clone(),
            issuer: "pebble.test".to_owned(),
            ca_file: Some(ca_file),
            timeout: Duration::from_secs(60),
            caa: mandate_acme::caa::guard::CaaMode::Off,
            external_account: None,
            dns: Default::default(),
        },
        handshake_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        connections: 16,
    };
    let config = Config {
        socket: dir.join("dstack.sock"),
        operations: None,
        relayers: vec![world.relayer.clone()],
        generation: 0,
        lease: Duration::from_secs(3_600),
        retry: RetryConfig::default(),
        chain: ChainConfig {
            chain_id: world.pinned.chain_id,
            kms_auth: world.pinned.kms_auth,
            committee: world.pinned.committee,
            group_key: FixedBytes(world.pinned.group_key),
        },
        app: AppConfig::default(),
        evidence: None,
        ingress: Some(ingress),
        log: LogConfig::default(),
    };
    let quoter = Arc::new(support::quoter());
    let service = Service::start(config, Ambient::system(), quoter).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(service.run(stop.clone()));
    stop.drop_guard()
}

/// The certificate takes as long as pebble takes.
async fn page(gateway: &Running, root: &str) -> String {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match Connection::open(gateway.tls_addr, NAME, root).await {
            Ok(mut connection) => return connection.page().await.unwrap(),
            Err(e) => assert!(tokio::time::Instant::now() < until, "no certificate: {e}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn app_gets_its_own_certificate_through_the_gateway_and_keeps_it_over_a_restart() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (dir, tls_port, world) =
        (tempfile::tempdir().unwrap(), free_port(), World::start(&[Manner::Honest; 4]).await);
    let pebble = Pebble::start(dir.path(), tls_port).await.unwrap();
    let gateway = gateway(tls_port, &support::quoter().pki, &world).await;
    let first = agent(&world, dir.path(), &pebble, &gateway, ProofKind::Evidence).await;
    assert_eq!(page(&gateway, &pebble.issuing_root_pem).await, PAGE);
    // The gateway has no certificate for the domain: it could not have read a word of that.
    assert!(gateway.certificates().is_empty());
    let listed = gateway.routes();
    assert_eq!(listed[0].domains, [NAME]);

    // What is on disk is public.
    let kept = std::fs::read_to_string(dir.path().join(format!("certificates/{NAME}.json"))).unwrap();
    assert!(!kept.to_lowercase().contains("private") && !kept.to_lowercase().contains("key"), "{kept}");
    drop(first);
    std::fs::remove_file(dir.path().join("dstack.sock")).ok();
    // This one proves itself by the committee's statement.
    let _second = agent(&world, dir.path(), &pebble, &gateway, ProofKind::Statement).await;
    assert_eq!(page(&gateway, &pebble.issuing_root_pem).await, PAGE);
    let again = std::fs::read_to_string(dir.path().join(format!("certificates/{NAME}.json"))).unwrap();
    assert_eq!(kept, again, "another certificate was ordered");
}
