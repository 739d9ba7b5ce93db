// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signatures that were found right before.
//!
//! Most of what a verification costs are ECDSA checks, and all but the last of them are over what many quotes share: CRLs,
//! the TCB info, the platform's certificates, the quoting enclave's report. Whether a signature is right depends on the
//! key, the message and the signature and on nothing else: not on the time, the anchors or the quote. So exactly these
//! answers can be remembered, and nothing else is: `dcap-qvl` runs in full each time, over the same bytes and in the same
//! order, with all its dates, revocation, TCB levels and names. A warm verification is the cold one with one pure
//! function looked up instead of computed.
//!
//! - The key of an entry is a SHA-256 over algorithm, key, signature and message, each preceded by its length.
//! - Only right signatures are remembered, so that nothing refused can fill the memory. `dcap-qvl` checks from the root
//!   down and stops at the first wrong one: what enters is what the trusted root, or who it certified, has signed.
//! - A quote's own signature is never remembered: it is new each time, and a memory keyed by whole quotes would be one of
//!   raw evidence.
//! - The least recently used entry makes room for a new one.

use std::{
    cell::RefCell,
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use dcap_qvl::{
    config::{Config, CryptoProvider},
    configs::RingConfig,
    crypto::RingCrypto,
};
use lru::LruCache;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use sha2::{Digest, Sha256};

/// How many signatures are remembered: the shared ones of hundreds of platform families, and two of each platform.
const ENTRIES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// The memory of one verifier.
pub(crate) struct SignatureMemory(Mutex<LruCache<[u8; 32], ()>>);

impl SignatureMemory {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(LruCache::new(ENTRIES))))
    }

    /// Runs `verification` with this memory. What it verifies must happen on this thread, as all of `dcap-qvl` does.
    pub(super) fn during<T>(self: &Arc<Self>, verification: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(Arc::clone(self)));
        let _restored = Restored(before);
        verification()
    }

    fn has(&self, key: &[u8; 32]) -> bool {
        self.entries().get(key).is_some()
    }

    fn remember(&self, key: [u8; 32]) {
        self.entries().put(key, ());
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    /// An entry is put in one step, so a panic elsewhere leaves nothing half done.
    fn entries(&self) -> std::sync::MutexGuard<'_, LruCache<[u8; 32], ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SignatureMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureMemory").field("len", &self.len()).finish()
    }
}

thread_local! {
    /// `dcap-qvl` asks a type for its algorithm, not a value, so the memory comes to it this way.
    static CURRENT: RefCell<Option<Arc<SignatureMemory>>> = const { RefCell::new(None) };
}

/// Puts the previous memory back, also when the verification panics.
struct Restored(Option<Arc<SignatureMemory>>);

impl Drop for Restored {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// `dcap-qvl`'s ring configuration, but for the memory.
pub(super) struct Remembering;

impl Config for Remembering {
    type X509 = <RingConfig as Config>::X509;
    type SigEncoder = <RingConfig as Config>::SigEncoder;
    type Crypto = Self;
}

impl CryptoProvider for Remembering {
    fn sig_algo() -> &'static dyn SignatureVerificationAlgorithm {
        &Algorithm
    }

    fn sha256(data: &[u8]) -> [u8; 32] {
        RingCrypto::sha256(data)
    }

    fn sha384(data: &[u8]) -> [u8; 48] {
        RingCrypto::sha384(data)
    }
}

/// ECDSA P-256 with SHA-256 by ring, remembered.
#[derive(Debug)]
struct Algorithm;

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let compute = || RingCrypto::sig_algo().verify_signature(public_key, message, signature);
        let memory = CURRENT.with_borrow(Option::clone).filter(|_| !is_quote(message));
        let Some(memory) = memory else { return compute() };
        let key = key(public_key, message, signature);
        if memory.has(&key) {
            return Ok(());
        }
        compute()?;
        memory.remember(key);
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        RingCrypto::sig_algo().public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        RingCrypto::sig_algo().signature_alg_id()
    }
}

/// Certificates and CRLs are DER, TCB info and identities JSON, and a quoting enclave's report starts with CPU security
/// versions; one that happened to start like this would be computed each time.
fn is_quote(message: &[u8]) -> bool {
    matches!(message, [4 | 5, 0, 2, 0, 0x81, 0, 0, 0, ..])
}

fn key(public_key: &[u8], message: &[u8], signature: &[u8]) -> [u8; 32] {
    let parts = [public_key, signature, message];
    let hash = parts.iter().fold(Sha256::new_with_prefix(b"ecdsa-p256-sha256"), |hash, part| {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hash.chain_update(length.to_be_bytes()).chain_update(part)
    });
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{Signature, SigningKey, signature::Signer};

    use super::*;

    struct Signed {
        public: Vec<u8>,
        signature: Vec<u8>,
    }

    fn sign(message: &[u8]) -> Signed {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let signature: Signature = key.sign(message);
        Signed {
            public: key.verifying_key().to_encoded_point(false).as_bytes().to_vec(),
            signature: signature.to_der().as_bytes().to_vec(),
        }
    }

    fn check(memory: &Arc<SignatureMemory>, message: &[u8], of: &Signed) -> bool {
        memory.during(|| Algorithm.verify_signature(&of.public, message, &of.signature).is_ok())
    }

    #[test]
    fn a_right_signature_is_remembered_once_and_a_wrong_one_never() {
        let (memory, signed) = (SignatureMemory::new(), sign(b"{}"));
        assert!(!check(&memory, b"{ }", &signed));
        assert_eq!(memory.len(), 0);
        assert!(check(&memory, b"{}", &signed) && check(&memory, b"{}", &signed));
        assert_eq!(memory.len(), 1);
        assert!(!check(&memory, b"{ }", &signed));
    }

    /// The attack: shift a byte from one field to its neighbour, so that the concatenation stays.
    #[test]
    fn bytes_cannot_move_between_the_fields_of_a_key() {
        assert_ne!(key(b"ab", b"c", b"d"), key(b"a", b"bc", b"d"));
        assert_ne!(key(b"a", b"bc", b"d"), key(b"a", b"b", b"cd"));
        assert_ne!(key(b"a", b"b", b"c"), key(b"a", b"c", b"b"));
    }

    #[test]
    fn a_quotes_own_signature_is_never_remembered() {
        for version in [4, 5] {
            let quote = [version, 0, 2, 0, 0x81, 0, 0, 0, 9, 9];
            let memory = SignatureMemory::new();
            assert!(check(&memory, &quote, &sign(&quote)));
            assert_eq!(memory.len(), 0);
        }
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_oldest() {
        let memory = SignatureMemory::new();
        let entry = |n: usize| key(b"", &n.to_be_bytes(), b"");
        (0..ENTRIES.get() + 10).for_each(|n| memory.remember(entry(n)));
        assert_eq!(memory.len(), ENTRIES.get());
        assert!(!memory.has(&entry(9)) && memory.has(&entry(10)));
    }

    #[test]
    fn outside_a_verification_nothing_is_remembered() {
        let (memory, signed) = (SignatureMemory::new(), sign(b"{}"));
        memory.during(|| ());
        assert!(Algorithm.verify_signature(&signed.public, b"{}", &signed.signature).is_ok());
        let panicked = std::panic::catch_unwind(|| memory.during(|| panic!("a verification")));
        assert!(panicked.is_err() && CURRENT.with_borrow(Option::is_none));
        assert_eq!(memory.len(), 0);
    }
}
