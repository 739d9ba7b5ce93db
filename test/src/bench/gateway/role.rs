// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway in a process of its own, so that its time and memory are nobody else's. The policy allows everything: what is
//! measured is the way of a connection, not a decision.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{Address, B256};
use anyhow::{Context, Result};
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
    Reason,
    outcome::PolicyReason,
    wire::{
        BlockRef,
        gateway::{DomainOrder, IssuedCertificate, RegisterRequest, RegisterResponse},
    },
};
use mandate_runtime::{Ambient, Clock, clock::SystemClock, http::Client};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde::{Deserialize, Serialize};

/// The argument that turns this program into a gateway: `bench gateway-role DIR`.
pub const GATEWAY_ROLE: &str = "gateway-role";

pub(super) const APP: Address = Address::repeat_byte(0xa1);
pub(super) const BASE: &str = "gw.test";
pub(super) const DOMAIN: &str = "app.example.org";
/// Far more than any benchmark opens.
const MANY: usize = 1 << 20;

/// Where a gateway is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Ports {
    pub(super) tls: SocketAddr,
    pub(super) api: SocketAddr,
}

/// Gives every domain to [`APP`] and allows all of its instances until it is told otherwise.
#[derive(Debug, Default)]
pub(super) struct Permissive {
    pub(super) denies: AtomicBool,
}

fn block() -> BlockRef {
    BlockRef { number: 1, hash: B256::ZERO }
}

impl Chain for Permissive {
    fn decide<'a>(&'a self, _: &'a Facts, _: At) -> BoxFuture<'a, Verdict> {
        let verdict = match self.denies.load(Ordering::SeqCst) {
            true => Verdict::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked), block: block() },
            false => {
                let remaining = Duration::from_secs(1 << 32);
                Verdict::Allowed { valid_until: remaining.as_secs(), remaining, block: block() }
            }
        };
        ready(verdict).boxed()
    }

    fn app_of<'a>(&'a self, _: &'a DomainName, _: At) -> BoxFuture<'a, Result<Holder, Undecided>> {
        ready(Ok(Holder { app: Some(APP), block: block() })).boxed()
    }

    fn standing(&self, _: Address, _: At) -> BoxFuture<'_, Result<Standing, Undecided>> {
        ready(Ok(Standing::Active)).boxed()
    }
}

/// Signs whatever is asked for, and leaves chain and key in a directory for the peers to serve the same.
#[derive(Debug)]
pub(super) struct BenchCa {
    pub(super) dir: std::path::PathBuf,
}

impl BenchCa {
    pub(super) fn issuer(&self) -> Result<Issuer<'static, KeyPair>> {
        let key = KeyPair::from_pem(&fs::read_to_string(self.dir.join("ca.key"))?)?;
        Ok(Issuer::from_ca_cert_pem(&fs::read_to_string(self.dir.join("ca.pem"))?, key)?)
    }

    fn sign(&self, request: &CertificateRequest) -> Result<Issued> {
        let csr =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request.csr()?))?;
        let leaf = csr.signed_by(&self.issuer()?)?;
        let key = mandate_acme::issuer::signing_key(request.key())?;
        fs::write(self.dir.join("served.pem"), leaf.pem() + &key.serialize_pem())?;
        let chain = vec![leaf.der().clone()];
        Ok(Issued { chain, issuer: "ca.test".to_owned(), account_uri: "https://ca.test/1".to_owned() })
    }
}

/// Makes the authority that gateway and peers share.
pub(super) fn authority(dir: &Path) -> Result<CertificateDer<'static>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "bench root");
    let root = params.self_signed(&key)?;
    fs::write(dir.join("ca.pem"), root.pem())?;
    fs::write(dir.join("ca.key"), key.serialize_pem())?;
    Ok(root.der().clone())
}

impl CertificateIssuer for BenchCa {
    fn issue<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Issued, IssueError>> {
        let signed = self
            .sign(request)
            .map_err(|e| IssueError::Request { name: request.name().clone(), what: format!("{e:#}") });
        ready(signed).boxed()
    }

    fn revoke<'a>(
        &'a self,
        _: &'a DomainName,
        _: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<(), IssueError>> {
        ready(Ok(())).boxed()
    }
}

/// A gateway that lets this machine do what it can.
pub(super) async fn gateway(dir: &Path, chain: Arc<Permissive>) -> Result<Running> {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut settings = Settings::new(free, free, DomainName::try_from(BASE)?);
    settings.base_certificate = true;
    settings.lease = Duration::from_secs(86_400);
    let mut live = Live::default();
    live.network.upstreams = vec!["127.0.0.0/8".parse()?];
    live.limits.drain_timeout = Duration::ZERO;
    live.limits.connections = MANY;
    live.limits.connections_per_address = MANY;
    live.limits.connections_per_app = MANY;
    live.limits.new_per_second = NonZeroU32::MAX;
    live.limits.new_at_once = NonZeroU32::MAX;
    let ca = BenchCa { dir: dir.to_owned() };
    let parts = Parts {
        ambient: Ambient::system(),
        chain,
        verifier: DevPki::from_seed([5; 32]).trust_anchors().into(),
        store: Default::default(),
        keys: Arc::new(DevelopmentKeys::new([3; 32].into())),
        issuer: Box::new(move |_| Ok(Arc::new(ca))),
        origin: Origin {
            deployed: Deployed { chain_id: 1, kms_auth: Address::ZERO, domain_registry: Address::ZERO },
            agent: None,
        },
        admin: None,
        reload: None,
    };
    Ok(Gateway::start(settings, live, parts).await?)
}

/// Registers an instance that serves `spki` at `upstream`, and has the domain's certificate issued.
pub(super) async fn settle(api: SocketAddr, spki: &[u8], upstream: SocketAddr) -> Result<()> {
    let http = Client::new(Ambient::system().net);
    register(&http, api, spki, upstream).await?;
    let order = DomainOrder { name: DOMAIN.to_owned() };
    let _issued: IssuedCertificate = http.post_json(&format!("http://{api}/v1/domains"), &order).await?;
    Ok(())
}

pub(super) async fn register(
    http: &Client,
    api: SocketAddr,
    spki: &[u8],
    upstream: SocketAddr,
) -> Result<()> {
    let (proof, spki) = (Default::default(), spki.to_vec().into());
    let mut request = RegisterRequest {
        proof,
        spki,
        upstream: upstream.to_string(),
        domains: Vec::new(),
        certificates: Vec::new(),
    };
    let guest = DevGuest::new(APP, B256::repeat_byte(0xc0));
    let pki = DevPki::from_seed([5; 32]);
    request.proof = pki.evidence(&guest, request.report_data(), SystemClock::new().unix()).encode().into();
    let answer: RegisterResponse = http.post_json(&format!("http://{api}/v1/register"), &request).await?;
    anyhow::ensure!(matches!(answer.outcome, mandate_model::Outcome::Allowed { .. }), "{}", answer.outcome);
    Ok(())
}

/// Runs a gateway until its standard input ends. Says on standard output where it is.
///
/// # Errors
/// When it does not start.
pub async fn gateway_role(dir: &Path) -> Result<()> {
    let running = gateway(dir, Arc::default()).await?;
    let ports = Ports { tls: running.tls_addr, api: running.api_addr };
    println!("{}", serde_json::to_string(&ports)?);
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await
        .context("waiting for the end")??;
    running.shutdown().await;
    Ok(())
}
