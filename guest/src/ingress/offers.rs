// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates that other instances of the app obtained for the same domains: their key is the app's, so this instance may serve
//! them, and authorities let few be issued in a week. They come through gateways, which are not believed: a certificate counts
//! when it is for the app's key and leads to a trusted root, and its account is the one that the authority knows that key by.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mandate_acme::{
    certificate::{Certificate, MAX_CHAIN, MAX_DER, Presented},
    keys::P256Key,
    name::{DomainName, Subject},
};
use mandate_model::wire::gateway::{RegisterResponse, ServedCertificate};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use super::certificates::{Current, Orders, Tries};

/// What each gateway offered last.
pub(super) type Offers = BTreeMap<String, Offer>;

/// What a gateway says of the domains' certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// Those of other instances.
    certificates: Vec<ServedCertificate>,
    /// Domains that another instance is about to obtain one for.
    elsewhere: Vec<String>,
}

/// Notes what a gateway offers; wakes whoever waits when that is something else.
pub(super) fn note(offers: &watch::Sender<Offers>, gateway: &str, answer: &RegisterResponse) {
    let RegisterResponse { certificates, elsewhere, .. } = answer;
    let offer = Offer { certificates: certificates.clone(), elsewhere: elsewhere.clone() };
    offers.send_if_modified(|all| {
        let is_new = all.get(gateway) != Some(&offer);
        if is_new {
            all.insert(gateway.to_owned(), offer);
        }
        is_new
    });
}

impl Orders {
    /// Serves the newest certificate on offer if it is newer than the present one. Tells whether it did.
    pub(super) async fn take_offer(
        &self,
        name: &DomainName,
        key: &Arc<P256Key>,
        current: &mut Option<Current>,
    ) -> bool {
        let since = current.as_ref().map_or(0, |current| current.certificate.not_before());
        for chain in self.newer(name, since) {
            let Some(certificate) = self.recognised(name, key, chain).await else { continue };
            tracing::info!(%name, not_after = certificate.not_after(), "another instance's certificate is served");
            metrics::counter!("mandate_guest_ingress_orders_total", "outcome" => "shared").increment(1);
            self.store(name, certificate.issued().clone()).await;
            *current = Some(self.adopt(certificate).await);
            return true;
        }
        false
    }

    /// Whether every gateway says that another instance is about to obtain the domain's certificate. One that says nothing of
    /// the kind has given this instance the turn.
    pub(super) fn is_elsewhere(&self, name: &DomainName) -> bool {
        let offers = self.offers.borrow();
        let says = |offer: &Offer| offer.elsewhere.iter().any(|elsewhere| elsewhere == name.as_str());
        !offers.is_empty() && offers.values().all(says)
    }

    /// Chains on offer that begin later than `since`, the newest first.
    fn newer(&self, name: &DomainName, since: u64) -> Vec<Vec<CertificateDer<'static>>> {
        let (now, offers) = (self.ambient.clock.unix(), self.offers.borrow());
        let mut newer = Vec::new();
        let all = offers.values().flat_map(|offer| &offer.certificates);
        for offered in all.filter(|offered| offered.name == name.as_str()) {
            let fits =
                offered.chain.len() <= MAX_CHAIN && offered.chain.iter().all(|der| der.len() <= MAX_DER);
            if !fits || offered.issuer != self.config.acme.issuer {
                continue;
            }
            let chain: Vec<_> = offered.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
            match Presented::check(&Subject::Domain(name.clone()), &chain, now) {
                Ok(presented) if presented.not_before > since => newer.push((presented.not_before, chain)),
                Ok(_) => {}
                Err(error) => tracing::warn!(%name, %error, "a gateway offers what is no certificate"),
            }
        }
        newer.sort_by_key(|(from, _)| std::cmp::Reverse(*from));
        newer.dedup();
        newer.into_iter().map(|(_, chain)| chain).collect()
    }

    async fn recognised(
        &self,
        name: &DomainName,
        key: &Arc<P256Key>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Option<Certificate> {
        let refused = |error: &dyn std::fmt::Display| {
            tracing::warn!(%name, %error, "a certificate that a gateway offers is not taken");
        };
        let issued = self.issuer.recognise(name, chain).await.inspect_err(|error| refused(error)).ok()?;
        let now = self.ambient.clock.unix();
        let checked = Certificate::check(Subject::Domain(name.clone()), issued, key.secret(), now);
        checked.inspect_err(|error| refused(error)).ok()
    }

    /// Waits for `wait`, but takes meanwhile what is offered. Nothing is ordered sooner for that: a gateway could have the app
    /// use up what its authority allows.
    pub(super) async fn rest(
        &self,
        name: &DomainName,
        current: &mut Option<Current>,
        tries: &mut Tries,
        wait: Duration,
    ) {
        let clock = self.ambient.clock.as_ref();
        let (mut offers, mut due) = (self.offers.clone(), clock.monotonic().saturating_add(wait));
        loop {
            let left = due.saturating_sub(clock.monotonic());
            let news = async {
                if offers.changed().await.is_err() {
                    futures::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = clock.sleep(left) => return,
                () = news => {}
            }
            let Ok(key) = self.key(name).await else { continue };
            if self.take_offer(name, &key, current).await {
                *tries = Tries::default();
                self.problems.clear(name);
                let wait = current.as_ref().map_or(Duration::ZERO, |now| now.wait(self.ambient.clock.unix()));
                due = clock.monotonic().saturating_add(wait);
            }
        }
    }
}

#[cfg(test)]
mod tests;
