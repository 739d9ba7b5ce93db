// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the group's signature to an app's keys.
//!
//! The committee signs [`app_message`]; nobody but an instance of the app ever sees the combined signature. HKDF-SHA256
//! makes the app's secret of it, and every key of the secret, each under a context of a label and length-prefixed parts,
//! so that no two different requests ever share a context.
//!
//! The message names the root by its group key, which changes with a Genesis or Rotate ceremony and with nothing else:
//! a Refresh or Reshare keeps every app's secret, and so does a new version of the app's code.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::polynomial::{GROUP_KEY_LENGTH, GroupSignature};

/// The namespace in which the committee signs [`app_message`]. Whoever has such a signature has the app's secret.
pub const APP_NAMESPACE: &[u8] = b"mandate-app-v1";

/// The message whose group signature is the root of an app's secret.
pub fn app_message(
    chain_id: u64,
    kms_auth: [u8; 20],
    app: [u8; 20],
    generation: u64,
    group_key: &[u8; GROUP_KEY_LENGTH],
) -> Vec<u8> {
    context("app", &[&chain_id.to_be_bytes(), &kms_auth, &app, &generation.to_be_bytes(), group_key])
}

/// A label and parts as one unambiguous byte string: `mandate-v1`, the label, the number of parts and the parts, each
/// text preceded by its length in 8 bytes.
pub(crate) fn context(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = b"mandate-v1".to_vec();
    let mut put = |bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    put(label.as_bytes());
    put(&(parts.len() as u64).to_be_bytes());
    parts.iter().for_each(|part| put(part));
    out
}

/// What one generation of one app shares among its instances, and no one else has. 32 bytes, zeroized when dropped.
#[derive(Clone)]
pub struct AppSecret(Zeroizing<[u8; 32]>);

impl AppSecret {
    /// The secret that the group's signature over `message` makes; `message` as [`app_message`] gave it.
    pub fn derive(signature: &GroupSignature, message: &[u8]) -> Self {
        Self(expand(signature.as_bytes(), &context("app-secret", &[message])))
    }

    /// Takes a secret back that was stored sealed.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for storing them sealed.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of one instance's disk.
    pub fn disk_key(&self, instance: [u8; 20]) -> Zeroizing<[u8; 32]> {
        self.key("disk", &[&instance])
    }

    /// The key of the environment that instances of the app share.
    pub fn environment_key(&self) -> Zeroizing<[u8; 32]> {
        self.key("environment", &[])
    }

    /// The app's secp256k1 key: a valid secret scalar.
    pub fn k256_key(&self) -> Zeroizing<[u8; 32]> {
        self.scalar("k256", &[])
    }

    /// The key of the app's certificate authority: a valid secret scalar of P-256.
    pub fn ca_key(&self) -> Zeroizing<[u8; 32]> {
        self.scalar("ca", &[])
    }

    /// The key under a path and purpose of the app's choosing. It serves as a symmetric key and is a valid secret
    /// scalar of both secp256k1 and P-256.
    pub fn path_key(&self, path: &str, purpose: &str) -> Zeroizing<[u8; 32]> {
        self.scalar("path", &[path.as_bytes(), purpose.as_bytes()])
    }

    fn key(&self, label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        expand(self.0.as_slice(), &context(label, parts))
    }

    /// Tries one counter after another until the bytes are a scalar of both curves: about one in 2³² is not.
    fn scalar(&self, label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut counter = 0u64;
        loop {
            let bytes = counter.to_be_bytes();
            let parts: Vec<&[u8]> = parts.iter().copied().chain([bytes.as_slice()]).collect();
            let key = self.key(label, &parts);
            if k256::SecretKey::from_slice(key.as_slice()).is_ok()
                && p256::SecretKey::from_slice(key.as_slice()).is_ok()
            {
                return key;
            }
            counter += 1;
        }
    }
}

impl PartialEq for AppSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for AppSecret {}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret(..)")
    }
}

/// HKDF-SHA256 without salt: the inputs are uniformly random or group elements, and contexts keep the uses apart.
pub(crate) fn expand(secret: &[u8], context: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    // Fails only above 255 blocks of output; this is one.
    let expanded = Hkdf::<Sha256>::new(None, secret).expand(context, out.as_mut_slice());
    debug_assert!(expanded.is_ok(), "one block is never too long");
    out
}
