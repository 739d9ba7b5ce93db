// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Getting the domains' certificates and renewing them in time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use mandate_acme::{
    P256,
    certificate::{Certificate, CertificateError},
    issuer::{CertificateIssuer, CertificateRequest, IssueError},
    keys::{KeyError, KeySource, P256Key},
    name::{DomainName, Subject},
};
use mandate_runtime::{Ambient, entropy, http::Health};
use thiserror::Error;
use tokio::sync::watch;

use super::{INGRESS, IngressConfig, disk, disk::DiskError, server::Shown};

/// The first pause after a failed order; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// How long a certificate is left alone at most before it is looked at again.
const LOOK: Duration = Duration::from_secs(6 * 3_600);

/// Why a domain has no certificate.
#[derive(Debug, Error)]
pub(super) enum OrderError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("{name}: the certificate is refused: {source}")]
    Certificate { name: DomainName, source: CertificateError },
}

/// Everything that is needed for the domains' certificates.
pub(super) struct Orders {
    config: Arc<IngressConfig>,
    ambient: Ambient,
    keys: Arc<dyn KeySource>,
    issuer: Arc<dyn CertificateIssuer>,
    shown: Arc<Shown>,
}

/// A certificate that is served, and when to ask for the next.
struct Current {
    certificate: Certificate,
    renew_at: u64,
}

impl Orders {
    pub(super) fn new(
        config: Arc<IngressConfig>,
        ambient: Ambient,
        keys: Arc<dyn KeySource>,
        issuer: Arc<dyn CertificateIssuer>,
        shown: Arc<Shown>,
    ) -> Self {
        Self { config, ambient, keys, issuer, shown }
    }

    /// Keeps every domain's certificate for as long as it is polled. The authority's validations arrive through a gateway, so
    /// nothing is ordered before one has a route.
    pub(super) async fn keep(&self, mut registered: watch::Receiver<bool>, health: &Health) {
        if registered.wait_for(|there| *there).await.is_err() {
            return;
        }
        let all = self.config.domains.iter().map(|name| self.keep_one(name, health));
        futures::future::join_all(all).await;
    }

    async fn keep_one(&self, name: &DomainName, health: &Health) {
        let mut current = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = match self.look(name, &mut current).await {
                Ok(wait) => {
                    pause = FIRST_PAUSE;
                    health.ok(INGRESS);
                    wait
                }
                Err(error) => {
                    tracing::warn!(%name, %error, "no new certificate");
                    metrics::counter!("mandate_guest_ingress_orders_total", "outcome" => "failed")
                        .increment(1);
                    health.fail(INGRESS, &error);
                    let wait = self.jittered(pause);
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    wait
                }
            };
            self.ambient.clock.sleep(wait).await;
        }
    }

    /// Looks once: serves what is kept, orders what is due, hides what is over. Gives when to look again.
    async fn look(&self, name: &DomainName, current: &mut Option<Current>) -> Result<Duration, OrderError> {
        let key = self.key(name).await?;
        if current.is_none() {
            *current = self.restore(name, &key).await?;
        }
        let now = self.ambient.clock.unix();
        if let Some(served) = current.as_ref().filter(|served| now < served.renew_at) {
            return Ok(Duration::from_secs(served.renew_at - now).min(LOOK));
        }
        let ordered = self.order(name, &key, current.as_ref()).await;
        if ordered.is_err() && current.as_ref().is_some_and(|served| served.certificate.is_expired(now)) {
            self.shown.hide(name);
        }
        let fresh = self.adopt(name, ordered?).await;
        let wait = Duration::from_secs(fresh.renew_at.saturating_sub(now)).min(LOOK);
        *current = Some(fresh);
        Ok(wait)
    }

    async fn key(&self, name: &DomainName) -> Result<Arc<P256Key>, KeyError> {
        P256Key::derive(&self.keys.key(&format!("certificate/{name}"), P256).await?).map(Arc::new)
    }

    /// What was kept, if it holds. One that is over or for another key is ordered anew: the app's generation has changed.
    async fn restore(&self, name: &DomainName, key: &P256Key) -> Result<Option<Current>, OrderError> {
        let Some(dir) = &self.config.certificates else { return Ok(None) };
        let Some(issued) = disk::read(dir, name)? else { return Ok(None) };
        match Certificate::check(Subject::Domain(name.clone()), issued, key, self.ambient.clock.unix()) {
            Ok(certificate) => Ok(Some(self.adopt(name, certificate).await)),
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
        let checked =
            Certificate::check(Subject::Domain(name.clone()), issued, key, self.ambient.clock.unix());
        let certificate = checked.map_err(|source| OrderError::Certificate { name: name.clone(), source })?;
        metrics::counter!("mandate_guest_ingress_orders_total", "outcome" => "issued").increment(1);
        tracing::info!(%name, not_after = certificate.not_after(), "certificate issued");
        self.store(name, kept).await?;
        Ok(certificate)
    }

    async fn store(&self, name: &DomainName, issued: mandate_acme::issuer::Issued) -> Result<(), DiskError> {
        let Some(dir): Option<PathBuf> = self.config.certificates.clone() else { return Ok(()) };
        let name = name.clone();
        let kept = tokio::task::spawn_blocking(move || disk::keep(&dir, &name, &issued)).await;
        // A panic in there is the runtime's end, not a reason to order again.
        kept.unwrap_or(Ok(()))
    }

    /// Serves it, and chooses when to ask for the next: within the authority's window (RFC 9773), or past two thirds of its
    /// life, a little apart from other instances.
    async fn adopt(&self, name: &DomainName, certificate: Certificate) -> Current {
        self.shown.show(name, Arc::clone(certificate.key()));
        let life = certificate.not_after().saturating_sub(certificate.not_before());
        let usual = (certificate.not_before() + life * 2 / 3, life / 30);
        let window = match certificate.leaf() {
            Some(leaf) => self.issuer.renewal(leaf).await.ok().flatten(),
            None => None,
        };
        let (start, width) = window.map_or(usual, |w| (w.start, w.end.saturating_sub(w.start)));
        let renew_at = start.saturating_add(self.random() % width.max(1));
        Current { certificate, renew_at }
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
