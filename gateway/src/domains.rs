// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Domains: ordering a certificate when the registry, read with proof, gives the domain to an app; serving it for as long
//! as that is so; renewing it in time.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::primitives::Address;
use futures::{StreamExt, stream};
use mandate_acme::{
    P256,
    issuer::{CertificateIssuer, CertificateRequest, IssueError},
    keys::{KeyError, KeySource, P256Key},
    name::{DomainName, NameError, Subject},
};
use mandate_model::wire::gateway::IssuedCertificate;
use mandate_runtime::Clock;
use thiserror::Error;

use crate::{
    certificates::{Certificate, CertificateError, Certificates, DiskError, Kept, disk},
    chain::{At, Chain, Undecided},
};

mod release;

/// The first pause after a failed order; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// Domains that are looked at at a time.
const PARALLEL: usize = 8;
/// Names whose failures are remembered.
const MAX_ATTEMPTS: usize = 4_096;

/// Why a domain gets no certificate.
#[derive(Debug, Error)]
pub enum OrderError {
    /// Not a name.
    #[error("{name:?} is no domain: {source}")]
    Name {
        /// As given.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Names under the base domain belong to the ids.
    #[error("{0} lies under the gateway's base domain, where names are app and instance ids")]
    Base(DomainName),
    /// The registry gives it to nobody.
    #[error("{name} is not approved for any app at block {block}")]
    NotApproved {
        /// The domain.
        name: DomainName,
        /// As of which block.
        block: u64,
    },
    /// Finalised state gives it to an app, and newer state does not.
    #[error(
        "{name} is being released or moved: the finalised block and the newest do not give it to the same app"
    )]
    Changing {
        /// The domain.
        name: DomainName,
    },
    /// The registry could not be read.
    #[error(transparent)]
    Undecided(#[from] Undecided),
    /// It failed a moment ago.
    #[error("ordering {name} failed before; the next attempt is due in {}s", after.as_secs())]
    TooSoon {
        /// The domain.
        name: DomainName,
        /// When to ask again.
        after: Duration,
    },
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The issuer did not give one.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The issuer gave something else.
    #[error("the issuer's certificate is refused: {0}")]
    Certificate(#[from] CertificateError),
}

#[derive(Default)]
struct Attempts {
    failures: u32,
    not_before: Duration,
}

/// The domains of apps.
pub struct Domains {
    /// What is served.
    pub certificates: Arc<Certificates>,
    chain: Arc<dyn Chain>,
    keys: Arc<dyn KeySource>,
    issuer: Arc<dyn CertificateIssuer>,
    dir: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    base: DomainName,
    base_certificate: bool,
    orders: Mutex<HashMap<Subject, Arc<tokio::sync::Mutex<Attempts>>>>,
    unconfirmed: Mutex<Vec<Kept>>,
}

impl fmt::Debug for Domains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domains").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Domains {
    /// No domain is served yet. Under `base` there are ids and no domains.
    pub fn new(
        chain: Arc<dyn Chain>,
        keys: Arc<dyn KeySource>,
        issuer: Arc<dyn CertificateIssuer>,
        clock: Arc<dyn Clock>,
        base: DomainName,
    ) -> Self {
        Self {
            chain,
            keys,
            issuer,
            certificates: Arc::default(),
            dir: None,
            clock,
            base,
            base_certificate: false,
            orders: Mutex::default(),
            unconfirmed: Mutex::default(),
        }
    }

    /// Keeps certificates in `dir` across restarts.
    #[must_use]
    pub fn kept_in(self, dir: Option<PathBuf>) -> Self {
        Self { dir, ..self }
    }

    /// Whether the gateway's own names get a certificate: a wildcard, which an authority gives by DNS-01 alone.
    #[must_use]
    pub fn with_base_certificate(self, base_certificate: bool) -> Self {
        Self { base_certificate, ..self }
    }

    /// Reads the certificates that were kept. Each is served once the registry confirms it, by [`Domains::review`].
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn restore(&self) -> Result<usize, DiskError> {
        let kept = self.dir.as_deref().map(disk::all).transpose()?.unwrap_or_default();
        let count = kept.len();
        *self.unconfirmed() = kept;
        Ok(count)
    }

    fn unconfirmed(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Obtains a certificate for a domain, or gives the one that is served when it will do for some time.
    ///
    /// # Errors
    /// Whatever keeps the domain from having one.
    pub async fn order(&self, name: &str) -> Result<IssuedCertificate, OrderError> {
        let name = self.parse(name)?;
        let app = self.holder(&name).await?;
        let attempts = self.attempts(&Subject::Domain(name.clone()));
        // One order per name at a time: whoever waited finds the certificate there.
        let mut attempts = attempts.lock().await;
        let now = self.clock.unix();
        self.adopt(&name, Some(app)).await;
        let served = self.certificates.find(&name, now);
        if let Some(served) = served.filter(|s| s.app == app && !s.certificate.is_due(now)) {
            return Ok(served.certificate.record(app));
        }
        self.attempt(&name, &mut attempts, self.obtain(&name, app)).await
    }

    /// Makes an attempt, unless it is too soon after those that failed.
    async fn attempt<T>(
        &self,
        name: &DomainName,
        attempts: &mut Attempts,
        attempt: impl Future<Output = Result<T, OrderError>>,
    ) -> Result<T, OrderError> {
        let monotonic = self.clock.monotonic();
        if monotonic < attempts.not_before {
            let after = attempts.not_before.saturating_sub(monotonic);
            return Err(OrderError::TooSoon { name: name.clone(), after });
        }
        let obtained = attempt.await;
        match &obtained {
            Ok(_) => *attempts = Attempts::default(),
            // That the gateway's own keys are not to be had yet says nothing about the authority.
            Err(OrderError::Key(_) | OrderError::Issue(IssueError::Key(_))) => {}
            Err(error) => {
                attempts.failures = attempts.failures.saturating_add(1);
                attempts.not_before = self.clock.monotonic().saturating_add(pause_after(attempts.failures));
                tracing::warn!(%name, %error, failures = attempts.failures, "no certificate");
            }
        }
        metrics::counter!("mandate_gateway_orders_total", "outcome" => if obtained.is_ok() { "issued" } else { "failed" })
            .increment(1);
        obtained
    }

    fn parse(&self, name: &str) -> Result<DomainName, OrderError> {
        let shown = || name.chars().take(64).collect();
        let name = DomainName::try_from(name).map_err(|source| OrderError::Name { name: shown(), source })?;
        match name.is_within(&self.base) {
            true => Err(OrderError::Base(name)),
            false => Ok(name),
        }
    }

    /// The app that may serve `name`: by finalised state, and still by the newest (G-1, G-7).
    async fn holder(&self, name: &DomainName) -> Result<Address, OrderError> {
        let finalized = self.chain.app_of(name, At::Finalized).await?;
        let Some(app) = finalized.app else {
            return Err(OrderError::NotApproved { name: name.clone(), block: finalized.block.number });
        };
        match self.chain.app_of(name, At::Head).await?.app == Some(app) {
            true => Ok(app),
            false => Err(OrderError::Changing { name: name.clone() }),
        }
    }

    fn attempts(&self, subject: &Subject) -> Arc<tokio::sync::Mutex<Attempts>> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.len() >= MAX_ATTEMPTS {
            // Only approved names get here. Those under way are kept, the pauses of the others are forgotten.
            orders.retain(|_, attempts| Arc::strong_count(attempts) > 1);
        }
        Arc::clone(orders.entry(subject.clone()).or_default())
    }

    async fn key(&self, path: &str) -> Result<Arc<P256Key>, KeyError> {
        P256Key::derive(&self.keys.key(path, P256).await?).map(Arc::new)
    }

    async fn obtain(&self, name: &DomainName, app: Address) -> Result<IssuedCertificate, OrderError> {
        let key = self.key(&path_of(name, app)).await?;
        let request = CertificateRequest::new(Subject::Domain(name.clone()), Arc::clone(&key));
        let issued = self.issuer.issue(&request).await?;
        // Validation takes its time: what was approved before may have been released since.
        if self.holder(name).await? != app {
            return Err(OrderError::Changing { name: name.clone() });
        }
        let now = self.clock.unix();
        let certificate = Certificate::check(request.subject().clone(), issued, &key, now)?;
        let record = certificate.record(app);
        if let Some(others) = self.certificates.find(name, now).filter(|before| before.app != app) {
            self.unconfirmed().push(others.kept());
        }
        self.certificates.install(app, certificate.clone());
        tracing::info!(%name, %app, fingerprint = %record.fingerprint, not_after = record.not_after, "certificate issued");
        self.on_disk(move |dir| disk::keep(dir, app, &certificate)).await;
        Ok(record)
    }

    /// Orders the certificate of the gateway's own names when there is none or it is due.
    async fn review_base(&self) -> Option<String> {
        let now = self.clock.unix();
        if !self.base_certificate || self.certificates.base(now).is_some_and(|base| !base.is_due(now)) {
            return None;
        }
        let attempts = self.attempts(&Subject::Wildcard(self.base.clone()));
        let mut attempts = attempts.lock().await;
        self.attempt(&self.base, &mut attempts, self.obtain_base()).await.err().map(|error| error.to_string())
    }

    async fn obtain_base(&self) -> Result<(), OrderError> {
        let key = self.key(&format!("certificate/base/{}", self.base)).await?;
        let request = CertificateRequest::new(Subject::Wildcard(self.base.clone()), Arc::clone(&key));
        let issued = self.issuer.issue(&request).await?;
        let certificate = Certificate::check(request.subject().clone(), issued, &key, self.clock.unix())?;
        tracing::info!(?certificate, "certificate of the gateway's own names issued");
        self.certificates.install_base(certificate);
        Ok(())
    }

    /// Looks at every domain again: serves what is confirmed now, drops what was released, renews what is due. Undecided
    /// answers change nothing (G-6). Gives the first problem, if there was one.
    pub async fn review(&self) -> Option<String> {
        // Neither waits for the other: an order takes its time.
        let (base, domains) = futures::join!(self.review_base(), self.review_domains());
        base.or(domains)
    }

    async fn review_domains(&self) -> Option<String> {
        let kept = stream::iter(self.unconfirmed().clone());
        let kept = kept.map(|kept| self.review_kept(kept.name)).buffer_unordered(PARALLEL);
        let problem = kept.fold(None, async |first, one| first.or(one)).await;
        let served = stream::iter(self.certificates.all());
        let served = served.map(|served| self.review_served(served)).buffer_unordered(PARALLEL);
        served.fold(problem, async |first, one| first.or(one)).await
    }

    async fn forget(&self, name: &DomainName) {
        let name = name.clone();
        self.on_disk(move |dir| disk::forget(dir, &name)).await;
    }

    /// A certificate that cannot be kept is still served: it is ordered again after a restart.
    async fn on_disk(&self, write: impl FnOnce(&std::path::Path) -> Result<(), DiskError> + Send + 'static) {
        let Some(dir) = self.dir.clone() else { return };
        let written = tokio::task::spawn_blocking(move || write(&dir)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "certificate directory");
        }
    }
}

/// The app is in the path, so a domain that moves to another app gets another key.
fn path_of(name: &DomainName, app: Address) -> String {
    format!("certificate/{}/{name}", hex::encode(app))
}

fn pause_after(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
