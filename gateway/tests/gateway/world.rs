// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A gateway that runs, and everything around it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, keccak256};
use mandate_acme::{keys::DevelopmentKeys, name::DomainName};
use mandate_attestation::dev_pki::{DevGuest, DevPki};
use mandate_gateway::{
    Gateway, Live, Parts, Running, Settings, StartError,
    config::StoreConfig,
    provenance::{Deployed, Origin},
    tls,
};
use mandate_model::wire::{
    gateway::{
        DomainOrder, DomainRelease, IssuedCertificate, RegisterRequest, RegisterResponse, ReleaseEffect,
        RevocationEffect, Route,
    },
    kms::{GrantNotice, RevocationNotice},
};
use mandate_runtime::{
    Ambient, Clock,
    clock::ManualClock,
    http::{Client, HttpError},
};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use zeroize::Zeroizing;

use crate::{
    instance::Instance,
    scripted::{ScriptedChain, TestCa},
};

pub const BASE: &str = "gw.test";
pub const DOMAIN: &str = "app.example.org";
pub const APP: Address = Address::repeat_byte(0xa1);
pub const DEPLOYED: Deployed = Deployed {
    chain_id: 31_337,
    kms_auth: Address::repeat_byte(0xc1),
    domain_registry: Address::repeat_byte(0xc2),
};
pub const OTHER_APP: Address = Address::repeat_byte(0xb2);
/// Within the life of the development PKI and of the test authority's certificates.
pub const NOW: u64 = 1_790_000_000;

pub fn code(app: Address) -> B256 {
    B256::repeat_byte(app[0])
}

pub struct World {
    pub chain: Arc<ScriptedChain>,
    pub ca: Arc<TestCa>,
    pub clock: Arc<ManualClock>,
    pub pki: DevPki,
    pub gateway: Running,
    api: Client,
}

impl World {
    pub async fn start() -> Self {
        Self::start_in(StoreConfig::default(), Arc::default(), TestCa::new()).await.unwrap()
    }

    pub async fn start_in(
        store: StoreConfig,
        chain: Arc<ScriptedChain>,
        ca: Arc<TestCa>,
    ) -> Result<Self, StartError> {
        Self::start_at(Arc::new(ManualClock::new(NOW)), store, chain, ca, |_| ()).await
    }

    pub async fn start_with(
        now: u64,
        chain: Arc<ScriptedChain>,
        ca: Arc<TestCa>,
        set: impl FnOnce(&mut Settings),
    ) -> Result<Self, StartError> {
        Self::start_as(now, chain, ca, |settings, _, _| set(settings)).await
    }

    /// Gateways that share a store share a clock as well.
    pub async fn start_at(
        clock: Arc<ManualClock>,
        store: StoreConfig,
        chain: Arc<ScriptedChain>,
        ca: Arc<TestCa>,
        set: impl FnOnce(&mut Settings),
    ) -> Result<Self, StartError> {
        let with_store = |settings: &mut Settings, _: &mut Live, parts: &mut Parts| {
            parts.store = store;
            set(settings);
        };
        Self::start_on(clock, chain, ca, with_store).await
    }

    /// A gateway with a certificate for its own names, and whatever else is set.
    pub async fn start_whole(set: impl FnOnce(&mut Live, &mut Parts)) -> Self {
        let with_base = |settings: &mut Settings, live: &mut Live, parts: &mut Parts| {
            settings.base_certificate = true;
            set(live, parts);
        };
        let world = Self::start_as(NOW, Arc::default(), TestCa::new(), with_base).await.unwrap();
        // Asked for anything, it refuses until the certificate is there.
        while matches!(world.browse(BASE, &[]).await, Err(e) if is_alert(&e)) {
            tokio::task::yield_now().await;
        }
        world
    }

    /// A gateway that need not be reachable without a PROXY header.
    pub async fn start_as_balanced(set: impl FnOnce(&mut Live)) -> Self {
        Self::start_as(NOW, Arc::default(), TestCa::new(), |_, live, _| set(live)).await.unwrap()
    }

    pub async fn start_as(
        now: u64,
        chain: Arc<ScriptedChain>,
        ca: Arc<TestCa>,
        set: impl FnOnce(&mut Settings, &mut Live, &mut Parts),
    ) -> Result<Self, StartError> {
        Self::start_on(Arc::new(ManualClock::new(now)), chain, ca, set).await
    }

    pub async fn start_on(
        clock: Arc<ManualClock>,
        chain: Arc<ScriptedChain>,
        ca: Arc<TestCa>,
        set: impl FnOnce(&mut Settings, &mut Live, &mut Parts),
    ) -> Result<Self, StartError> {
        let pki = DevPki::from_seed([5; 32]);
        let ambient = Ambient { clock: clock.clone(), ..Ambient::system() };
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings = Settings::new(free, free, DomainName::try_from(BASE).unwrap());
        let mut live = Live::default();
        // So that a test which moves the clock sees leases end and not idle connections.
        live.limits.idle_timeout = Duration::from_secs(86_400);
        // Nor does a shutdown wait for a clock that stands still.
        live.limits.drain_timeout = Duration::ZERO;
        live.network.upstreams = vec!["127.0.0.0/8".parse().unwrap()];
        let (issuer, api) = (Arc::clone(&ca), Client::new(Arc::clone(&ambient.net)));
        let mut parts = Parts {
            ambient,
            chain: chain.clone(),
            verifier: pki.trust_anchors().into(),
            store: StoreConfig::default(),
            keys: Arc::new(DevelopmentKeys::new(Zeroizing::new([3; 32]))),
            issuer: Box::new(move |_| Ok(issuer)),
            origin: Origin { deployed: DEPLOYED, agent: None },
            admin: None,
            reload: None,
        };
        set(&mut settings, &mut live, &mut parts);
        let gateway = Gateway::start(settings, live, parts).await?;
        Ok(Self { chain, ca, clock, pki, gateway, api })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway.api_addr)
    }

    /// Evidence of a first instance of `app` that binds `spki`.
    pub fn request(&self, app: Address, spki: &[u8], upstream: &str) -> RegisterRequest {
        self.request_of(&DevGuest::new(app, code(app)), spki, upstream)
    }

    pub fn request_of(&self, guest: &DevGuest, spki: &[u8], upstream: &str) -> RegisterRequest {
        self.request_for(guest, spki, upstream, &[])
    }

    /// Evidence that binds domains whose TLS the instance ends itself, too.
    pub fn request_for(
        &self,
        guest: &DevGuest,
        spki: &[u8],
        upstream: &str,
        domains: &[&str],
    ) -> RegisterRequest {
        let (spki, upstream) = (spki.to_vec().into(), upstream.to_owned());
        let domains = domains.iter().map(|name| (*name).to_owned()).collect();
        let (proof, certificates) = (Default::default(), Vec::new());
        self.bound(guest, RegisterRequest { proof, spki, upstream, domains, certificates })
    }

    /// The request with evidence that binds all of it.
    pub fn bound(&self, guest: &DevGuest, mut request: RegisterRequest) -> RegisterRequest {
        let evidence = self.pki.evidence(guest, request.report_data(), self.clock.unix());
        request.proof = evidence.encode().into();
        request
    }

    /// What whoever records certificates is given, after a name.
    pub async fn listed(&self, after: &str) -> Vec<IssuedCertificate> {
        self.api.get_json(&self.url(&format!("/v1/domains?after={after}"))).await.unwrap()
    }

    pub async fn send(&self, request: &RegisterRequest) -> Result<RegisterResponse, HttpError> {
        self.api.post_json(&self.url("/v1/register"), request).await
    }

    /// Registers an instance and expects that it is allowed.
    pub async fn register(&self, app: Address, instance: &Instance) -> RegisterResponse {
        let answer = self.send(&self.request(app, &instance.spki, &instance.upstream())).await.unwrap();
        assert!(matches!(answer.outcome, mandate_model::Outcome::Allowed { .. }), "{}", answer.outcome);
        answer
    }

    pub async fn notice(&self, app: Address, block_number: u64) -> RevocationEffect {
        let notice = RevocationNotice { app, code_hashes: Vec::new(), block_number };
        self.api.post_json(&self.url("/v1/revocations"), &notice).await.unwrap()
    }

    pub async fn grant(&self, app: Address) -> Result<(), HttpError> {
        self.api.post_json(&self.url("/v1/grants"), &GrantNotice { app, block_number: 0 }).await
    }

    pub async fn release(&self, name: &str, block_number: u64) -> ReleaseEffect {
        let notice = DomainRelease { domain_hash: keccak256(name), block_number };
        self.api.post_json(&self.url("/v1/domains/release"), &notice).await.unwrap()
    }

    pub async fn order(&self, name: &str) -> Result<IssuedCertificate, HttpError> {
        self.api.post_json(&self.url("/v1/domains"), &DomainOrder { name: name.to_owned() }).await
    }

    /// What health says about domains, once it is well or not.
    pub async fn health(&self) -> String {
        match self.api.get_json::<serde_json::Value>(&self.url("/healthz")).await {
            Ok(well) => well.to_string(),
            Err(error) => error.to_string(),
        }
    }

    pub async fn routes(&self) -> Vec<Route> {
        self.gateway.routes()
    }

    pub async fn certificates(&self) -> Vec<IssuedCertificate> {
        self.gateway.certificates()
    }

    /// Connects like a browser that trusts the test authority alone.
    pub async fn browse(&self, name: &str, protocols: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
        self.connect(name, self.browser(protocols)).await
    }

    pub fn browser(&self, protocols: &[&[u8]]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.root()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        config
    }

    /// Connects like a client that knows the instance's key.
    pub async fn pinned(&self, name: &str, spki: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        self.connect(name, tls::upstream(spki.to_vec(), Vec::new()).unwrap()).await
    }

    /// The same, with an application protocol.
    pub async fn pinned_with(
        &self,
        name: &str,
        spki: &[u8],
        protocol: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        self.connect(name, tls::upstream(spki.to_vec(), vec![protocol.to_vec()]).unwrap()).await
    }

    /// How the API answers a GET.
    pub async fn status_of(&self, path: &str) -> Option<u16> {
        let answer: Result<serde_json::Value, HttpError> = self.api.get_json(&self.url(path)).await;
        answer.err().and_then(|e| e.status())
    }

    async fn connect(&self, name: &str, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        self.connect_after(&[], name, config).await
    }

    /// Connects with something in front of the ClientHello.
    pub async fn browse_after(&self, before: &[u8], name: &str) -> io::Result<TlsStream<TcpStream>> {
        self.connect_after(before, name, self.browser(&[])).await
    }

    async fn connect_after(
        &self,
        before: &[u8],
        name: &str,
        config: ClientConfig,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = TcpStream::connect(self.gateway.tls_addr).await?;
        stream.write_all(before).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// The suffix `s` name of an id.
pub fn passthrough(id: Address) -> String {
    format!("{}-443s.{BASE}", hex::encode(id))
}

/// The line with which the instance greets.
pub async fn greeting(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.unwrap() {
            b'\n' => return String::from_utf8(line).unwrap(),
            byte => line.push(byte),
        }
    }
}

/// Waits until the other side closes, however it does that.
pub async fn closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    ended.expect("the connection stays open").ok();
}

/// Whether the other side refused the handshake with an alert.
fn is_alert(error: &io::Error) -> bool {
    matches!(
        error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()),
        Some(rustls::Error::AlertReceived(_))
    )
}

/// The alert with which a handshake was refused.
pub fn alert(refused: io::Result<TlsStream<TcpStream>>) -> AlertDescription {
    let error = refused.expect_err("the handshake was refused");
    match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert but {error:?}"),
    }
}
