// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Orders: one at a time per name across the fleet. Whoever does not have the claim waits for the other's certificate.

use std::time::Duration;

use mandate_acme::{
    issuer::{CertificateRequest, IssueError},
    name::Subject,
};
use mandate_runtime::entropy;

use super::{
    Domains, OrderError,
    known::{Known, State},
};
use crate::{
    certificates::Certificate,
    store::{Claim, Failure, LEASE, Record, Slot},
};

/// The first pause after a failed order; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// The longest that an authority can make one name wait: some limits of public ones count weeks.
const LONGEST_LIMIT: Duration = Duration::from_secs(7 * 86_400);
/// How long all other names wait when one was limited. Nothing tells a limit of the account from one of the name: this way
/// the first costs one refused order a minute, and the second holds up nobody for long.
const AUTHORITY_PAUSE: Duration = Duration::from_secs(60);

/// How often the other's certificate is looked for, and for how long.
const POLL: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What to do while another gateway orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Wait for what comes of it.
    Wait,
    /// Come back later.
    None,
}

impl Domains {
    /// A certificate that is valid and not due: the fleet's, or a new one. It is served from now on.
    pub(super) async fn obtain(&self, slot: &Slot, patience: Patience) -> Result<Certificate, OrderError> {
        let started = self.ambient.clock.monotonic();
        loop {
            if let Some(obtained) = self.try_obtain(slot).await? {
                return Ok(obtained);
            }
            let waited = self.ambient.clock.monotonic().saturating_sub(started);
            if patience == Patience::None || waited >= LONGEST_WAIT {
                return Err(OrderError::Elsewhere(slot.subject.clone()));
            }
            self.ambient.clock.sleep(POLL).await;
        }
    }

    /// None while another gateway is at it.
    async fn try_obtain(&self, slot: &Slot) -> Result<Option<Certificate>, OrderError> {
        let turn = self.turn(&slot.subject);
        let _turn = turn.lock().await;
        if let Some(certificate) = self.fresh(slot).await? {
            return Ok(Some(certificate));
        }
        match self.store.claim(slot.subject.clone()).await? {
            Claim::Elsewhere => Ok(None),
            Claim::TooSoon { after } => Err(OrderError::TooSoon { subject: slot.subject.clone(), after }),
            // Another may have finished since, and given its claim back.
            Claim::Taken { failures } => match self.fresh(slot).await {
                Ok(None) => self.place(slot, failures).await.map(Some),
                found => {
                    self.store.let_go(slot.subject.clone()).await?;
                    found
                }
            },
        }
    }

    /// The fleet's certificate, served, if there is one that will do for some time.
    async fn fresh(&self, slot: &Slot) -> Result<Option<Certificate>, OrderError> {
        let parent = self.keys.parent().await?;
        let kept = self.read(&parent, parent.generation()?, slot).await?;
        let now = self.now();
        // Of a row that is gone, what was good in memory stays so; what was damaged has been removed for that.
        let held = || self.known.get(slot).filter(|known| known.sound(now).is_some());
        let Some(known) = kept.or_else(held) else { return Ok(None) };
        match &known.state {
            State::Damaged(damaged) => Err(OrderError::Damaged(damaged.clone())),
            State::Sound(certificate) if !known.is_due(certificate, now) => {
                self.serve(slot, certificate).await?;
                Ok(Some(certificate.clone()))
            }
            _ => Ok(None),
        }
    }

    /// Serves it from now on, once the chain confirms that its app may have it. What was asked before may have changed:
    /// validation takes its time.
    async fn serve(&self, slot: &Slot, certificate: &Certificate) -> Result<(), OrderError> {
        let name = slot.subject.domain();
        let Some(app) = slot.app else {
            self.certificates.install_base(certificate.clone());
            return Ok(());
        };
        let is_served = self
            .certificates
            .find(name, self.now())
            .is_some_and(|served| served.app == app && served.certificate.leaf() == certificate.leaf());
        if !is_served {
            if self.holder(name).await? != app {
                return Err(OrderError::Changing { name: name.clone() });
            }
            self.certificates.install(app, certificate.clone());
        }
        Ok(())
    }

    /// Orders under this gateway's claim, and ends it.
    async fn place(&self, slot: &Slot, failures: u32) -> Result<Certificate, OrderError> {
        let ordered = self.while_claimed(&slot.subject, self.issue(slot)).await;
        let outcome = if ordered.is_ok() { "issued" } else { "failed" };
        metrics::counter!("mandate_gateway_orders_total", "outcome" => outcome).increment(1);
        match ordered {
            Ok(certificate) => self.keep(slot, certificate).await,
            Err(error) => {
                self.note(slot, failures.saturating_add(1), &error).await;
                Err(error)
            }
        }
    }

    async fn issue(&self, slot: &Slot) -> Result<Certificate, OrderError> {
        let key = std::sync::Arc::new(self.keys.parent().await?.key(slot)?);
        let now = self.now();
        let before = self.known.get(slot).and_then(|known| known.sound(now).and_then(|c| c.leaf().cloned()));
        let request =
            CertificateRequest::new(slot.subject.clone(), std::sync::Arc::clone(&key)).replacing(before);
        let issued = self.issuer.issue(&request).await?;
        Ok(Certificate::check(slot.subject.clone(), issued, key.secret(), self.now())?)
    }

    /// Renews the claim while the order runs; an order whose claim is lost is given up.
    async fn while_claimed<T>(
        &self,
        subject: &Subject,
        order: impl Future<Output = Result<T, OrderError>>,
    ) -> Result<T, OrderError> {
        let renew = async {
            loop {
                self.ambient.clock.sleep(LEASE / 3).await;
                match self.store.extend(subject.clone()).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => tracing::warn!(%subject, %error, "claim of an order is not renewed"),
                }
            }
        };
        tokio::select! {
            biased;
            ordered = order => ordered,
            () = renew => Err(OrderError::Elsewhere(subject.clone())),
        }
    }

    /// Keeps it for the fleet before it counts. One that cannot be kept is served all the same: the authority has counted it.
    async fn keep(&self, slot: &Slot, certificate: Certificate) -> Result<Certificate, OrderError> {
        let (obtained_at, issued) = (self.now(), certificate.issued().clone());
        let record = Record { slot: slot.clone(), issued, obtained_at, plan: None };
        let digest = record.digest();
        let generation = self.keys.parent().await?.generation()?;
        let is_kept = match self.store.complete(generation, record).await {
            Ok(true) => true,
            // It took longer than the claim held, and another gateway has begun anew.
            Ok(false) => return Err(OrderError::Elsewhere(slot.subject.clone())),
            Err(error) => {
                tracing::error!(%slot, %error, "certificate is not kept");
                false
            }
        };
        tracing::info!(%slot, %digest, not_after = certificate.not_after(), "certificate issued");
        if let Err(error) = self.forget_expired(slot).await {
            tracing::error!(%slot, %error, "superseded certificates are not looked through");
        }
        let state = State::Sound(certificate.clone());
        self.known.put(slot.clone(), Known { digest, plan: None, obtained_at, state, is_kept });
        self.serve(slot, &certificate).await?;
        Ok(certificate)
    }

    async fn note(&self, slot: &Slot, failures: u32, error: &OrderError) {
        let subject = slot.subject.clone();
        let noted = match error {
            // That the gateway's own keys are not to be had yet says nothing about the authority.
            OrderError::Key(_) | OrderError::Issue(IssueError::Key(_)) => self.store.let_go(subject).await,
            error => {
                tracing::warn!(%slot, %error, failures, "no certificate");
                let (pause, authority) = match error {
                    OrderError::Issue(IssueError::RateLimited { after, .. }) => {
                        ((*after).min(LONGEST_LIMIT), (*after).min(AUTHORITY_PAUSE))
                    }
                    _ => (self.jittered(pause_after(failures)), Duration::ZERO),
                };
                let failure = Failure { failures, pause, authority, error: error.to_string() };
                self.store.fail(subject, failure).await
            }
        };
        if let Err(error) = noted {
            tracing::error!(%slot, %error, "failed order is not noted");
        }
    }

    /// Half of it, and up to as much again: a fleet and its names should not come back in step.
    fn jittered(&self, pause: Duration) -> Duration {
        let half = pause / 2;
        half.saturating_add(Duration::from_millis(self.uniform(u64::try_from(half.as_millis()).unwrap_or(0))))
    }

    /// A number from 0 to `most`. The bias of the remainder is below 2⁻³⁰ for all that is asked here.
    pub(super) fn uniform(&self, most: u64) -> u64 {
        u64::from_be_bytes(entropy::bytes(self.ambient.entropy.as_ref())) % most.saturating_add(1).max(1)
    }
}

fn pause_after(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_doubles_up_to_an_hour() {
        assert_eq!(pause_after(1), Duration::from_secs(1));
        assert_eq!(pause_after(5), Duration::from_secs(16));
        assert_eq!(pause_after(13), LONGEST_PAUSE);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}
