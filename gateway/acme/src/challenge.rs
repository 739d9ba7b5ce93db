// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers to TLS-ALPN-01 challenges (RFC 8737): for the time of an order, the listener shows the ACME authority a
//! certificate that carries the digest of the key authorization.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use mandate_runtime::Entropy;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    issuer::signing_key,
    keys::{KeyError, P256Key, certified_key},
    name::DomainName,
};

/// Why a challenge cannot be answered.
#[derive(Debug, Error)]
pub enum ChallengeError {
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No certificate.
    #[error("challenge certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls does not take it.
    #[error("challenge certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// The others would not answer for it.
    #[error("the challenge is not shared: {0}")]
    Shared(String),
}

/// Shows the challenges of one's orders to all who may be asked about them: several listeners behind one name.
pub trait SharedChallenges: Send + Sync + fmt::Debug {
    /// Shares the SHA-256 of a key authorization for `name`, for at most so long.
    fn open<'a>(
        &'a self,
        name: &'a DomainName,
        key_authorization: [u8; 32],
        life: Duration,
    ) -> BoxFuture<'a, Result<(), ChallengeError>>;

    /// Takes it back.
    fn close(&self, name: DomainName, key_authorization: [u8; 32]) -> BoxFuture<'static, ()>;
}

/// The challenges that are open.
#[derive(Default)]
pub struct ChallengeStore {
    open: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    shared: Option<Arc<dyn SharedChallenges>>,
}

impl ChallengeStore {
    /// Shares what it answers.
    pub fn sharing(shared: Arc<dyn SharedChallenges>) -> Self {
        Self { open: Mutex::default(), shared: Some(shared) }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers for `name` with the SHA-256 of the key authorization until the answer is dropped. Who shares it answers for
    /// `life` at most, should this one die.
    ///
    /// # Errors
    /// When the certificate cannot be made, or not shared: the authority may ask the others.
    pub async fn answer(
        self: &Arc<Self>,
        name: &DomainName,
        key_authorization: [u8; 32],
        life: Duration,
        entropy: &dyn Entropy,
    ) -> Result<Answer, ChallengeError> {
        let certified = certificate(name, key_authorization, entropy)?;
        self.open().insert(name.to_string(), Arc::new(certified));
        // Made first, so that what is shared is taken back whatever happens.
        let answer = Answer { store: Arc::clone(self), name: name.clone(), key_authorization };
        if let Some(shared) = &self.shared {
            shared.open(name, key_authorization, life).await?;
        }
        Ok(answer)
    }

    /// Whether somebody waits for a validation of `name`.
    pub fn is_open(&self, name: &str) -> bool {
        self.open().contains_key(name)
    }
}

impl fmt::Debug for ChallengeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.open().keys()).finish()
    }
}

impl ResolvesServerCert for ChallengeStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.open().get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}

/// An answer that stands. Dropping it takes it back.
#[derive(Debug)]
#[must_use = "the challenge is answered for as long as this lives"]
pub struct Answer {
    store: Arc<ChallengeStore>,
    name: DomainName,
    key_authorization: [u8; 32],
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.store.open().remove(self.name.as_str());
        let (Some(shared), Ok(runtime)) = (&self.store.shared, tokio::runtime::Handle::try_current()) else {
            return;
        };
        // Nobody waits for that: the authority has asked, and the others forget it by themselves.
        runtime.spawn(shared.close(self.name.clone(), self.key_authorization));
    }
}

/// RFC 8737 section 3: self-signed, the name as its one alternative name, the digest in a critical extension. Its key is of no
/// meaning, so that whoever knows the digest can make one.
///
/// # Errors
/// When it cannot be made.
pub fn certificate(
    name: &DomainName,
    key_authorization: [u8; 32],
    entropy: &dyn Entropy,
) -> Result<CertifiedKey, ChallengeError> {
    let mut material = Zeroizing::new([0; 32]);
    entropy.fill(material.as_mut_slice());
    let key = P256Key::derive(&material)?;
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&key_authorization)];
    let certificate = params.self_signed(&signing_key(&key)?)?;
    Ok(certified_key(vec![certificate.der().clone()], &key)?)
}

#[cfg(test)]
mod tests {
    use mandate_runtime::entropy::SeededEntropy;
    use x509_parser::prelude::*;

    use super::*;

    #[tokio::test]
    async fn answer_stands_until_it_is_dropped() {
        let store = Arc::new(ChallengeStore::default());
        let name = DomainName::try_from("app.example.org").unwrap();
        let entropy = SeededEntropy::new([1; 32]);
        let answer = store.answer(&name, [9; 32], Duration::from_secs(1), &entropy).await.unwrap();
        assert!(store.is_open("app.example.org") && !store.is_open("example.org"));
        drop(answer);
        assert!(!store.is_open("app.example.org"));
    }

    #[test]
    fn certificate_is_as_rfc_8737_wants_it() {
        let name = DomainName::try_from("app.example.org").unwrap();
        let certified = certificate(&name, [9; 32], &SeededEntropy::new([1; 32])).unwrap();
        let (_, parsed) = X509Certificate::from_der(&certified.cert[0]).unwrap();
        let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names.as_slice(), [GeneralName::DNSName("app.example.org")]);
        let acme = parsed.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(acme.critical);
        assert_eq!(acme.value, [[4, 32].as_slice(), &[9; 32]].concat());
    }
}
