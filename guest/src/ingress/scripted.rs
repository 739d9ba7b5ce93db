// SPDX-License-Identifier: Apache-2.0 OR MIT
//! For tests: an authority that does as it is told, and everything that is needed to serve with its certificates.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{Address, B256};
use futures::future::{BoxFuture, FutureExt, pending, ready};
use mandate_acme::{
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued, RenewalWindow},
    keys::KeySource,
    name::DomainName,
};
use mandate_attestation::{
    Evidence,
    dev_pki::{DevGuest, DevPki},
};
use mandate_runtime::{
    Ambient,
    clock::{Clock, ManualClock},
    http::Health,
};
use mandate_threshold::AppSecret;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::{
    IngressConfig,
    certificates::Orders,
    keys::HeldKeys,
    offers::Offers,
    pages::{Deployed, Pages},
    problems::Problems,
    server::{Server, Shown},
};
use crate::{Quoter, QuoterError, agent::Held, instance::TlsIdentity, service::Lease};

pub(super) const NOW: u64 = 1_790_000_000;
pub(super) const LEASE: Duration = Duration::from_secs(3_600);
pub(super) const LIFE: u64 = 90 * 24 * 3_600;
pub(super) const DOMAIN: &str = "app.example.org";
pub(super) const APP: Address = Address::repeat_byte(0xaa);
pub(super) const DEPLOYED: Deployed = Deployed {
    chain_id: 31_337,
    kms_auth: Address::repeat_byte(0xb1),
    domain_registry: Address::repeat_byte(0xd0),
};

/// What the authority does about one order.
pub(super) enum Act {
    Fail(fn(DomainName) -> IssueError),
    AnotherKey,
}

/// Does what its script says, and issues when that is at its end.
pub(super) struct ScriptedCa {
    issuer: Issuer<'static, KeyPair>,
    clock: Arc<ManualClock>,
    pub(super) script: Mutex<VecDeque<Act>>,
    pub(super) window: Mutex<Option<RenewalWindow>>,
    /// How often it was asked for one, and whether it never answers.
    pub(super) asked: AtomicUsize,
    pub(super) is_mute: AtomicBool,
    /// Whether it knows certificates that others bring.
    pub(super) knows: AtomicBool,
    /// The predecessor that each order named.
    pub(super) orders: Mutex<Vec<Option<CertificateDer<'static>>>>,
}

impl std::fmt::Debug for ScriptedCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptedCa")
    }
}

impl ScriptedCa {
    fn new(clock: Arc<ManualClock>) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = Issuer::new(params, KeyPair::generate().unwrap());
        let (script, window, orders) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (asked, is_mute) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { issuer, clock, script, window, asked, is_mute, orders, knows: true.into() }
    }

    fn sign(&self, request: &CertificateRequest) -> Result<Issued, IssueError> {
        self.orders.lock().unwrap().push(request.predecessor().cloned());
        let act = self.script.lock().unwrap().pop_front();
        if let Some(Act::Fail(error)) = act {
            return Err(error(request.name().clone()));
        }
        let csr = CertificateSigningRequestDer::from(request.csr()?);
        let mut csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        let now = i64::try_from(self.clock.unix()).unwrap();
        let at = |unix| OffsetDateTime::from_unix_timestamp(unix).unwrap();
        csr.params.not_before = at(now);
        csr.params.not_after = at(now + i64::try_from(LIFE).unwrap());
        let certificate = match act {
            Some(Act::AnotherKey) => csr.params.signed_by(&KeyPair::generate().unwrap(), &self.issuer),
            _ => csr.signed_by(&self.issuer),
        };
        let chain = vec![certificate.unwrap().der().clone()];
        Ok(Issued {
            chain,
            issuer: "ca.test".to_owned(),
            account_uri: "https://ca.test/account/1".to_owned(),
        })
    }
}

impl CertificateIssuer for ScriptedCa {
    fn issue<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Issued, IssueError>> {
        ready(self.sign(request)).boxed()
    }

    fn revoke<'a>(
        &'a self,
        _: &'a DomainName,
        _: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<(), IssueError>> {
        ready(Ok(())).boxed()
    }

    fn recognise<'a>(
        &'a self,
        name: &'a DomainName,
        chain: Vec<CertificateDer<'static>>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>> {
        let (issuer, account_uri) = ("ca.test".to_owned(), "https://ca.test/account/1".to_owned());
        let (name, what) = (name.clone(), "it leads to no root".to_owned());
        ready(match self.knows.load(std::sync::atomic::Ordering::SeqCst) {
            true => Ok(Issued { chain, issuer, account_uri }),
            false => Err(IssueError::Refused { issuer, name, what }),
        })
        .boxed()
    }

    fn renewal<'a>(
        &'a self,
        _: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<Option<RenewalWindow>, IssueError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.is_mute.load(Ordering::SeqCst) {
            true => pending().boxed(),
            false => ready(Ok(*self.window.lock().unwrap())).boxed(),
        }
    }
}

/// Evidence by the development PKI.
#[derive(Debug)]
pub(super) struct DevQuoter(pub(super) DevPki);

impl Quoter for DevQuoter {
    fn evidence(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Evidence, QuoterError>> {
        let guest = DevGuest::new(APP, B256::repeat_byte(0xcc));
        ready(Ok(self.0.evidence(&guest, report_data, NOW))).boxed()
    }
}

pub(super) fn pki() -> DevPki {
    DevPki::from_seed([3; 32])
}

/// One agent's ingress mode without its sockets.
pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) ambient: Ambient,
    pub(super) ca: Arc<ScriptedCa>,
    pub(super) health: Health,
    pub(super) problems: Arc<Problems>,
    pub(super) identity: TlsIdentity,
    pub(super) shown: Arc<Shown>,
    pub(super) held: Arc<Held>,
    pub(super) config: Arc<IngressConfig>,
    pub(super) offers: watch::Sender<Offers>,
}

impl World {
    /// The app is at `forward`; certificates are kept in `dir`.
    pub(super) fn new(forward: SocketAddr, dir: Option<PathBuf>) -> Self {
        Self::with_secret([5; 32], forward, dir)
    }

    pub(super) fn with_secret(secret: [u8; 32], forward: SocketAddr, dir: Option<PathBuf>) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let ambient = Ambient { clock: clock.clone(), ..Ambient::system() };
        let config = Arc::new(IngressConfig {
            domains: vec![DOMAIN.parse().unwrap()],
            domain_registry: DEPLOYED.domain_registry,
            listen: ([127, 0, 0, 1], 0).into(),
            advertise: "10.0.0.5:8443".to_owned(),
            forward,
            proof: Default::default(),
            gateways: vec!["http://127.0.0.1:1".to_owned()],
            alpn: vec!["http/1.1".to_owned()],
            certificates: dir,
            acme: mandate_acme::config::AcmeSection {
                directory: "https://127.0.0.1:1/dir".to_owned(),
                issuer: "ca.test".to_owned(),
                ca_file: None,
                timeout: Duration::from_secs(10),
                caa: mandate_acme::caa::guard::CaaMode::Off,
                external_account: None,
                dns: Default::default(),
            },
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            connections: 16,
        });
        let identity = TlsIdentity::generate(&ambient, &["instance.invalid".to_owned()]).unwrap();
        let shown = Arc::new(Shown::new(&identity, &config.domains, clock.clone()).unwrap());
        let health = Health::new();
        let lease = Lease { until: LEASE, until_unix: NOW + LEASE.as_secs() };
        Self {
            ca: Arc::new(ScriptedCa::new(clock.clone())),
            problems: Arc::new(Problems::new(health.clone())),
            held: Arc::new(Held::of(AppSecret::from_bytes(secret), APP, lease)),
            clock,
            ambient,
            health,
            identity,
            shown,
            config,
            offers: watch::Sender::default(),
        }
    }

    pub(super) fn keys(&self) -> Arc<dyn KeySource> {
        Arc::new(HeldKeys::new(&self.held))
    }

    pub(super) fn orders(&self) -> Orders {
        Orders {
            config: Arc::clone(&self.config),
            ambient: self.ambient.clone(),
            keys: self.keys(),
            issuer: Arc::clone(&self.ca) as _,
            shown: Arc::clone(&self.shown),
            problems: Arc::clone(&self.problems),
            offers: self.offers.subscribe(),
        }
    }

    /// Serves until the test's end.
    pub(super) async fn serve(&self) -> SocketAddr {
        let (quoter, shown) = (Arc::new(DevQuoter(pki())), Arc::clone(&self.shown));
        let pages = Pages::new(DEPLOYED, &self.held, self.keys(), quoter, shown, self.clock.clone());
        let server =
            Server::new(&self.config, &self.ambient, &self.held, &self.shown, pages.router()).unwrap();
        let mut listener = self.ambient.net.listen(self.config.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { server.run(&mut listener).await });
        address
    }

    pub(super) fn domain(&self) -> DomainName {
        DOMAIN.parse().unwrap()
    }

    /// One order that comes to something.
    pub(super) async fn certified(&self) {
        self.orders().step(&self.domain(), &mut None, &mut Default::default()).await;
        assert!(self.shown.find(&self.domain()).is_some());
    }
}
