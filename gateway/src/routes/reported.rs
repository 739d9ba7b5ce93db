// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates of domains whose TLS instances end themselves. Evidence binds each to the app that the registry gives its
//! domain to (G-1), so they are recorded as the app's; and since their keys are the app's, other instances may serve them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use mandate_acme::name::DomainName;
use mandate_model::wire::gateway::{IssuedCertificate, ServedCertificate};

use super::{Route, Routes};

/// Certificates of one name that are listed: the newest ones.
const PER_NAME: usize = 32;

/// A certificate that an instance serves a domain with, as its evidence binds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The domain.
    pub name: DomainName,
    /// What the registry records of it.
    pub record: IssuedCertificate,
    /// As the instance gave it.
    pub served: ServedCertificate,
    /// From when it is valid, Unix seconds.
    pub not_before: u64,
}

impl Routes {
    /// The certificates of live routes that are valid at `unix`, each once: by name, and the oldest of a name first, so that
    /// who records them in this order has recorded the newest last.
    pub fn reported(&self, now: Duration, unix: u64) -> Vec<Arc<Reported>> {
        let mut found: BTreeMap<DomainName, BTreeMap<(u64, B256), Arc<Reported>>> = BTreeMap::new();
        let table = self.table();
        let live = table.slots.values().filter(|slot| now < slot.term.end());
        for reported in live.flat_map(|slot| slot.route.reported()) {
            if reported.record.not_after > unix {
                let of_name = found.entry(reported.name.clone()).or_default();
                of_name.insert((reported.not_before, reported.record.fingerprint), reported);
            }
        }
        let newest = |of_name: BTreeMap<_, _>| {
            let more = of_name.len().saturating_sub(PER_NAME);
            of_name.into_values().skip(more)
        };
        found.into_values().flat_map(newest).collect()
    }

    /// The newest of one domain, while it is led to instances of that app.
    pub fn newest(&self, name: &DomainName, app: Address, now: Duration, unix: u64) -> Option<Arc<Reported>> {
        let all = self.ingress(name, now).into_iter().filter(|route| route.facts.app == app);
        let all = all.flat_map(|route| route.reported());
        let valid = all.filter(|reported| reported.name == *name && reported.record.not_after > unix);
        valid.max_by_key(|reported| (reported.not_before, reported.record.fingerprint))
    }

    /// Whether instances end the TLS of `name` themselves.
    pub fn is_ingress(&self, name: &DomainName, now: Duration) -> bool {
        !self.ingress(name, now).is_empty()
    }
}

impl Route {
    /// Notes what the instance serves its domains with now.
    pub(super) fn report(&self, certificates: Vec<Arc<Reported>>) {
        *self.certificates() = certificates;
    }

    /// What it serves the domains with that are still its own.
    fn reported(&self) -> Vec<Arc<Reported>> {
        let mut reported = self.certificates().clone();
        reported.retain(|reported| self.ingress(&reported.name).is_some());
        reported
    }
}
