// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Getting the domains' certificates and renewing them in time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use mandate_acme::{
    P256,
    certificate::{Certificate, CertificateError},
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued},
    keys::{KeyError, KeySource, P256Key},
    name::{DomainName, Subject},
};
use mandate_runtime::{Ambient, clock::within, entropy};
use thiserror::Error;
use tokio::sync::watch;

use super::{IngressConfig, disk, disk::DiskError, offers::Offers, problems::Problems, server::Shown};

/// The first pause after an authority was not reached, and the longest; each failure doubles it.
const UNREACHED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));
/// The same after it said no. Authorities count failed validations, and let few of them happen in an hour.
const REFUSED: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(2 * 3_600));
/// An authority that wants to be left alone is, but not for longer than this.
const LEFT_ALONE: Duration = Duration::from_secs(24 * 3_600);
/// How long a certificate is left alone at most before it is looked at again, and its authority asked when to renew it.
const LOOK: Duration = Duration::from_secs(6 * 3_600);
/// How often the authority is asked at most.
const SOONEST_LOOK: Duration = Duration::from_secs(60);
/// How long another instance is waited for at a time, and how often. Who says that there is one is a gateway, and an app must not
/// stay without a certificate by a gateway's word.
const ELSEWHERE: (Duration, u32) = (Duration::from_secs(20), 15);
/// What [`Problems`] calls the directory.
const DIRECTORY: &str = "certificates";

/// Why a domain has no certificate.
#[derive(Debug, Error)]
pub(super) enum OrderError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("{name}: another instance of the app is about to obtain the certificate")]
    Elsewhere { name: DomainName },
    #[error("{name}: the certificate is refused: {source}")]
    Certificate { name: DomainName, source: CertificateError },
}

/// Everything that is needed for the domains' certificates.
pub(super) struct Orders {
    pub(super) config: Arc<IngressConfig>,
    pub(super) ambient: Ambient,
    pub(super) keys: Arc<dyn KeySource>,
    pub(super) issuer: Arc<dyn CertificateIssuer>,
    pub(super) shown: Arc<Shown>,
    pub(super) problems: Arc<Problems>,
    /// What gateways offer of other instances.
    pub(super) offers: watch::Receiver<Offers>,
}

/// A certificate that is served, and when to ask for the next. Times are Unix seconds.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) certificate: Certificate,
    /// In which the next one is to be ordered, and the moment in it that was drawn.
    window: Window,
    pub(super) renew_at: u64,
    /// When to ask the authority again what it thinks of that.
    ask_at: u64,
}

/// What was in vain since the last certificate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tries {
    /// One failure after the other, by which pauses grow.
    failures: u32,
    /// How often another instance was waited for.
    awaited: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    start: u64,
    end: u64,
}

impl Window {
    /// Past two thirds of the certificate's life.
    fn usual(certificate: &Certificate) -> Self {
        let life = certificate.not_after().saturating_sub(certificate.not_before());
        let start = certificate.not_after().saturating_sub(life / 3);
        Self { start, end: start.saturating_add(life / 30) }
    }

    /// Not so late that a failure could not be mended any more.
    fn in_time(self, certificate: &Certificate) -> Self {
        let life = certificate.not_after().saturating_sub(certificate.not_before());
        let last = certificate.not_after().saturating_sub(life / 10);
        Self { start: self.start.min(last), end: self.end.min(last) }
    }
}

impl Orders {
    /// Keeps every domain's certificate for as long as it is polled. The authority's validations arrive through a gateway, so
    /// nothing is ordered before one has a route.
    pub(super) async fn keep(&self, mut registered: watch::Receiver<bool>) {
        if registered.wait_for(|there| *there).await.is_err() {
            return;
        }
        let all = self.config.domains.iter().map(|name| self.keep_one(name));
        futures::future::join_all(all).await;
    }

    async fn keep_one(&self, name: &DomainName) {
        let (mut current, mut tries) = (None, Tries::default());
        loop {
            let wait = self.step(name, &mut current, &mut tries).await;
            self.rest(name, &mut current, &mut tries, wait).await;
        }
    }

    /// Looks once, says what came of it, and gives how long to wait.
    pub(super) async fn step(
        &self,
        name: &DomainName,
        current: &mut Option<Current>,
        tries: &mut Tries,
    ) -> Duration {
        let error = match self.look(name, current, tries.awaited).await {
            Ok(wait) => {
                *tries = Tries::default();
                self.problems.clear(name);
                return wait;
            }
            Err(error) => error,
        };
        tracing::warn!(%name, %error, "no new certificate");
        self.problems.set(name, &error);
        let wait = self.jittered(pause(&error, tries.failures));
        // To wait for another instance is no failure of the authority's, which is to be left alone for the longer.
        let (outcome, count) = match error {
            OrderError::Elsewhere { .. } => ("awaited", &mut tries.awaited),
            _ => ("failed", &mut tries.failures),
        };
        *count = count.saturating_add(1);
        metrics::counter!("mandate_guest_ingress_orders_total", "outcome" => outcome).increment(1);
        wait
    }

    /// Serves what is kept or what another instance has, orders what is due. The first one is left to another instance that is
    /// about to obtain it, unless that fails for too long.
    async fn look(
        &self,
        name: &DomainName,
        current: &mut Option<Current>,
        awaited: u32,
    ) -> Result<Duration, OrderError> {
        let key = self.key(name).await?;
        if current.is_none() {
            *current = self.restore(name, &key).await?;
        }
        self.take_offer(name, &key, current).await;
        let now = self.ambient.clock.unix();
        if let Some(served) = current.as_mut() {
            if now >= served.ask_at {
                self.ask(served).await;
            }
            if now < served.renew_at {
                return Ok(served.wait(now));
            }
        }
        if current.is_none() && awaited < ELSEWHERE.1 && self.is_elsewhere(name) {
            return Err(OrderError::Elsewhere { name: name.clone() });
        }
        let certificate = self.order(name, &key, current.as_ref()).await?;
        let fresh = self.adopt(certificate).await;
        let wait = fresh.wait(now);
        *current = Some(fresh);
        Ok(wait)
    }

    pub(super) async fn key(&self, name: &DomainName) -> Result<Arc<P256Key>, KeyError> {
        P256Key::derive(&self.keys.key(&format!("certificate/{name}"), P256).await?).map(Arc::new)
    }

    /// What was kept, if it holds. One that is over or for another key is ordered anew: the app's generation has changed.
    async fn restore(&self, name: &DomainName, key: &P256Key) -> Result<Option<Current>, OrderError> {
        let Some(dir) = self.config.certificates.clone() else { return Ok(None) };
        let wanted = name.clone();
        let Some(issued) = on_disk(move || disk::read(&dir, &wanted)).await? else { return Ok(None) };
        let now = self.ambient.clock.unix();
        match Certificate::check(Subject::Domain(name.clone()), issued, key.secret(), now) {
            Ok(certificate) => Ok(Some(self.adopt(certificate).await)),
            Err(why @ (CertificateError::Dates { .. } | CertificateError::Key)) => {
                tracing::info!(%name, %why, "the kept certificate is not served");
                Ok(None)
            }
            Err(source) => Err(OrderError::Certificate { name: name.clone(), source }),
        }
    }

    async fn order(
        &self,
        name: &DomainName,
        key: &Arc<P256Key>,
        before: Option<&Current>,
    ) -> Result<Certificate, OrderError> {
        let predecessor = before.and_then(|current| current.certificate.leaf()).cloned();
        let request =
            CertificateRequest::new(Subject::Domain(name.clone()), Arc::clone(key)).replacing(predecessor);
        let issued = self.issuer.issue(&request).await?;
        let kept = issued.clone();
        let now = self.ambient.clock.unix();
        let checked = Certificate::check(Subject::Domain(name.clone()), issued, key.secret(), now);
        let certificate = checked.map_err(|source| OrderError::Certificate { name: name.clone(), source })?;
        metrics::counter!("mandate_guest_ingress_orders_total", "outcome" => "issued").increment(1);
        // Who pins the account in CAA needs its URI.
        tracing::info!(%name, account = kept.account_uri, not_after = certificate.not_after(), "certificate issued");
        self.store(name, kept).await;
        Ok(certificate)
    }

    /// That it cannot be kept is no reason not to serve it, nor to order another one.
    pub(super) async fn store(&self, name: &DomainName, issued: Issued) {
        let Some(dir): Option<PathBuf> = self.config.certificates.clone() else { return };
        let name = name.clone();
        match on_disk(move || disk::keep(&dir, &name, &issued)).await {
            Ok(()) => self.problems.clear(DIRECTORY),
            Err(error) => {
                tracing::error!(%error, "a certificate is served that a restart would order anew");
                self.problems.set(DIRECTORY, error);
            }
        }
    }

    /// Serves it, and chooses when to ask for the next.
    pub(super) async fn adopt(&self, certificate: Certificate) -> Current {
        self.shown.show(certificate.clone());
        let window = Window::usual(&certificate);
        let renew_at = self.within(window);
        let mut fresh = Current { certificate, window, renew_at, ask_at: 0 };
        self.ask(&mut fresh).await;
        fresh
    }

    /// Asks the authority when it would like the certificate renewed (RFC 9773). The moment is drawn anew only when that
    /// changes.
    async fn ask(&self, current: &mut Current) {
        let limit = self.config.acme.timeout;
        let suggested = match current.certificate.leaf() {
            Some(leaf) => within(self.ambient.clock.as_ref(), limit, self.issuer.renewal(leaf)).await,
            None => None,
        };
        let suggested = suggested.and_then(|answer| {
            answer.inspect_err(|error| tracing::debug!(%error, "no suggestion when to renew")).ok().flatten()
        });
        let (window, again) = match suggested {
            Some(window) => {
                let again = window.again_after.clamp(SOONEST_LOOK, LOOK);
                (Window { start: window.start, end: window.end }.in_time(&current.certificate), again)
            }
            None => (Window::usual(&current.certificate), LOOK),
        };
        if window != current.window {
            (current.window, current.renew_at) = (window, self.within(window));
        }
        current.ask_at = self.ambient.clock.unix().saturating_add(again.as_secs());
    }

    /// A moment in the window, apart from those that other instances draw.
    fn within(&self, window: Window) -> u64 {
        let width = window.end.saturating_sub(window.start).max(1);
        window.start.saturating_add(self.random() % width)
    }

    fn random(&self) -> u64 {
        u64::from_be_bytes(entropy::bytes(&*self.ambient.entropy))
    }

    /// A quarter more or less, so that instances which failed together do not come back together.
    fn jittered(&self, pause: Duration) -> Duration {
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(millis - millis / 4 + self.random() % (millis / 2).max(1))
    }
}

impl Current {
    pub(super) fn wait(&self, now: u64) -> Duration {
        let next = self.renew_at.min(self.ask_at);
        Duration::from_secs(next.saturating_sub(now)).min(LOOK)
    }
}

/// How long to wait after this many failures before, and now this one.
fn pause(error: &OrderError, failures: u32) -> Duration {
    let (first, longest) = match error {
        OrderError::Issue(IssueError::RateLimited { after, .. }) => {
            return (*after).clamp(UNREACHED.0, LEFT_ALONE);
        }
        OrderError::Elsewhere { .. } => return ELSEWHERE.0,
        OrderError::Issue(
            IssueError::Refused { .. } | IssueError::NoChallenge { .. } | IssueError::Caa { .. },
        )
        | OrderError::Certificate { .. } => REFUSED,
        _ => UNREACHED,
    };
    first.saturating_mul(1 << failures.min(16)).min(longest)
}

/// A panic in there is the runtime's end, and nothing else of the agent's goes on either.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DiskError> + Send + 'static,
) -> Result<T, DiskError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(DiskError::Io { path: PathBuf::new(), source: std::io::Error::other(error) }),
    }
}

#[cfg(test)]
mod tests;
