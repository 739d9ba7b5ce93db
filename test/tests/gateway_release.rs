// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole life of a certificate: a domain is approved on chain, a relayer has a gateway order, pebble issues, the relayer
//! records; the domain is released, the relayer tells the gateway, and pebble's certificate is revoked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod registry;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mandate_acme::{
    AcmeConfig, AcmeIssuer, caa::guard::CaaMode, dns::Dns, keys::DevelopmentKeys, name::DomainName,
};
use mandate_attestation::dev_pki::{DevGuest, DevPki};
use mandate_cli::demo::pebble::Pebble;
use mandate_gateway::{
    Gateway, Live, Parts, Running, Settings,
    provenance::{Deployed, Origin},
};
use mandate_guest::instance::TlsIdentity;
use mandate_model::{
    Outcome,
    deployment::Deployment,
    wire::gateway::{RegisterRequest, RegisterResponse},
};
use mandate_relayer::config::EffectsConfig;
use mandate_runtime::{Ambient, http::Client, net::free_port};
use registry::{CODE, Registry};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, X509Certificate};

const NAME: &str = "app.example.org";

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// The contracts with an app whose code and OS image are in force.
struct World {
    registry: Registry,
    pki: DevPki,
}

impl World {
    async fn new() -> Self {
        let registry = Registry::start().await;
        registry.allow_image(DevGuest::new(registry.app, CODE).os_image_hash()).await;
        Self { registry, pki: DevPki::from_seed([5; 32]) }
    }

    fn origin(&self) -> Origin {
        let Deployment { chain_id, kms_auth, domain_registry, .. } = self.registry.deployment;
        Origin { deployed: Deployed { chain_id, kms_auth, domain_registry }, agent: None }
    }

    async fn gateway(&self, pebble: &Pebble, tls_port: u16) -> Running {
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
            chain: Arc::new(self.registry.verified()),
            verifier: self.pki.trust_anchors().into(),
            store: Default::default(),
            keys,
            issuer: Box::new(move |challenges| {
                Ok(Arc::new(AcmeIssuer::new(acme, its_keys, challenges, dns, its_ambient)?))
            }),
            origin: self.origin(),
            admin: None,
            reload: None,
        };
        let base = DomainName::try_from("gw.test").unwrap();
        let mut settings = Settings::new(loopback(tls_port), loopback(0), base);
        // It would find out by itself; here it must be told.
        settings.review = Duration::from_secs(86_400);
        let mut live = Live::default();
        live.network.upstreams = vec!["127.0.0.0/8".parse().unwrap()];
        Gateway::start(settings, live, parts).await.unwrap()
    }

    /// Registers an instance, without which the gateway shows no certificate.
    async fn register(&self, gateway: &Running) {
        let identity = TlsIdentity::generate(&Ambient::system(), &["instance.invalid".to_owned()]).unwrap();
        let upstream = instance(&identity).await.to_string();
        let spki = identity.spki().to_vec().into();
        let mut request = RegisterRequest {
            proof: Default::default(),
            spki,
            upstream,
            domains: Vec::new(),
            certificates: Vec::new(),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let guest = DevGuest::new(self.registry.app, CODE);
        request.proof = self.pki.evidence(&guest, request.report_data(), now).encode().into();
        let client = Client::new(Ambient::system().net).timeout(Duration::from_secs(60));
        let url = format!("http://{}/v1/register", gateway.api_addr);
        let answer: RegisterResponse = client.post_json(&url, &request).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Allowed { .. }), "{}", answer.outcome);
    }

    /// Blocks go on until `holds`.
    async fn eventually<F: Future<Output = bool>>(&self, what: &str, mut holds: impl FnMut() -> F) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(90);
        while !holds().await {
            assert!(tokio::time::Instant::now() < patience, "{what} never happened");
            self.registry.chain.mine(1);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// An instance that accepts every connection and says nothing.
async fn instance(identity: &TlsIdentity) -> SocketAddr {
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate()], identity.private_key())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(loopback(0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(acceptor.accept(stream).await);
        }
    });
    address
}

/// The certificate that the gateway shows for the domain.
async fn shown(gateway: &Running, root_pem: &str) -> Option<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tcp = tokio::net::TcpStream::connect(gateway.tls_addr).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
    let chain = tls.get_ref().1.peer_certificates()?;
    chain.first().map(|leaf| leaf.clone().into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_a_released_domain_is_revoked_at_the_authority() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (dir, tls_port, world) = (tempfile::tempdir().unwrap(), free_port().unwrap(), World::new().await);
    let pebble = Pebble::start(dir.path(), tls_port).await.unwrap();
    let gateway = world.gateway(&pebble, tls_port).await;
    let stop = CancellationToken::new();
    let url = format!("http://{}", gateway.api_addr);
    let relayer = world.registry.relayer(dir.path(), url, EffectsConfig::default(), &stop).await;
    world.register(&gateway).await;

    let registry = &world.registry;
    registry.approve(NAME).await;
    world
        .eventually("a recorded certificate", || async { !registry.domain(NAME).await.certificate.is_zero() })
        .await;
    let leaf = shown(&gateway, &pebble.issuing_root_pem).await.unwrap();
    let serial = X509Certificate::from_der(&leaf).unwrap().1.raw_serial_as_string().replace(':', "");
    let status = async || -> serde_json::Value {
        serde_json::from_str(&pebble.status(&serial).await.unwrap()).unwrap()
    };
    assert_eq!(status().await["Status"], "Valid");

    registry.release(NAME).await;
    world.eventually("the revocation", || async { status().await["Status"] == "Revoked" }).await;
    const CESSATION_OF_OPERATION: u64 = 5;
    assert_eq!(status().await["Reason"].as_u64(), Some(CESSATION_OF_OPERATION));
    assert!(shown(&gateway, &pebble.issuing_root_pem).await.is_none());
    stop.cancel();
    relayer.await.unwrap();
    gateway.shutdown().await;
}
