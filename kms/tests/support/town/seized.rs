// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything that a node has, in the hands of whoever took it: its seed, its disk, its mailbox.

use mandate_kms::{
    NodeKeys,
    keys::KeySealing,
    store::{Store, StoredOutput},
};
use mandate_threshold::Share;

use super::Town;

/// The state of a node that does not run any more.
pub struct Seized {
    pub keys: NodeKeys,
    pub store: Store,
}

impl Town {
    /// Takes over a node that was stopped.
    pub fn seize(&self, n: u8) -> Seized {
        Seized { keys: Self::keys(n), store: self.store(n) }
    }
}

impl Seized {
    /// What is kept of a round's end.
    pub fn output(&self, round: u64) -> Option<StoredOutput> {
        self.store.output(round).unwrap()
    }

    /// The share that a round gave, if it is still there.
    pub fn share(&self, round: u64) -> Option<Share> {
        let sealed = self.output(round)?.sealed_share?;
        let opened = self.keys.unseal("share", &round.to_be_bytes(), &sealed).unwrap();
        Some(Share::decode(&opened).unwrap())
    }

    /// Whether nothing is left of which a share of this round could be made again.
    pub fn has_forgotten(&self, round: u64) -> bool {
        let gone = self.store.dealer_seed(round).unwrap().is_none();
        gone && self.store.letters(round).unwrap().is_empty() && self.share(round).is_none()
    }
}
