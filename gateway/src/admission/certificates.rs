// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The certificates with which an instance serves its domains: read here, believed when the evidence binds them and the
//! registry gives the domains to its app.

use alloy::primitives::Address;
use mandate_acme::{
    certificate::{CertificateError, MAX_CHAIN, Presented},
    name::{DomainName, Subject},
};
use mandate_model::wire::gateway::{IssuedCertificate, ServedCertificate};
use rustls_pki_types::CertificateDer;

use super::{Admission, RegisterError};
use crate::routes::Reported;

/// Bytes of an issuer's name or an account's URI that `DomainRegistry` takes.
const MAX_TEXT: usize = 512;

/// A certificate of which nobody said yet whose it is.
pub(super) struct Shown {
    name: DomainName,
    served: ServedCertificate,
    presented: Presented,
}

/// Reads what a request shows. One whose time is over, or has not come, is left out: it says nothing against the route.
pub(super) fn read(
    shown: &[ServedCertificate],
    domains: &[DomainName],
    now: u64,
) -> Result<Vec<Shown>, RegisterError> {
    let mut left: Vec<_> = domains.iter().collect();
    let mut all = Vec::new();
    for served in shown {
        let place = left.iter().position(|name| name.as_str() == served.name);
        let unasked = || RegisterError::Unasked { name: served.name.chars().take(64).collect() };
        let name = left.swap_remove(place.ok_or_else(unasked)?).clone();
        if served.issuer.is_empty() || served.issuer.len() > MAX_TEXT || served.account_uri.len() > MAX_TEXT {
            return Err(RegisterError::Text(name));
        }
        match present(&name, served, now) {
            Ok(presented) => all.push(Shown { name, served: served.clone(), presented }),
            Err(why @ CertificateError::Dates { .. }) => {
                tracing::warn!(%name, %why, "certificate is left out")
            }
            Err(source) => return Err(RegisterError::Certificate { name, source }),
        }
    }
    Ok(all)
}

fn present(name: &DomainName, served: &ServedCertificate, now: u64) -> Result<Presented, CertificateError> {
    if served.chain.len() > MAX_CHAIN {
        return Err(CertificateError::Chain);
    }
    let chain: Vec<_> = served.chain.iter().map(|der| CertificateDer::from(der.as_ref())).collect();
    Presented::check(&Subject::Domain(name.clone()), &chain, now)
}

impl Shown {
    /// As a certificate of `app`, whose evidence binds it.
    pub(super) fn of(self, app: Address) -> Reported {
        let Self { name, served, presented } = self;
        let record = IssuedCertificate {
            name: name.to_string(),
            app,
            issuer: served.issuer.clone(),
            account_uri: served.account_uri.clone(),
            fingerprint: presented.fingerprint.into(),
            spki_hash: presented.spki_sha256.into(),
            not_after: presented.not_after,
        };
        Reported { name, record, served, not_before: presented.not_before }
    }
}

impl Admission {
    /// With which instances of the app serve these domains, the newest of each.
    pub(super) fn shared(&self, domains: &[DomainName], app: Address) -> Vec<ServedCertificate> {
        let (now, unix) = (self.clock.monotonic(), self.clock.unix());
        let newest = domains.iter().filter_map(|name| self.routes.newest(name, app, now, unix));
        newest.map(|reported| reported.served.clone()).collect()
    }

    /// The domains without a certificate that another instance obtains.
    pub(super) fn elsewhere(
        &self,
        domains: Vec<DomainName>,
        there: &[ServedCertificate],
        app: Address,
        instance: Address,
    ) -> Vec<String> {
        let wanting = domains.into_iter().filter(|name| there.iter().all(|one| one.name != name.as_str()));
        self.turns.elsewhere(app, instance, wanting, self.clock.monotonic())
    }

    /// Every domain with its certificates, for whoever records them: the gateway's own, and those of instances that end TLS
    /// themselves. Of a domain that is led to instances, theirs alone: what the gateway obtained before shows to nobody.
    pub(crate) fn certificates(&self, own: Vec<IssuedCertificate>) -> Vec<IssuedCertificate> {
        let (now, unix) = (self.clock.monotonic(), self.clock.unix());
        let led =
            |name: &str| DomainName::try_from(name).is_ok_and(|name| self.routes.is_ingress(&name, now));
        let mut all: Vec<_> = own.into_iter().filter(|own| !led(&own.name)).collect();
        all.extend(self.routes.reported(now, unix).iter().map(|reported| reported.record.clone()));
        // Stable: of one name, the newest stays last.
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}
