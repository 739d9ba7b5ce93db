// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Randomness: the operating system's, or a seeded stream for runs that must repeat.

use std::{
    fmt::{self, Debug},
    sync::{Mutex, PoisonError},
};

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

/// A source of randomness that is fit for keys.
pub trait Entropy: Send + Sync + Debug {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);
}

/// `N` random bytes.
pub fn bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut out = [0; N];
    entropy.fill(&mut out);
    out
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    /// When the operating system has no randomness: there is no safe way to go on.
    fn fill(&self, out: &mut [u8]) {
        if let Err(e) = getrandom::fill(out) {
            panic!("the operating system gave no randomness: {e}");
        }
    }
}

/// ChaCha20 from a seed: the same seed gives the same bytes in the same order of calls.
pub struct SeededEntropy(Mutex<ChaCha20Rng>);

impl SeededEntropy {
    /// The stream of `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(Mutex::new(ChaCha20Rng::from_seed(seed)))
    }

    /// The stream of a small number, for tests.
    pub fn from_u64(seed: u64) -> Self {
        let mut wide = [0; 32];
        for (to, from) in wide.iter_mut().zip(seed.to_le_bytes()) {
            *to = from;
        }
        Self::new(wide)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(out);
    }
}

impl Debug for SeededEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededEntropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_entropy_repeats_and_differs_by_seed() {
        let draw = |seed| bytes::<48>(&SeededEntropy::from_u64(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn os_entropy_does_not_repeat() {
        assert_ne!(bytes::<32>(&OsEntropy), bytes::<32>(&OsEntropy));
    }

    #[test]
    fn g12_seed_is_not_in_debug() {
        let seeded = SeededEntropy::new([0xab; 32]);
        assert!(!format!("{seeded:?}").contains("171"));
    }
}
