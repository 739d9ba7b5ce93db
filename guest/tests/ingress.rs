// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ingress mode without an authority: who is shown which key, and when nobody is shown any. With one: test/tests/ingress.rs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::primitives::{Address, FixedBytes};
use axum::{Json, Router, extract::State, routing::post};
use mandate_attestation::{Evidence, verify};
use mandate_guest::{
    Config, Service,
    agent::KeyState,
    config::{AppConfig, ChainConfig, LogConfig, RetryConfig},
    ingress::IngressConfig,
};
use mandate_model::{
    outcome::Outcome,
    wire::gateway::{Proof, RegisterRequest, RegisterResponse},
};
use mandate_runtime::{
    Ambient,
    clock::ManualClock,
    http::serve,
    net::{Net, TcpNet},
};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring::default_provider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use support::{Manner, World, ambient, quoter};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use x509_parser::prelude::{FromDer, X509Certificate};

const LEASE: Duration = Duration::from_secs(3_600);
const NOW: u64 = 1_790_000_000;
const DOMAIN: &str = "app.example.org";

type Registered = Arc<Mutex<Option<RegisterRequest>>>;

async fn register(
    State(seen): State<Registered>,
    Json(request): Json<RegisterRequest>,
) -> Json<RegisterResponse> {
    let Proof::Evidence(evidence) = &request.proof else { panic!("no evidence") };
    let evidence = Evidence::decode(evidence).unwrap();
    verify(&evidence, &quoter().pki.trust_anchors(), NOW, &request.report_data()).unwrap();
    *seen.lock().unwrap() = Some(request);
    let outcome = Outcome::Allowed { valid_until: u64::MAX };
    Json(RegisterResponse {
        outcome,
        names: Vec::new(),
        lease: 600,
        certificates: Vec::new(),
        elsewhere: Vec::new(),
    })
}

async fn gateway(seen: Registered) -> String {
    let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/register", post(register)).with_state(seen);
    tokio::spawn(serve(listener, router, CancellationToken::new()));
    url
}

/// The app: says back what it hears.
async fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

struct Served {
    world: World,
    clock: Arc<ManualClock>,
    keys: watch::Receiver<KeyState>,
    address: SocketAddr,
    registered: Registered,
    _dir: tempfile::TempDir,
    _stop: DropGuard,
}

impl Served {
    async fn start() -> Self {
        let world = World::start(&[Manner::Honest; 4]).await;
        let dir = tempfile::tempdir().unwrap();
        let registered = Registered::default();
        let ingress = IngressConfig {
            domains: vec![DOMAIN.parse().unwrap()],
            domain_registry: Address::repeat_byte(0xd0),
            listen: ([127, 0, 0, 1], 0).into(),
            advertise: "10.0.0.5:8443".to_owned(),
            forward: app().await,
            proof: Default::default(),
            gateways: vec![gateway(Arc::clone(&registered)).await],
            alpn: vec!["http/1.1".to_owned()],
            certificates: None,
            acme: mandate_acme::config::AcmeSection {
                // Nobody is there.
                directory: "https://127.0.0.1:1/dir".to_owned(),
                issuer: "ca.test".to_owned(),
                ca_file: None,
                timeout: Duration::from_secs(10),
                caa: mandate_acme::caa::guard::CaaMode::Off,
                external_account: None,
                dns: Default::default(),
            },
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: 10 * LEASE,
            connections: 16,
        };
        let config = Config {
            socket: dir.path().join("dstack.sock"),
            operations: None,
            relayers: vec![world.relayer.clone()],
            generation: 0,
            lease: LEASE,
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
        let clock = Arc::new(ManualClock::new(NOW));
        let ambient = Ambient { clock: clock.clone(), ..ambient() };
        let service = Service::start(config, ambient, Arc::new(quoter())).await.unwrap();
        let (stop, keys, address) =
            (CancellationToken::new(), service.keys(), service.ingress_address().unwrap());
        tokio::spawn(service.run(stop.clone()));
        let stop = stop.drop_guard();
        Self { world, clock, keys, address, registered, _dir: dir, _stop: stop }
    }

    async fn until_registered(&mut self) -> RegisterRequest {
        loop {
            if let Some(request) = self.registered.lock().unwrap().clone() {
                return request;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn connect(&self, name: &str, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// Looks at nobody's certificate; the tests do.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn spki(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    X509Certificate::from_der(&leaf).unwrap().1.public_key().raw.to_vec()
}

fn alert(refused: io::Result<TlsStream<TcpStream>>) -> AlertDescription {
    let error = refused.expect_err("the handshake was refused");
    match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert but {error:?}"),
    }
}

async fn ping(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"ping");
}

#[tokio::test]
async fn gateways_are_told_the_domains_and_shown_the_key_that_evidence_binds() {
    let mut served = Served::start().await;
    let request = served.until_registered().await;
    assert_eq!(
        (request.upstream.as_str(), request.domains.as_slice()),
        ("10.0.0.5:8443", [DOMAIN.to_owned()].as_slice())
    );
    let mut stream = served.connect("1234.gw.test", b"http/1.1").await.unwrap();
    assert_eq!(spki(&stream), request.spki.to_vec());
    ping(&mut stream).await;
}

#[tokio::test]
async fn attack_domain_without_a_certificate_shows_none_and_challenges_are_for_the_authority_alone() {
    let mut served = Served::start().await;
    served.until_registered().await;
    for protocol in [b"http/1.1".as_slice(), b"acme-tls/1"] {
        assert_eq!(alert(served.connect(DOMAIN, protocol).await), AlertDescription::AccessDenied);
    }
    assert_eq!(alert(served.connect("1234.gw.test", b"acme-tls/1").await), AlertDescription::AccessDenied);
}

#[tokio::test]
async fn g6_nothing_is_served_once_the_committee_has_denied_the_app_its_secret() {
    let mut served = Served::start().await;
    served.until_registered().await;
    let mut stream = served.connect("1234.gw.test", b"http/1.1").await.unwrap();
    ping(&mut stream).await;
    served.world.behave(Manner::Denies);
    served.clock.advance(LEASE / 2);
    served.keys.wait_for(|state| matches!(state, KeyState::Waiting(_))).await.unwrap();
    // The connection that was open is cut.
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    ended.expect("the connection stays open").ok();
    served.connect("1234.gw.test", b"http/1.1").await.unwrap_err();
}

#[tokio::test]
async fn nobody_is_let_in_after_the_lease_even_before_the_agent_has_found_out() {
    let mut served = Served::start().await;
    served.until_registered().await;
    served.world.behave(Manner::Undecided);
    served.clock.advance(LEASE);
    served.connect("1234.gw.test", b"http/1.1").await.unwrap_err();
}

/// The lease is over when it is over, not when its renewal has been given up.
#[tokio::test]
async fn g6_attack_node_that_never_answers_prolongs_nothing() {
    let mut served = Served::start().await;
    served.until_registered().await;
    let mut stream = served.connect("1234.gw.test", b"http/1.1").await.unwrap();
    ping(&mut stream).await;
    served.world.behave(Manner::Mute);
    served.clock.advance(LEASE);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    ended.expect("the connection stays open").ok();
    served.connect("1234.gw.test", b"http/1.1").await.unwrap_err();
}
