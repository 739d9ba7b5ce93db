// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Domains that come and go: what was kept is served once it is confirmed; what was released is served no more as soon as
//! the head shows it (G-7), and its certificate is revoked once that is final.

use alloy::primitives::{Address, keccak256};
use mandate_acme::{
    issuer::IssueError,
    name::{DomainName, Subject},
};
use mandate_model::wire::gateway::{DomainRelease, ReleaseEffect};

use super::{Domains, OrderError, path_of};
use crate::{
    certificates::{Certificate, Kept, Served},
    chain::At,
};

impl Domains {
    /// Somebody says that a domain was released. What happens follows from the gateway's own reading of the registry.
    pub async fn release(&self, notice: &DomainRelease) -> ReleaseEffect {
        let Some(name) = self.known(notice) else { return ReleaseEffect::default() };
        let mut problem = None;
        if let Some(served) = self.served(&name) {
            problem = self.review_served(served).await;
        }
        problem = problem.or(self.review_kept(name.clone()).await);
        let served = self.served(&name).is_some();
        let waits = self.unconfirmed().iter().any(|kept| kept.name == name);
        let pending =
            waits || problem.is_some() || (served && self.is_behind(&name, notice.block_number).await);
        tracing::info!(%name, block = notice.block_number, served, pending, "release notice");
        ReleaseEffect { served, pending }
    }

    /// The name behind the notice's hash, when there is a certificate for it here.
    fn known(&self, notice: &DomainRelease) -> Option<DomainName> {
        let is_it = |name: &DomainName| keccak256(name.as_str()) == notice.domain_hash;
        let served = self.certificates.all().iter().map(|s| s.certificate.name().clone()).find(is_it);
        served.or_else(|| self.unconfirmed().iter().map(|kept| kept.name.clone()).find(is_it))
    }

    fn served(&self, name: &DomainName) -> Option<Served> {
        self.certificates.find(name, self.clock.unix())
    }

    async fn is_behind(&self, name: &DomainName, block: u64) -> bool {
        let finalized = self.chain.app_of(name, At::Finalized).await;
        finalized.map_or(true, |holder| holder.block.number < block)
    }

    /// Serves a kept certificate once the registry says that its app still holds the domain, and revokes it once the
    /// finalised chain says that it does not.
    pub(super) async fn review_kept(&self, name: DomainName) -> Option<String> {
        if !self.unconfirmed().iter().any(|kept| kept.name == name) {
            return None;
        }
        let attempts = self.attempts(&Subject::Domain(name.clone()));
        let _one_at_a_time = attempts.lock().await;
        match self.holder(&name).await {
            Ok(app) => self.adopt(&name, Some(app)).await,
            Err(OrderError::NotApproved { .. }) => self.adopt(&name, None).await,
            // The head has taken it away and may give it back: until that is final the certificate waits, unserved.
            Err(OrderError::Changing { .. }) => None,
            Err(undecided) => Some(undecided.to_string()),
        }
    }

    /// Serves the kept certificate of `name` if it was for `app` and still holds, and ends it otherwise. Without the key it
    /// stays kept. Gives what stands in the way.
    pub(super) async fn adopt(&self, name: &DomainName, app: Option<Address>) -> Option<String> {
        let kept = self.unconfirmed().iter().find(|kept| kept.name == *name).cloned()?;
        let key = self.key(&path_of(name, kept.app)).await.ok()?;
        let subject = Subject::Domain(name.clone());
        let checked = Certificate::check(subject, kept.issued.clone(), &key, self.clock.unix());
        match checked {
            Ok(certificate) if Some(kept.app) == app => self.certificates.install(kept.app, certificate),
            Ok(_) => {
                if let Some(problem) = self.revoke(&kept).await {
                    return Some(problem);
                }
                self.forget_unless_served(name).await;
            }
            Err(why) => {
                tracing::info!(%name, app = %kept.app, %why, "kept certificate is not served");
                self.forget_unless_served(name).await;
            }
        }
        self.unconfirmed().retain(|other| other.name != *name || other.app != kept.app);
        None
    }

    /// Has the issuer end the certificate of a domain that was released. What it refuses, it will refuse again.
    async fn revoke(&self, kept: &Kept) -> Option<String> {
        let (name, app) = (&kept.name, kept.app);
        let leaf = kept.issued.chain.first()?;
        let (outcome, problem) = match self.issuer.revoke(name, leaf).await {
            Ok(()) => ("revoked", None),
            Err(error @ (IssueError::Refused { .. } | IssueError::Request { .. })) => {
                tracing::error!(%name, %app, %error, "the certificate of a released domain stays valid until it expires");
                ("refused", None)
            }
            Err(error) => ("failed", Some(error.to_string())),
        };
        metrics::counter!("mandate_gateway_certificates_revoked_total", "outcome" => outcome).increment(1);
        tracing::info!(%name, %app, outcome, "certificate of a released domain");
        problem
    }

    /// The file may be that of another app's certificate by now.
    async fn forget_unless_served(&self, name: &DomainName) {
        if self.served(name).is_none() {
            self.forget(name).await;
        }
    }

    pub(super) async fn review_served(&self, served: Served) -> Option<String> {
        let Served { app, certificate, .. } = &served;
        let (name, app) = (certificate.name(), *app);
        if certificate.is_expired(self.clock.unix()) {
            self.certificates.remove(name, app);
        }
        match self.chain.app_of(name, At::Head).await {
            Ok(holder) if holder.app != Some(app) => {
                tracing::info!(%name, %app, block = holder.block.number, "domain was released");
                if self.certificates.remove(name, app) {
                    self.unconfirmed().push(served.kept());
                }
                None
            }
            Ok(_) if certificate.is_due(self.clock.unix()) => {
                self.order(name.as_str()).await.err().map(|error| error.to_string())
            }
            Ok(_) => None,
            Err(undecided) => {
                tracing::warn!(%name, %undecided, "domain is served on as before");
                Some(undecided.to_string())
            }
        }
    }
}
