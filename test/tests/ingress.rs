// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ingress mode whole: the agent proves itself, registers its domain, and gets a certificate from pebble whose validation came
//! through the gateway; a client's TLS ends at the app's own key (T5).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod registry;
#[path = "../../guest/tests/support/mod.rs"]
mod support;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use alloy::primitives::{Address, B256, Bytes, FixedBytes};
use futures::future::{BoxFuture, FutureExt, ready};
use mandate_acme::{
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued},
    keys::DevelopmentKeys,
    name::DomainName,
};
use mandate_attestation::{
    Evidence,
    dev_pki::{DevGuest, DevPki},
};
use mandate_cli::demo::{client::Connection, pebble::Pebble};
use mandate_gateway::{
    Gateway, Live, Parts, Running, Settings,
    chain::{At, Chain, GroupKeys, Holder, Standing, Undecided, Verdict, VerifiedChain},
    facts::Facts,
    provenance::{Deployed, Origin},
};
use mandate_guest::{
    Config, Quoter, QuoterError, Service,
    agent::KeyState,
    config::{AppConfig, ChainConfig, LogConfig, RetryConfig},
    ingress::IngressConfig,
    instance::ProofKind,
};
use mandate_model::wire::BlockRef;
use mandate_relayer::config::EffectsConfig;
use mandate_runtime::{Ambient, net::free_port};
use registry::Registry;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use support::{APP, DevQuoter, Manner, World};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

const NAME: &str = "app.example.org";
const PAGE: &str = "the app's own page";
const BLOCK: BlockRef = BlockRef { number: 1, hash: alloy::primitives::B256::ZERO };

/// Allows every code, which is tested elsewhere, and knows the committee's key; whose a domain is, the registry says.
#[derive(Debug)]
struct Permissive(VerifiedChain, [u8; 48]);

impl Chain for Permissive {
    fn decide<'a>(&'a self, _: &'a Facts, _: At) -> BoxFuture<'a, Verdict> {
        let remaining = Duration::from_secs(3_600);
        ready(Verdict::Allowed { valid_until: u64::MAX, remaining, block: BLOCK }).boxed()
    }

    fn group_keys(&self, _: At) -> BoxFuture<'_, Result<GroupKeys, Undecided>> {
        ready(Ok(GroupKeys { keys: vec![self.1], block: BLOCK })).boxed()
    }

    fn app_of<'a>(&'a self, name: &'a DomainName, at: At) -> BoxFuture<'a, Result<Holder, Undecided>> {
        self.0.app_of(name, at)
    }

    fn standing(&self, app: Address, at: At) -> BoxFuture<'_, Result<Standing, Undecided>> {
        self.0.standing(app, at)
    }
}

/// The committee of the tests lives at a time of its own, and pebble and the gateway at the present one. What the agent shows
/// the committee has to be of its time, and what it shows the gateway after that, of now.
#[derive(Debug)]
struct OfBothTimes(DevQuoter, OnceLock<watch::Receiver<KeyState>>);

impl Quoter for OfBothTimes {
    fn evidence(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Evidence, QuoterError>> {
        match self.1.get().map(|keys| matches!(*keys.borrow(), KeyState::Held(_))) {
            Some(true) => {
                let now = Ambient::system().clock.unix();
                ready(Ok(self.0.pki.evidence(&self.0.guest, report_data, now))).boxed()
            }
            _ => self.0.evidence(report_data),
        }
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

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

async fn gateway(tls_port: u16, pki: &DevPki, registry: &Registry, world: &World) -> Running {
    let mut live = Live::default();
    live.network.upstreams = vec!["127.0.0.0/8".parse().unwrap()];
    live.limits.drain_timeout = Duration::ZERO;
    let parts = Parts {
        ambient: Ambient::system(),
        chain: Arc::new(Permissive(registry.verified(), world.pinned.group_key)),
        verifier: pki.trust_anchors().into(),
        store: Default::default(),
        keys: Arc::new(DevelopmentKeys::new([3; 32].into())),
        issuer: Box::new(|_| Ok(Arc::new(NoIssuer))),
        origin: Origin {
            deployed: Deployed {
                chain_id: world.pinned.chain_id,
                kms_auth: world.pinned.kms_auth,
                domain_registry: registry.deployment.domain_registry,
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

/// An instance with its files in `dir`, and an id of its own for each `seed`.
async fn agent(
    world: &World,
    (dir, seed): (&Path, &[u8]),
    pebble: &Pebble,
    gateway: &Running,
    proof: ProofKind,
) -> DropGuard {
    let ca_file = dir.join("pebble-ca.pem");
    std::fs::write(&ca_file, [pebble.ca_pem.as_str(), &pebble.issuing_root_pem].concat()).unwrap();
    // The agent's port has to be known before it is bound, since it is what the gateway is told.
    let port = free_port().unwrap();
    let ingress = IngressConfig {
        domains: vec![NAME.parse().unwrap()],
        domain_registry: APP,
        listen: loopback(port),
        advertise: loopback(port).to_string(),
        forward: app().await,
        proof,
        gateways: vec![format!("http://{}", gateway.api_addr)],
        alpn: vec!["http/1.1".to_owned()],
        certificates: Some(dir.join("certificates")),
        acme: mandate_acme::config::AcmeSection {
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
    let mut quoter = support::quoter();
    quoter.guest.instance_id = DevGuest::instance_id_of(APP, seed);
    let quoter = Arc::new(OfBothTimes(quoter, OnceLock::new()));
    let service = Service::start(config, Ambient::system(), Arc::clone(&quoter) as _).await.unwrap();
    quoter.1.set(service.keys()).unwrap();
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

/// What the agent keeps on disk.
fn kept(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join(format!("certificates/{NAME}.json"))).ok()
}

fn fingerprint(kept: &str) -> B256 {
    let kept: serde_json::Value = serde_json::from_str(kept).unwrap();
    let leaf: Bytes = serde_json::from_value(kept["chain"][0].clone()).unwrap();
    B256::from(<[u8; 32]>::from(Sha256::digest(&leaf)))
}

/// Until `found` finds something, while blocks go on.
async fn until<T>(registry: &Registry, what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < patience, "{what} never happened");
        registry.chain.mine(1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What stands before any instance starts: the domain is the app's, and the gateway serves it nowhere yet.
struct Stage {
    dir: TempDir,
    world: World,
    registry: Registry,
    pebble: Pebble,
    gateway: Running,
}

impl Stage {
    async fn set() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (dir, tls_port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
        let world = World::start(&[Manner::Honest; 4]).await;
        let registry = Registry::with_app(APP).await;
        registry.approve(NAME).await;
        let pebble = Pebble::start(dir.path(), tls_port).await.unwrap();
        let gateway = gateway(tls_port, &support::quoter().pki, &registry, &world).await;
        Self { dir, world, registry, pebble, gateway }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn app_gets_its_own_certificate_through_the_gateway_it_is_recorded_on_chain_and_its_other_instances_share_it()
 {
    let Stage { dir, world, registry, pebble, gateway } = Stage::set().await;
    let first = agent(&world, (dir.path(), b"1"), &pebble, &gateway, ProofKind::Evidence).await;
    assert_eq!(page(&gateway, &pebble.issuing_root_pem).await, PAGE);
    // The gateway has no certificate for the domain: it could not have read a word of that.
    assert!(gateway.certificates().is_empty());
    let listed = gateway.routes();
    assert_eq!(listed[0].domains, [NAME]);

    // What is on disk is public.
    let ordered = kept(dir.path()).unwrap();
    let lower = ordered.to_lowercase();
    assert!(!lower.contains("private") && !lower.contains("key"), "{ordered}");

    // Nobody else is told of it than the gateway, which the relayer asks.
    let stop = CancellationToken::new();
    let url = format!("http://{}", gateway.api_addr);
    // What is ordered at the approval is refused, since the app orders by itself: the list has to do.
    let effects =
        EffectsConfig { list_every: Duration::from_millis(200), attempts: 1, ..EffectsConfig::default() };
    let relayer = registry.relayer(dir.path(), url, effects, &stop).await;
    let recorded = until(&registry, "the recording", async || {
        Some(registry.domain(NAME).await).filter(|domain| !domain.certificate.is_zero())
    })
    .await;
    assert_eq!(recorded.certificate, fingerprint(&ordered));
    assert_eq!((recorded.app, recorded.issuer.as_str()), (APP, "pebble.test"));
    assert!(recorded.accountUri.contains("/my-account/"), "{}", recorded.accountUri);

    // Another instance, on another machine: what the first one ordered will do for it as well.
    let elsewhere = tempfile::tempdir().unwrap();
    let _other = agent(&world, (elsewhere.path(), b"2"), &pebble, &gateway, ProofKind::Evidence).await;
    let shared =
        until(&registry, "a certificate of the other instance", async || kept(elsewhere.path())).await;
    assert_eq!(shared, ordered, "another certificate was ordered");

    drop(first);
    std::fs::remove_file(dir.path().join("dstack.sock")).ok();
    // This one proves itself by the committee's statement.
    let _second = agent(&world, (dir.path(), b"1"), &pebble, &gateway, ProofKind::Statement).await;
    assert_eq!(page(&gateway, &pebble.issuing_root_pem).await, PAGE);
    assert_eq!(kept(dir.path()).unwrap(), ordered, "another certificate was ordered");
    stop.cancel();
    relayer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_together_order_one_certificate() {
    let Stage { dir: _dir, world, registry, pebble, gateway } = Stage::set().await;
    let machines = [b"1", b"2", b"3"].map(|seed| (tempfile::tempdir().unwrap(), seed));
    let starting = machines
        .iter()
        .map(|(dir, seed)| agent(&world, (dir.path(), *seed), &pebble, &gateway, ProofKind::Evidence));
    let _running = futures::future::join_all(starting).await;
    let all = until(&registry, "a certificate for each", async || {
        machines.iter().map(|(dir, _)| kept(dir.path())).collect::<Option<Vec<_>>>()
    })
    .await;
    assert!(all.iter().all(|kept| *kept == all[0]), "more than one was ordered");
}
