// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The keys of certificates. The agent is asked once for the secret that they all derive from: ten thousand domains are not
//! ten thousand requests.

use std::{fmt, sync::Arc};

use hkdf::Hkdf;
use mandate_acme::{
    P256,
    keys::{KeyError, KeySource, Material, P256Key, P256Secret},
};
use sha2::Sha256;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::store::{Generation, Slot};

/// The path of the secret that certificate keys derive from.
pub const CERTIFICATE_KEYS: &str = "certificate";

const KEY: &[u8] = b"mandate-gateway-certificate-v1";
const CHALLENGES: &[u8] = b"mandate-gateway-challenges-v1";
const GENERATION: &[u8] = b"mandate-gateway-generation-v1";

/// Derives the key of each certificate; the same ones on each gateway of the fleet.
pub struct CertificateKeys {
    source: Arc<dyn KeySource>,
    parent: OnceCell<Arc<Parent>>,
}

impl fmt::Debug for CertificateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateKeys(..)")
    }
}

impl CertificateKeys {
    /// Asks `source` once it is needed.
    pub fn new(source: Arc<dyn KeySource>) -> Self {
        Self { source, parent: OnceCell::new() }
    }

    /// The secret that they derive from, kept once it was given.
    ///
    /// # Errors
    /// When the source does not give it.
    pub async fn parent(&self) -> Result<Arc<Parent>, KeyError> {
        let ask = || async { Ok(Arc::new(Parent(self.source.key(CERTIFICATE_KEYS, P256).await?))) };
        self.parent.get_or_try_init(ask).await.cloned()
    }
}

/// The secret that certificate keys derive from.
pub struct Parent(Material);

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parent(..)")
    }
}

impl Parent {
    /// The key for one name and app, as [`Self::secret`] with its public half.
    ///
    /// # Errors
    /// Never in practice, see [`P256Key::derive`].
    pub fn key(&self, slot: &Slot) -> Result<P256Key, KeyError> {
        self.secret(slot)?.pair()
    }

    /// The private key for one name and app. The app is part of it: a domain that moves to another app gets another key.
    ///
    /// # Errors
    /// Never in practice, see [`P256Secret::derive`].
    pub fn secret(&self, slot: &Slot) -> Result<P256Secret, KeyError> {
        let owner = slot.app.map_or_else(|| b"base".to_vec(), |app| app.to_vec());
        let mut info = KEY.to_vec();
        for part in [owner.as_slice(), slot.subject.domain().as_str().as_bytes()] {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part);
        }
        let mut material = Zeroizing::new([0; 32]);
        self.expand(&info, material.as_mut_slice())?;
        P256Secret::derive(&material)
    }

    /// The key by which gateways of a fleet know each other's challenges.
    ///
    /// # Errors
    /// Never in practice.
    pub(crate) fn challenge_key(&self) -> Result<Material, KeyError> {
        let mut key = Zeroizing::new([0; 32]);
        self.expand(CHALLENGES, key.as_mut_slice())?;
        Ok(key)
    }

    /// Names this secret in the store, so that certificates for keys of an earlier secret are told apart.
    ///
    /// # Errors
    /// Never in practice.
    pub fn generation(&self) -> Result<Generation, KeyError> {
        let mut name = [0; 16];
        self.expand(GENERATION, &mut name)?;
        Ok(Generation(name))
    }

    fn expand(&self, info: &[u8], out: &mut [u8]) -> Result<(), KeyError> {
        let hkdf = Hkdf::<Sha256>::new(None, self.0.as_slice());
        hkdf.expand(info, out).map_err(|_| KeyError::Encoding)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use mandate_acme::name::{DomainName, Subject};

    use super::*;

    fn domain(name: &str, app: u8) -> Slot {
        let name = DomainName::try_from(name).unwrap();
        Slot { subject: Subject::Domain(name), app: Some(Address::repeat_byte(app)) }
    }

    #[test]
    fn each_name_app_and_secret_has_a_key_of_its_own() {
        let parent = |byte| Parent(Zeroizing::new([byte; 32]));
        let spki = |byte, slot: &Slot| parent(byte).key(slot).unwrap().spki().to_vec();
        let base = Slot { subject: Subject::Wildcard(DomainName::try_from("a.example").unwrap()), app: None };
        let keys = [
            (1, domain("a.example", 1)),
            (1, domain("a.example", 2)),
            (1, domain("b.example", 1)),
            (1, base),
        ];
        let mut seen: Vec<_> = keys.iter().map(|(byte, slot)| spki(*byte, slot)).collect();
        seen.push(spki(2, &domain("a.example", 1)));
        assert_eq!(spki(1, &domain("a.example", 1)), seen[0]);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5);
        assert_ne!(parent(1).generation().unwrap(), parent(2).generation().unwrap());
    }

    #[test]
    fn g12_secret_of_certificate_keys_never_shows_in_debug_text() {
        assert_eq!(format!("{:?}", Parent(Zeroizing::new([7; 32]))), "Parent(..)");
    }
}
