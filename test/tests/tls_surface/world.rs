// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A gateway that runs with certificates of a test authority, in front of two apps with a domain each.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, B256};
use futures::future::{BoxFuture, FutureExt, ready};
use mandate_acme::{
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued},
    keys::DevelopmentKeys,
    name::DomainName,
};
use mandate_attestation::dev_pki::{DevGuest, DevPki};
use mandate_gateway::{
    Gateway, Live, Parts, Running, Settings,
    chain::{At, Chain, Holder, Standing, Undecided, Verdict},
    facts::Facts,
    provenance::{Deployed, Origin},
};
use mandate_model::{
    Outcome,
    wire::{
        BlockRef,
        gateway::{DomainOrder, IssuedCertificate, RegisterRequest, RegisterResponse},
    },
};
use mandate_runtime::{Ambient, Clock, clock::SystemClock, http::Client};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, ServerName};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::app::App;

pub const BASE: &str = "gw.test";
pub const DOMAIN: &str = "app.example.org";
pub const OTHER_DOMAIN: &str = "other.example.org";
pub const APP: Address = Address::repeat_byte(0xa1);
pub const OTHER_APP: Address = Address::repeat_byte(0xb2);
/// For an app that a test adds.
pub const THIRD_APP: Address = Address::repeat_byte(0xd4);
/// What the apps call themselves.
pub const LABEL: &str = "the app";
pub const OTHER_LABEL: &str = "the other app";

const BLOCK: BlockRef = BlockRef { number: 1, hash: B256::ZERO };
const DAY: Duration = Duration::from_secs(86_400);

/// Allows everything, and gives each domain to its app.
#[derive(Debug)]
struct Permissive;

impl Chain for Permissive {
    fn decide<'a>(&'a self, _: &'a Facts, _: At) -> BoxFuture<'a, Verdict> {
        let remaining = Duration::from_secs(1 << 32);
        ready(Verdict::Allowed { valid_until: u64::MAX, remaining, block: BLOCK }).boxed()
    }

    fn app_of<'a>(&'a self, name: &'a DomainName, _: At) -> BoxFuture<'a, Result<Holder, Undecided>> {
        let app = if name.as_str() == OTHER_DOMAIN { OTHER_APP } else { APP };
        ready(Ok(Holder { app: Some(app), block: BLOCK })).boxed()
    }

    fn standing(&self, _: Address, _: At) -> BoxFuture<'_, Result<Standing, Undecided>> {
        ready(Ok(Standing::Active)).boxed()
    }
}

/// Signs what it is asked for, as public authorities do: for ninety days, for TLS servers.
#[derive(Debug)]
struct TestCa(Issuer<'static, KeyPair>);

fn authority() -> (TestCa, rcgen::Certificate) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, "root of the tests");
    let root = params.self_signed(&key).unwrap();
    (TestCa(Issuer::new(params, key)), root)
}

impl TestCa {
    fn sign(&self, request: &CertificateRequest) -> Result<Issued, IssueError> {
        let csr = CertificateSigningRequestDer::from(request.csr()?);
        let mut csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        let now = std::time::SystemTime::now();
        csr.params.not_before = (now - DAY).into();
        csr.params.not_after = (now + 89 * DAY).into();
        csr.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        csr.params.use_authority_key_identifier_extension = true;
        let leaf = csr.signed_by(&self.0).unwrap();
        let chain = vec![leaf.der().clone()];
        Ok(Issued { chain, issuer: "ca.test".to_owned(), account_uri: "https://ca.test/1".to_owned() })
    }
}

impl CertificateIssuer for TestCa {
    fn issue<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Issued, IssueError>> {
        ready(self.sign(request)).boxed()
    }

    fn revoke<'a>(
        &'a self,
        name: &'a DomainName,
        _: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<(), IssueError>> {
        panic!("{name} was revoked")
    }
}

/// Everything, until it is dropped.
pub struct World {
    pub gateway: Running,
    pub app: App,
    pub other: App,
    root: CertificateDer<'static>,
    pki: DevPki,
    clock: Arc<dyn Clock>,
    dir: TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::start_at(Arc::new(SystemClock::new())).await
    }

    /// The same with another clock, which must show what the time is.
    pub async fn start_at(clock: Arc<dyn Clock>) -> Self {
        let (dir, pki, (ca, root)) = (tempfile::tempdir().unwrap(), DevPki::from_seed([5; 32]), authority());
        std::fs::write(dir.path().join("ca.pem"), root.pem()).unwrap();
        let (app, other) = (App::start(LABEL).await, App::start(OTHER_LABEL).await);
        let gateway = gateway(Arc::clone(&clock), &pki, ca).await;
        let world = Self { gateway, app, other, root: root.der().clone(), pki, clock, dir };
        world.register(APP, &world.app).await;
        world.register(OTHER_APP, &world.other).await;
        for name in [DOMAIN, OTHER_DOMAIN] {
            world.order(name).await;
        }
        // The gateway orders the one for its own names by itself, and refuses these until it is there.
        while matches!(world.connect(BASE, &[]).await, Err(e) if e.kind() == io::ErrorKind::InvalidData) {
            tokio::task::yield_now().await;
        }
        world
    }

    pub fn addr(&self) -> SocketAddr {
        self.gateway.tls_addr
    }

    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// A directory that lives as long as this.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The authority's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir().join("ca.pem")
    }

    /// Has the gateway lead to one more instance.
    pub async fn register(&self, id: Address, app: &App) {
        let (spki, upstream) = (app.spki.clone().into(), app.addr.to_string());
        let mut request = RegisterRequest {
            proof: Default::default(),
            spki,
            upstream,
            domains: Vec::new(),
            certificates: Vec::new(),
        };
        let guest = DevGuest::new(id, B256::repeat_byte(0xc0));
        let evidence = self.pki.evidence(&guest, request.report_data(), self.clock.unix());
        request.proof = evidence.encode().into();
        let url = format!("http://{}/v1/register", self.gateway.api_addr);
        let answer: RegisterResponse = api().post_json(&url, &request).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Allowed { .. }), "{}", answer.outcome);
    }

    async fn order(&self, name: &str) {
        let url = format!("http://{}/v1/domains", self.gateway.api_addr);
        let order = DomainOrder { name: name.to_owned() };
        let _issued: IssuedCertificate = api().post_json(&url, &order).await.unwrap();
    }

    /// A client of ours that trusts the authority alone.
    pub fn client(&self, protocols: &[&[u8]]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        config
    }

    pub async fn connect(&self, name: &str, protocols: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.addr()).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(self.client(protocols))).connect(name, stream).await
    }

    /// Who answers under this name.
    pub async fn who(&self, name: &str) -> String {
        let mut stream = self.connect(name, &[b"http/1.1"]).await.unwrap();
        stream.write_all(request("/who", name).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.rsplit("\r\n").next().unwrap().to_owned()
    }
}

/// A request after which the other side closes.
pub fn request(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
}

/// The name of an id below the gateway's own, with a suffix.
pub fn id_name(id: Address, suffix: &str) -> String {
    format!("{}{suffix}.{BASE}", hex::encode(id))
}

fn api() -> Client {
    Client::new(Ambient::system().net).timeout(Duration::from_secs(60))
}

async fn gateway(clock: Arc<dyn Clock>, pki: &DevPki, ca: TestCa) -> Running {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut settings = Settings::new(free, free, DomainName::try_from(BASE).unwrap());
    settings.base_certificate = true;
    // A test that moves the clock means handshakes, not leases.
    settings.lease = 30 * DAY;
    let mut live = Live::default();
    live.network.upstreams = vec!["127.0.0.0/8".parse().unwrap()];
    live.limits.drain_timeout = Duration::ZERO;
    live.limits.idle_timeout = DAY;
    live.limits.new_per_second = NonZeroU32::MAX;
    live.limits.new_at_once = NonZeroU32::MAX;
    let origin = Deployed { chain_id: 1, kms_auth: Address::ZERO, domain_registry: Address::ZERO };
    let parts = Parts {
        ambient: Ambient { clock, ..Ambient::system() },
        chain: Arc::new(Permissive),
        verifier: pki.trust_anchors().into(),
        store: Default::default(),
        keys: Arc::new(DevelopmentKeys::new([3; 32].into())),
        issuer: Box::new(move |_| Ok(Arc::new(ca))),
        origin: Origin { deployed: origin, agent: None },
        admin: None,
        reload: None,
    };
    Gateway::start(settings, live, parts).await.unwrap()
}
