// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway's keys. All of them derive from the gateway app's secret, so every gateway of the fleet has the same ones and
//! none is ever written down.

use std::{fmt, path::PathBuf, sync::Arc};

use futures::future::{BoxFuture, FutureExt};
use hkdf::Hkdf;
use mandate_runtime::{Net, config, http};
use p256::{
    NistP256, SecretKey,
    elliptic_curve::{ALGORITHM_OID, sec1::ToEncodedPoint},
    pkcs8::{
        AlgorithmIdentifierRef, AssociatedOid, EncodePublicKey, PrivateKeyInfo, SecretDocument,
        SubjectPublicKeyInfoRef, der::Encode,
    },
};
use rustls::{
    crypto::ring,
    sign::{CertifiedKey, SigningKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sec1::EcPrivateKey;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// Secret bytes that a key is made of.
pub type Material = Zeroizing<[u8; 32]>;

/// Why there is no key. No variant holds any of the secret.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The guest agent did not answer.
    #[error("guest agent: {0}; does it run, and may this process use its socket?")]
    Agent(#[from] http::HttpError),
    /// The agent's answer holds no key.
    #[error("guest agent: the key for {path:?} is not 32 bytes in hex")]
    NotAKey {
        /// Which key was asked for.
        path: String,
    },
    /// The development key file cannot be used.
    #[error("development key: {0}")]
    File(#[from] config::SecretFileError),
    /// The development key file holds something else.
    #[error("development key: {} does not hold 64 hex digits", path.display())]
    NotASeed {
        /// Which file.
        path: PathBuf,
    },
    /// A public key that belongs to another private key.
    #[error("the public key is not the one of the derived key")]
    NotPublicHalf,
    /// The key could not be encoded.
    #[error("the derived key cannot be encoded")]
    Encoding,
}

/// Gives secret bytes by path and purpose, the same ones each time.
pub trait KeySource: Send + Sync + fmt::Debug {
    /// The bytes for `path`. Another purpose gives unrelated bytes.
    fn key<'a>(&'a self, path: &'a str, purpose: &'a str) -> BoxFuture<'a, Result<Material, KeyError>>;
}

/// Keys from the guest agent, which derives them from the gateway app's secret.
#[derive(Debug)]
pub struct AgentKeys {
    client: http::Client,
}

impl AgentKeys {
    /// Asks the agent that serves `socket`.
    pub fn new(net: Arc<dyn Net>, socket: impl Into<PathBuf>) -> Self {
        Self { client: http::Client::unix_over(net, socket) }
    }

    async fn fetch(&self, path: &str, purpose: &str) -> Result<Material, KeyError> {
        let request = GetKey { path, purpose };
        let answer: Key = self.client.post_json("http://agent/GetKey", &request).await?;
        parse_hex(answer.key.expose()).ok_or_else(|| KeyError::NotAKey { path: path.to_owned() })
    }
}

impl KeySource for AgentKeys {
    fn key<'a>(&'a self, path: &'a str, purpose: &'a str) -> BoxFuture<'a, Result<Material, KeyError>> {
        self.fetch(path, purpose).boxed()
    }
}

#[derive(Serialize)]
struct GetKey<'a> {
    path: &'a str,
    purpose: &'a str,
}

/// The agent's answer as upstream's SDKs know it; its signature chain is of no use here.
#[derive(Deserialize)]
struct Key {
    key: config::Secret,
}

fn parse_hex(text: &str) -> Option<Material> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut out = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, out.as_mut_slice()).ok()?;
    Some(out)
}

/// Keys from a seed in a file. **For development:** whoever can read the file has every key of the gateway.
pub struct DevelopmentKeys {
    seed: Material,
}

impl DevelopmentKeys {
    /// Derives from `seed`.
    pub fn new(seed: Material) -> Self {
        Self { seed }
    }

    /// Reads 64 hex digits from a file that only its owner can read.
    ///
    /// # Errors
    /// When the file is missing, open to others or holds something else.
    pub fn from_file(path: &std::path::Path) -> Result<Self, KeyError> {
        let text = config::secret_file(path)?;
        parse_hex(&text).map(Self::new).ok_or_else(|| KeyError::NotASeed { path: path.to_owned() })
    }

    fn derive(&self, path: &str, purpose: &str) -> Result<Material, KeyError> {
        let mut info = b"mandate-gateway-development-v1".to_vec();
        for part in [path, purpose] {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part.as_bytes());
        }
        let mut out = Zeroizing::new([0; 32]);
        let expanded = Hkdf::<Sha256>::new(None, self.seed.as_slice()).expand(&info, out.as_mut_slice());
        expanded.map(|()| out).map_err(|_| KeyError::Encoding)
    }
}

impl fmt::Debug for DevelopmentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevelopmentKeys(..)")
    }
}

impl KeySource for DevelopmentKeys {
    fn key<'a>(&'a self, path: &'a str, purpose: &'a str) -> BoxFuture<'a, Result<Material, KeyError>> {
        futures::future::ready(self.derive(path, purpose)).boxed()
    }
}

/// A P-256 private key. Its public half is computed when that is asked for: [`P256Key`] has it.
pub struct P256Secret(SecretKey);

impl P256Secret {
    /// The key that `material` stands for; the same one each time.
    ///
    /// # Errors
    /// Never in practice: when no candidate is a scalar.
    pub fn derive(material: &Material) -> Result<Self, KeyError> {
        let hkdf = Hkdf::<Sha256>::new(None, material.as_slice());
        // One candidate in 2^32 is no scalar of the curve; then the next one is taken.
        for attempt in 0..=u8::MAX {
            let mut candidate = Zeroizing::new([0; 32]);
            let info = [b"mandate-gateway-p256-v1".as_slice(), &[attempt]].concat();
            hkdf.expand(&info, candidate.as_mut_slice()).map_err(|_| KeyError::Encoding)?;
            if let Ok(secret) = SecretKey::from_slice(candidate.as_slice()) {
                return Ok(Self(secret));
            }
        }
        Err(KeyError::Encoding)
    }

    /// The key with its public half.
    ///
    /// # Errors
    /// Never in practice.
    pub fn pair(self) -> Result<P256Key, KeyError> {
        let public = self.0.public_key();
        let spki = public.to_public_key_der().map_err(|_| KeyError::Encoding)?.into_vec();
        let pkcs8 = self.pkcs8(public.to_encoded_point(false).as_bytes())?;
        Ok(P256Key { secret: self, pkcs8, spki })
    }

    /// What rustls signs with, if `spki` is the DER of this key's public half. rustls's cryptography computes that from the
    /// secret, a good deal faster than [`Self::pair`] does, and what it computes is compared.
    ///
    /// # Errors
    /// [`KeyError::NotPublicHalf`] when `spki` is of another key or none at all.
    pub fn signing_key(&self, spki: &[u8]) -> Result<Arc<dyn SigningKey>, KeyError> {
        let claimed = SubjectPublicKeyInfoRef::try_from(spki).map_err(|_| KeyError::NotPublicHalf)?;
        let point = claimed.subject_public_key.as_bytes().ok_or(KeyError::NotPublicHalf)?;
        let pkcs8 = self.pkcs8(point)?;
        let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_slice()));
        let signing = ring::sign::any_ecdsa_type(&pkcs8).map_err(|_| KeyError::NotPublicHalf)?;
        match signing.public_key().is_some_and(|own| own.as_ref() == spki) {
            true => Ok(signing),
            false => Err(KeyError::NotPublicHalf),
        }
    }

    /// PKCS#8 DER with `point` as the public half, which is for whoever reads it to make sure of.
    fn pkcs8(&self, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let scalar = Zeroizing::new(self.0.to_bytes());
        let inner = EcPrivateKey { private_key: &scalar, parameters: None, public_key: Some(point) };
        let inner = Zeroizing::new(inner.to_der().map_err(|_| KeyError::Encoding)?);
        let algorithm =
            AlgorithmIdentifierRef { oid: ALGORITHM_OID, parameters: Some((&NistP256::OID).into()) };
        let encoded = SecretDocument::encode_msg(&PrivateKeyInfo::new(algorithm, &inner));
        encoded.map(|document| document.to_bytes()).map_err(|_| KeyError::Encoding)
    }
}

impl fmt::Debug for P256Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256Secret(..)")
    }
}

/// A P-256 key pair.
pub struct P256Key {
    secret: P256Secret,
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
}

impl P256Key {
    /// The key that `material` stands for; the same one each time.
    ///
    /// # Errors
    /// Never in practice: when no candidate is a scalar, or encoding fails.
    pub fn derive(material: &Material) -> Result<Self, KeyError> {
        P256Secret::derive(material)?.pair()
    }

    /// The private half alone.
    pub fn secret(&self) -> &P256Secret {
        &self.secret
    }

    /// DER of the public key.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// PKCS#8 DER of the private key, borrowed for the moment in which a library takes it.
    pub fn pkcs8(&self) -> PrivatePkcs8KeyDer<'_> {
        PrivatePkcs8KeyDer::from(self.pkcs8.as_slice())
    }
}

impl fmt::Debug for P256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256Key(..)")
    }
}

/// A certificate chain with the key that it certifies, which is for the caller to make sure of.
///
/// # Errors
/// When rustls does not take the key.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: &P256Key,
) -> Result<CertifiedKey, rustls::Error> {
    let signing = ring::sign::any_ecdsa_type(&PrivateKeyDer::Pkcs8(key.pkcs8()))?;
    Ok(CertifiedKey::new(chain, signing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> DevelopmentKeys {
        DevelopmentKeys::new(Zeroizing::new([7; 32]))
    }

    #[tokio::test]
    async fn keys_depend_on_path_and_purpose_and_nothing_else() {
        let one = keys().key("a", "bc").await.unwrap();
        assert_eq!(one, keys().key("a", "bc").await.unwrap());
        assert_ne!(one, keys().key("ab", "c").await.unwrap());
        assert_ne!(one, keys().key("a", "b").await.unwrap());
    }

    #[test]
    fn p256_key_is_the_same_for_the_same_material() {
        let spki = |byte| P256Key::derive(&Zeroizing::new([byte; 32])).unwrap().spki().to_vec();
        assert_eq!(spki(1), spki(1));
        assert_ne!(spki(1), spki(2));
    }

    #[test]
    fn attack_public_key_of_another_is_not_signed_for() {
        let secret = |byte| P256Secret::derive(&Zeroizing::new([byte; 32])).unwrap();
        let mut spki = secret(1).pair().unwrap().spki().to_vec();
        let signing = secret(1).signing_key(&spki).unwrap();
        assert_eq!(signing.public_key().unwrap().as_ref(), spki);
        assert!(matches!(secret(2).signing_key(&spki), Err(KeyError::NotPublicHalf)));
        spki.push(0);
        assert!(matches!(secret(1).signing_key(&spki), Err(KeyError::NotPublicHalf)));
        // The same bits for another algorithm (1.2.840.10045.2.2 in place of 2.1).
        spki.pop();
        let algorithm =
            spki.windows(7).position(|bytes| bytes == [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]).unwrap();
        spki[algorithm + 6] = 2;
        assert!(matches!(secret(1).signing_key(&spki), Err(KeyError::NotPublicHalf)));
        assert!(matches!(secret(1).signing_key(&[]), Err(KeyError::NotPublicHalf)));
    }

    #[test]
    fn g12_key_never_shows_in_debug_text() {
        let key = P256Key::derive(&Zeroizing::new([7; 32])).unwrap();
        let text = format!("{key:?} {:?} {:?}", key.secret(), keys());
        assert_eq!(text, "P256Key(..) P256Secret(..) DevelopmentKeys(..)");
    }

    #[test]
    fn only_32_bytes_of_hex_are_a_key() {
        assert!(parse_hex(&"ab".repeat(32)).is_some());
        assert!(parse_hex(&format!("0x{}", "ab".repeat(32))).is_some());
        for bad in ["", "ab", &"ab".repeat(31), &"ab".repeat(33), &"xy".repeat(32)] {
            assert!(parse_hex(bad).is_none(), "{bad}");
        }
    }
}
