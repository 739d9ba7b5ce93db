// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole life of a certificate: a domain is approved on chain, a relayer has a gateway order, pebble issues, the relayer
//! records; the domain is released, the relayer tells the gateway, and pebble's certificate is revoked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy::{
    primitives::{Address, B256, aliases::U40, hex},
    providers::{DynProvider, Provider},
    transports::BoxTransport,
};
use mandate_acme::{
    AcmeConfig, AcmeIssuer, caa::guard::CaaMode, dns::Dns, keys::DevelopmentKeys, name::DomainName,
};
use mandate_attestation::dev_pki::{DevGuest, DevPki};
use mandate_cli::demo::pebble::Pebble;
use mandate_devchain::{Config as ChainSettings, DevChain};
use mandate_gateway::{
    Gateway, Live, Parts, Running, Settings,
    chain::VerifiedChain,
    provenance::{Deployed, Origin},
};
use mandate_guest::instance::TlsIdentity;
use mandate_model::{
    Outcome,
    bindings::{AppAuth, AppInit, DomainRegistry, KmsAuth, KmsCommittee},
    deployment::Deployment,
    wire::gateway::{RegisterRequest, RegisterResponse},
};
use mandate_relayer::{
    Config as RelayerConfig, Retry, Service,
    chain::{EndpointSource, Endpoints},
};
use mandate_runtime::{Ambient, config::Secret, http::Client, net::free_port};
use mandate_witness::{ChainSpec, Endpoint, Quorum, RpcWitnessSource, VerifiedReader};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, X509Certificate};

const CODE: B256 = B256::repeat_byte(0xc0);
const NAME: &str = "app.example.org";
const TDX: u8 = 1;
const UP_TO_DATE: u8 = 1;

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// The contracts with an app whose code and OS image are in force.
struct World {
    chain: DevChain,
    wallet: DynProvider,
    deployment: Deployment,
    app: Address,
    pki: DevPki,
}

impl World {
    async fn new() -> Self {
        let settings = ChainSettings { finalized_lag: 2, safe_lag: 1, ..ChainSettings::default() };
        let chain = DevChain::new(settings).unwrap();
        let (wallet, owner, notice) = (chain.wallet_provider(), chain.accounts()[0], U40::ZERO);
        let implementation = *AppAuth::deploy(&wallet).await.unwrap().address();
        let kms_auth = KmsAuth::deploy(&wallet, implementation, owner, owner, notice).await.unwrap();
        let committee =
            *KmsCommittee::deploy(&wallet, owner, owner, notice, U40::ZERO).await.unwrap().address();
        let registry = DomainRegistry::deploy(&wallet, *kms_auth.address(), owner).await.unwrap();
        let payer = chain.signers().pop().unwrap().address();
        registry.setRecorder(payer, true).send().await.unwrap().get_receipt().await.unwrap();
        let init = AppInit {
            owner,
            guardian: owner,
            notice: U40::from(1),
            codeHashes: vec![CODE],
            anyDevice: true,
            teeKinds: vec![TDX],
            tcbFloor: UP_TO_DATE,
            ..AppInit::default()
        };
        let register = kms_auth.deployAndRegisterApp(init, B256::ZERO);
        let app = register.call().await.unwrap();
        register.send().await.unwrap().get_receipt().await.unwrap();
        let image = DevGuest::new(app, CODE).os_image_hash();
        let image = kms_auth.scheduleOsImage(image, String::new());
        image.send().await.unwrap().get_receipt().await.unwrap();
        chain.mine(4);
        let deployment = Deployment {
            chain_id: chain.chain_id(),
            kms_auth: *kms_auth.address(),
            app_implementation: implementation,
            committee,
            domain_registry: *registry.address(),
            role_council: owner,
            governance_factory: None,
            receipt_anchor: None,
            genesis_block: 1,
        };
        Self { chain, wallet, deployment, app, pki: DevPki::from_seed([5; 32]) }
    }

    fn registry(&self) -> DomainRegistry::DomainRegistryInstance<&DynProvider> {
        DomainRegistry::new(self.deployment.domain_registry, &self.wallet)
    }

    fn verified(&self) -> VerifiedChain {
        let (provider, spec) = (self.chain.provider().erased(), ChainSpec::dev(self.chain.chain_id()));
        let endpoint = Endpoint { name: "dev".to_owned(), provider: provider.clone() };
        let headers = Quorum::new(self.chain.chain_id(), 1, vec![endpoint]).unwrap();
        let witnesses = RpcWitnessSource::new("dev", provider, spec.clone());
        let reader = VerifiedReader::new(Arc::new(headers), Arc::new(witnesses), spec);
        VerifiedChain::new(reader, self.deployment.kms_auth, self.deployment.domain_registry)
    }

    fn origin(&self) -> Origin {
        let Deployment { chain_id, kms_auth, domain_registry, .. } = self.deployment;
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
            chain: Arc::new(self.verified()),
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

    async fn relayer(&self, dir: &Path, gateway: &Running, stop: &CancellationToken) -> JoinHandle<()> {
        let store = dir.join("relayer.sqlite");
        let mut config =
            RelayerConfig::new(loopback(0), self.deployment.clone(), "http://127.0.0.1:1", store);
        config.gateways = vec![format!("http://{}", gateway.api_addr)];
        config.chain.poll = Duration::from_millis(20);
        config.effects.retry = Retry { first: Duration::from_millis(20), most: Duration::from_millis(200) };
        let payer = self.chain.signers().pop().unwrap();
        config.signer.key = Some(Secret::new(hex::encode(payer.to_bytes())));
        let source = EndpointSource {
            name: "chain".to_owned(),
            transport: BoxTransport::new(self.chain.clone()),
            requests_per_second: None,
        };
        let (id, ambient) = (self.chain.chain_id(), Ambient::system());
        let endpoints = Endpoints::of_transports(vec![source], &config.chain, id, ambient.clone()).unwrap();
        let service = Service::start(config, ambient, endpoints).await.unwrap();
        tokio::spawn(service.run(stop.clone()))
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
        let guest = DevGuest::new(self.app, CODE);
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
            self.chain.mine(1);
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
    let relayer = world.relayer(dir.path(), &gateway, &stop).await;
    world.register(&gateway).await;

    let registry = world.registry();
    let approve = registry.approveDomain(NAME.to_owned(), world.app);
    assert!(approve.send().await.unwrap().get_receipt().await.unwrap().status());
    world
        .eventually("a recorded certificate", || async {
            !registry.domain(NAME.to_owned()).call().await.unwrap().certificate.is_zero()
        })
        .await;
    let leaf = shown(&gateway, &pebble.issuing_root_pem).await.unwrap();
    let serial = X509Certificate::from_der(&leaf).unwrap().1.raw_serial_as_string().replace(':', "");
    let status = async || -> serde_json::Value {
        serde_json::from_str(&pebble.status(&serial).await.unwrap()).unwrap()
    };
    assert_eq!(status().await["Status"], "Valid");

    let release = registry.releaseDomain(NAME.to_owned());
    assert!(release.send().await.unwrap().get_receipt().await.unwrap().status());
    world.eventually("the revocation", || async { status().await["Status"] == "Revoked" }).await;
    const CESSATION_OF_OPERATION: u64 = 5;
    assert_eq!(status().await["Reason"].as_u64(), Some(CESSATION_OF_OPERATION));
    assert!(shown(&gateway, &pebble.issuing_root_pem).await.is_none());
    stop.cancel();
    relayer.await.unwrap();
    gateway.shutdown().await;
}
