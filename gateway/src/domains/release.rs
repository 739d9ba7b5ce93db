// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Domains that go. They are served no more as soon as the head shows it (G-7); their certificates are revoked once what ended
//! them is final and lasting: a release of the domain, or the app's sunset. A pause ends by itself and a suspension can be
//! lifted, so both only stop the serving.

use mandate_acme::issuer::IssueError;
use mandate_model::wire::gateway::{DomainRelease, ReleaseEffect};
use rustls_pki_types::CertificateDer;

use super::{Domains, known::State, review::Right};
use crate::{chain::At, store::Slot};

impl Domains {
    /// Somebody says that a domain was released. What happens follows from the gateway's own reading of the registry.
    pub async fn release(&self, notice: &DomainRelease) -> ReleaseEffect {
        let slots = self.known.of_hash(notice.domain_hash);
        let Some(name) = slots.first().map(|slot| slot.subject.domain().clone()) else {
            return ReleaseEffect::default();
        };
        let mut problem = false;
        for slot in &slots {
            problem |= match self.judge(slot).await {
                Ok(Right::Gone) => self.retire(slot).await.is_some(),
                Ok(Right::Served | Right::Held) => false,
                Err(_) => true,
            };
        }
        let served = self.certificates.find(&name, self.now()).is_some();
        let waits = slots.iter().any(|slot| self.known.get(slot).is_some() && !self.serves(slot));
        let is_behind = served && {
            let finalized = self.chain.app_of(&name, At::Finalized).await;
            finalized.map_or(true, |holder| holder.block.number < notice.block_number)
        };
        let pending = problem || waits || is_behind;
        tracing::info!(%name, block = notice.block_number, served, pending, "release notice");
        ReleaseEffect { served, pending }
    }

    /// Ends the certificate of a name that is gone for good. Gives what stands in the way.
    pub(super) async fn retire(&self, slot: &Slot) -> Option<String> {
        let turn = self.turn(&slot.subject);
        let _turn = turn.lock().await;
        let known = self.known.get(slot)?;
        match &known.state {
            State::Damaged(damaged) => return Some(damaged.to_string()),
            State::Early | State::Expired => {}
            State::Sound(_) => {
                let leaf = known.sound(self.now()).and_then(|certificate| certificate.leaf());
                // Its time may have come to an end by itself.
                if let Some(leaf) = leaf
                    && let Some(problem) = self.revoke(slot, leaf).await
                {
                    return Some(problem);
                }
            }
        }
        let generation = match self.generation().await {
            Ok(generation) => generation,
            Err(error) => return Some(error.to_string()),
        };
        if let Err(problem) = self.retire_superseded(slot).await {
            return Some(problem.to_string());
        }
        if let Err(error) = self.store.forget(generation, slot.clone(), known.digest).await {
            return Some(error.to_string());
        }
        self.known.remove(slot);
        None
    }

    /// Has the issuer end a certificate. What it refuses, it will refuse again.
    pub(super) async fn revoke(&self, slot: &Slot, leaf: &CertificateDer<'static>) -> Option<String> {
        let (outcome, problem) = match self.issuer.revoke(slot.subject.domain(), leaf).await {
            Ok(()) => ("revoked", None),
            Err(error @ (IssueError::Refused { .. } | IssueError::Request { .. })) => {
                tracing::error!(%slot, %error, "the certificate of a released domain stays valid until it expires");
                ("refused", None)
            }
            Err(error) => ("failed", Some(error.to_string())),
        };
        metrics::counter!("mandate_gateway_certificates_revoked_total", "outcome" => outcome).increment(1);
        tracing::info!(%slot, outcome, "certificate of a released domain");
        problem
    }
}
