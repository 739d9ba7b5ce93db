// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the endpoints called final, over restarts.

use mandate_model::wire::BlockRef;
use mandate_witness::Contradiction;

use super::{META, Store, StoreError, redb_error};

impl Store {
    /// The newest finalised block that was seen before this start, as far as it was noted.
    pub fn newest_final(&self) -> Result<Option<BlockRef>, StoreError> {
        self.get_json(META, "newest_final")
    }

    /// Notes it.
    pub fn put_newest_final(&self, block: BlockRef) -> Result<(), StoreError> {
        self.put_json(META, "newest_final", &block)
    }

    /// The contradiction about finality that was seen and that no operator has cleared.
    pub fn latch(&self) -> Result<Option<Contradiction>, StoreError> {
        self.get_json(META, "latch")
    }

    /// Keeps the first one, over restarts.
    pub fn put_latch(&self, contradiction: &Contradiction) -> Result<(), StoreError> {
        match self.latch()? {
            Some(_) => Ok(()),
            None => self.put_json(META, "latch", contradiction),
        }
    }

    /// For the operator who has looked: forgets it, and the newest block that was seen with it.
    pub fn clear_latch(&self) -> Result<Option<Contradiction>, StoreError> {
        let latch = self.latch()?;
        let write = || -> Result<(), redb::Error> {
            let txn = self.0.db.begin_write()?;
            let mut meta = txn.open_table(META)?;
            meta.remove("latch")?;
            meta.remove("newest_final")?;
            drop(meta);
            Ok(txn.commit()?)
        };
        write().map_err(redb_error)?;
        Ok(latch)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::store::Owner;

    #[test]
    fn g5_contradiction_outlives_a_restart_until_it_is_cleared() {
        let zero = Address::ZERO;
        let owner = Owner { node: zero, chain_id: 1, kms_auth: zero, committee: zero };
        let store = Store::with_backend(InMemoryBackend::new(), &owner).unwrap();
        let seen = |height| Contradiction {
            height,
            first: B256::ZERO,
            first_from: "rpc 0".into(),
            second: B256::repeat_byte(1),
            second_from: "rpc 1".into(),
        };
        assert_eq!(store.latch().unwrap(), None);
        store.put_newest_final(BlockRef { number: 7, hash: B256::ZERO }).unwrap();
        store.put_latch(&seen(7)).unwrap();
        store.put_latch(&seen(8)).unwrap();
        assert_eq!(store.latch().unwrap(), Some(seen(7)));
        assert_eq!(store.clear_latch().unwrap(), Some(seen(7)));
        assert_eq!((store.latch().unwrap(), store.newest_final().unwrap()), (None, None));
    }
}
