// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Remembered revocations: what this node once saw at a head, by proof.

use alloy::primitives::{Address, B256};
use mandate_model::wire::BlockRef;
use redb::{ReadableDatabase, ReadableTable};
use serde::{Deserialize, Serialize};

use super::{DENIALS, Store, StoreError, parse, redb_error};

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DenialKind {
    /// A code hash was revoked: for good.
    CodeRevoked {
        /// Which.
        code: B256,
    },
    /// The app was paused until this block time; nobody can bring that forward.
    Paused {
        /// Unix seconds of block time.
        until: u64,
    },
}

/// A revocation and the block at which it was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The app.
    pub app: Address,
    /// What was seen.
    pub kind: DenialKind,
    /// Where. Until this height is final a reorg can take the revocation back.
    pub seen: BlockRef,
    /// Whether the finalised chain has confirmed it.
    pub confirmed: bool,
}

impl Denial {
    /// Whether both are about the same app and code.
    pub fn same_subject(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> Vec<u8> {
        let code = match self.kind {
            DenialKind::CodeRevoked { code } => code,
            DenialKind::Paused { .. } => B256::ZERO,
        };
        [self.app.as_slice(), code.as_slice()].concat()
    }
}

impl Store {
    /// Everything that is remembered.
    pub fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        let read = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let table = self.0.db.begin_read()?.open_table(DENIALS)?;
            table.iter()?.map(|entry| Ok(entry?.1.value().to_vec())).collect()
        };
        read().map_err(redb_error)?.iter().map(|bytes| parse(bytes, "denial")).collect()
    }

    /// Remembers `denial`.
    pub fn put_denial(&self, denial: &Denial) -> Result<(), StoreError> {
        self.put_json(DENIALS, denial.key().as_slice(), denial)
    }

    /// Forgets `denial`: the finalised chain says it itself, or a reorg took it back.
    pub fn remove_denial(&self, denial: &Denial) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let txn = self.0.db.begin_write()?;
            txn.open_table(DENIALS)?.remove(denial.key().as_slice())?;
            Ok(txn.commit()?)
        };
        write().map_err(redb_error)
    }
}
