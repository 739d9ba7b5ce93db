// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Puts the parts together and runs them.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use mandate_acme::{challenge::ChallengeStore, issuer::CertificateIssuer, keys::KeySource};
use mandate_attestation::{TrustAnchors, Verifier};
use mandate_model::wire::gateway as wire;
use mandate_runtime::{Ambient, config::Secret, http, net::Listener};
use thiserror::Error;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, Admin, Reload, Reloader},
    admission::{Admission, Believed, Turns},
    api::{self, Api},
    certificates::Certificates,
    chain::Chain,
    challenges::FleetChallenges,
    config::{Settings, StoreConfig},
    domains::Domains,
    front::{self, Front},
    live::Live,
    provenance::{self, Origin, Provenance},
    revocation::Revocations,
    routes::Routes,
    store::{self, StoreError},
};

/// How often ended leases are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// Makes the issuer, which answers its authority's challenges through the store that the TLS port serves.
pub type IssuerFactory =
    Box<dyn FnOnce(Arc<ChallengeStore>) -> Result<Arc<dyn CertificateIssuer>, BoxError> + Send>;

/// An error of whatever kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the gateway takes from outside besides its settings.
pub struct Parts {
    /// Clock, entropy and sockets.
    pub ambient: Ambient,
    /// The policy.
    pub chain: Arc<dyn Chain>,
    /// Who believes evidence.
    pub verifier: Verifier,
    /// Where certificates and orders are kept.
    pub store: StoreConfig,
    /// Where keys come from.
    pub keys: Arc<dyn KeySource>,
    /// Who signs certificates.
    pub issuer: IssuerFactory,
    /// What tells clients where the keys come from.
    pub origin: Origin,
    /// Where operators connect, if they can.
    pub admin: Option<AdminPart>,
    /// Reads the configuration again.
    pub reload: Option<Reload>,
}

/// Where operators connect.
#[derive(Debug)]
pub struct AdminPart {
    /// The port.
    pub listen: SocketAddr,
    /// What every request must show.
    pub token: Secret,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("chain", &self.chain).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Why the gateway does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Which.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be opened or read.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The issuer cannot be made.
    #[error("certificate issuer: {0}")]
    Issuer(BoxError),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Binds both ports, then runs until told to stop.
    ///
    /// # Errors
    /// When a port is taken, or what was kept cannot be read.
    pub async fn start(settings: Settings, live: Live, parts: Parts) -> Result<Running, StartError> {
        let Parts { ambient, chain, verifier, store, keys, issuer, origin, admin, reload } = parts;
        let (tls, tls_addr) = listen(&ambient, settings.tls_listen).await?;
        let (api, api_addr) = listen(&ambient, settings.api_listen).await?;
        let admin = match admin {
            None => None,
            Some(admin) => Some((listen(&ambient, admin.listen).await?, admin.token)),
        };
        let admin_addr = admin.as_ref().map(|((_, addr), _)| *addr);
        warn_of_development(verifier.anchors());

        let base = settings.base_domain.clone();
        let clock = Arc::clone(&ambient.clock);
        let store = store::open(&store, &ambient).await?;
        let fleet = FleetChallenges::new(Arc::clone(&store), Arc::clone(&keys), ambient.clone());
        let challenges = Arc::new(ChallengeStore::sharing(Arc::new(fleet.clone())));
        let issuer = issuer(Arc::clone(&challenges)).map_err(StartError::Issuer)?;
        let routes = Arc::new(Routes::default());
        let domains =
            Domains::new(Arc::clone(&chain), Arc::clone(&keys), issuer, store, ambient.clone(), base.clone())
                .with_base_certificate(settings.base_certificate)
                .beside(Arc::clone(&routes));
        let domains = Arc::new(domains);
        domains.restore().await?;

        let revocations =
            Arc::new(Revocations::new(Arc::clone(&chain), Arc::clone(&routes), Arc::clone(&clock)));
        let admission = Admission {
            chain,
            verifier,
            believed: Believed { chain_id: origin.deployed.chain_id, kms_auth: origin.deployed.kms_auth },
            routes: Arc::clone(&routes),
            revocations: Arc::clone(&revocations),
            turns: Turns::default(),
            clock,
            lease: settings.lease,
            base: base.clone(),
        };
        let certificates = Arc::clone(&domains.certificates);
        let served = Arc::clone(&certificates);
        let provenance = Provenance::new(origin, keys, served, Arc::clone(&ambient.clock), base.clone());
        let (lives, watched) = watch::channel(Arc::new(live));
        let reloader = Reloader::new(reload, lives);
        let front = Arc::new(Front::new(front::Parts {
            routes: Arc::clone(&routes),
            certificates: Arc::clone(&certificates),
            challenges,
            fleet,
            ambient: ambient.clone(),
            base,
            lives: watched,
            own: [tls_addr, api_addr].into_iter().chain(admin_addr).collect(),
            pages: provenance::router(Arc::new(provenance)),
        })?);
        let health = http::Health::new();
        let router = api::router(Arc::new(Api::new(admission, Arc::clone(&domains))), health.clone());

        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&front).run(tls, stop.clone()));
        tasks.spawn(check_health(front, ambient.clone(), settings.health_interval, stop.clone()));
        tasks.spawn(http::serve(api, router, stop.clone()));
        if let Some(((listener, _), token)) = admin {
            let (routes, certificates) = (Arc::clone(&routes), Arc::clone(&certificates));
            let admin = Admin { token, routes, certificates, reloader: reloader.clone() };
            tasks.spawn(http::serve(listener, admin::router(Arc::new(admin)), stop.clone()));
        }
        tasks.spawn(sweep(Arc::clone(&revocations), ambient.clone(), stop.clone()));
        tasks.spawn(review(revocations, domains, ambient, health, settings.review, stop.clone()));
        tracing::info!(%tls_addr, %api_addr, ?admin_addr, base = %settings.base_domain, "gateway is up");
        Ok(Running { tls_addr, api_addr, admin_addr, routes, certificates, reloader, stop, tasks })
    }
}

async fn listen(ambient: &Ambient, addr: SocketAddr) -> Result<(Listener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { addr, source };
    let listener = ambient.net.listen(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn warn_of_development(anchors: &TrustAnchors) {
    if anchors.is_development() {
        tracing::warn!(?anchors, "DEVELOPMENT TRUST ANCHORS: evidence proves nothing about real hardware");
    }
}

async fn check_health(front: Arc<Front>, ambient: Ambient, interval: Duration, stop: CancellationToken) {
    while stop.run_until_cancelled(ambient.clock.sleep(interval)).await.is_some() {
        stop.run_until_cancelled(front.check_health(interval)).await;
    }
}

async fn sweep(revocations: Arc<Revocations>, ambient: Ambient, stop: CancellationToken) {
    while stop.run_until_cancelled(ambient.clock.sleep(SWEEP)).await.is_some() {
        revocations.expire();
    }
}

/// Looks at everything at once after the start, then at each interval. Routes and domains do not wait for each other: an
/// order can take minutes.
async fn review(
    revocations: Arc<Revocations>,
    domains: Arc<Domains>,
    ambient: Ambient,
    health: http::Health,
    interval: Duration,
    stop: CancellationToken,
) {
    let routes = async {
        loop {
            report(&health, "routes", revocations.review().await);
            ambient.clock.sleep(interval).await;
        }
    };
    let names = async {
        loop {
            report(&health, "domains", domains.review().await);
            ambient.clock.sleep(interval).await;
        }
    };
    stop.run_until_cancelled(async { tokio::join!(routes, names) }).await;
}

fn report(health: &http::Health, part: &'static str, problem: Option<String>) {
    match problem {
        None => health.ok(part),
        Some(why) => health.fail(part, why),
    }
}

/// A gateway that runs. Dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    /// Where clients connect.
    pub tls_addr: SocketAddr,
    /// Where instances, relayers and operators connect.
    pub api_addr: SocketAddr,
    /// Where operators connect, if they can.
    pub admin_addr: Option<SocketAddr>,
    routes: Arc<Routes>,
    certificates: Arc<Certificates>,
    reloader: Reloader,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// The live routes.
    pub fn routes(&self) -> Vec<wire::Route> {
        self.routes.listing()
    }

    /// The domains that are served, each with its certificate.
    pub fn certificates(&self) -> Vec<wire::IssuedCertificate> {
        let all = self.certificates.all();
        all.iter().map(|served| served.record()).collect()
    }

    /// Takes over what may change while the gateway runs.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Fires to stop the gateway.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Stops accepting, lets requests and connections end for the drain timeout, closes what is still open.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.wait().await;
    }

    /// Waits until the gateway has stopped.
    pub async fn wait(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                // A part that is gone would leave a gateway that looks alive: better none at all.
                tracing::error!(%error, "a part of the gateway failed");
                self.stop.cancel();
            }
        }
    }
}
