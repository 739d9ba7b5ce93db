// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates that somebody else brings: one instance of an app obtained it, another one is to serve it. Who carries it in
//! between is not believed.

use std::{fmt, sync::Arc, time::Duration};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{AcmeIssuer, Problem};
use crate::{
    http::public_roots,
    issuer::{IssueError, Issued},
    name::DomainName,
};

/// What certificates have to lead to.
pub(super) struct Roots {
    store: Arc<RootCertStore>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.store.len())
    }
}

impl Roots {
    /// The public ones, and `extra`.
    pub(super) fn new(extra: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut store = public_roots();
        for root in extra {
            store.add(root.clone())?;
        }
        let store = Arc::new(store);
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&store), provider).build();
        let verifier = verifier.map_err(|e| rustls::Error::General(e.to_string()))?;
        Ok(Self { store, verifier })
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.store)
    }

    fn lead(&self, name: &DomainName, chain: &[CertificateDer<'_>], now: u64) -> Result<(), rustls::Error> {
        let (leaf, rest) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let server = ServerName::try_from(name.as_str())
            .map_err(|e| rustls::Error::General(format!("{name} is no server name: {e}")))?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        self.verifier.verify_server_cert(leaf, rest, &server, &[], now).map(drop)
    }
}

impl AcmeIssuer {
    /// It must lead to a root, or whoever brings it could have us serve one that no browser takes. The account is asked for
    /// and not taken from him: CAA pins it.
    pub(super) async fn known(
        &self,
        name: &DomainName,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Issued, Problem> {
        let issuer = self.config.issuer.clone();
        self.roots.lead(name, &chain, self.ambient.clock.unix()).map_err(|e| IssueError::Refused {
            issuer: issuer.clone(),
            name: name.clone(),
            what: format!("a certificate that somebody else brought: {e}"),
        })?;
        let account_uri = self.account().await?.id().to_owned();
        Ok(Issued { chain, issuer, account_uri })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;

    /// 2026-09-21.
    const NOW: u64 = 1_790_000_000;

    fn authority() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test root");
        params
    }

    #[test]
    fn attack_certificate_leads_to_a_root_for_its_name_in_its_time_or_is_not_known() {
        let (root_key, other_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority().self_signed(&root_key).unwrap().der().clone();
        let leaf = |key: &KeyPair, name: &str| {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
            let own = KeyPair::generate().unwrap();
            params.signed_by(&own, &Issuer::new(authority(), key)).unwrap().der().clone()
        };
        let roots = Roots::new(&[root]).unwrap();
        let name: DomainName = "app.example.org".parse().unwrap();
        let good = leaf(&root_key, "app.example.org");
        roots.lead(&name, std::slice::from_ref(&good), NOW).unwrap();
        // As an impostor would make it: the same names, another key.
        roots.lead(&name, &[leaf(&other_key, "app.example.org")], NOW).unwrap_err();
        roots.lead(&name, &[leaf(&root_key, "other.example.org")], NOW).unwrap_err();
        roots.lead(&name, std::slice::from_ref(&good), NOW + 365 * 86_400).unwrap_err();
        roots.lead(&name, &[], NOW).unwrap_err();
    }
}
