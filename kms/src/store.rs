// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What must survive a crash, in one redb database: every write is durable before it returns (G-10).
//!
//! Secrets come in sealed (see [`crate::keys::KeySealing`]); this module could not open them (G-12).

use std::{
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy::primitives::Address;
use mandate_model::wire::relayer::{Letter, LetterKind};
use redb::{Database, Key, ReadableDatabase, StorageBackend, TableDefinition};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio_util::sync::{CancellationToken, DropGuard};

mod case;
mod denial;
mod finality;
mod receipt;

pub use case::{EncodedCase, RecentCodes};
pub use denial::{Denial, DenialKind};
pub use receipt::Kept;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const SEEDS: TableDefinition<u64, &[u8]> = TableDefinition::new("dealer_seeds");
const LETTERS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("letters");
const LOGS: TableDefinition<u64, &[u8]> = TableDefinition::new("dealer_logs");
const OUTPUTS: TableDefinition<u64, &[u8]> = TableDefinition::new("outputs");
const SHARES: TableDefinition<u64, &[u8]> = TableDefinition::new("shares");
const RECEIPTS: TableDefinition<u64, &[u8]> = TableDefinition::new("receipts");
const REQUESTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("boot_requests");
const CASES: TableDefinition<u64, &[u8]> = TableDefinition::new("cases");
const REFUSALS: TableDefinition<u64, &[u8]> = TableDefinition::new("refusals");
const CODES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("codes");
const DENIALS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("denials");

/// Bytes of the database that are kept in memory: what is read again and again is small, the log of receipts is not.
const CACHE: usize = 64 << 20;

/// Why the store did not answer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The data directory cannot be made.
    #[error("data directory {path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database refused.
    #[error("database: {0}")]
    Database(#[from] Box<redb::Error>),
    /// A record is not what this build writes.
    #[error("database record {what} is damaged or of another version")]
    Damaged {
        /// Which record.
        what: String,
    },
    /// The database belongs to another node or deployment.
    #[error(
        "the data directory belongs to {found}, this node is {expected}: give each node its own directory"
    )]
    OtherDeployment {
        /// What it says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The task that ran the store was stopped.
    #[error("the store was stopped")]
    Stopped,
}

/// Whose data this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The node's key.
    pub node: Address,
    /// Chain id.
    pub chain_id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// `KmsCommittee`.
    pub committee: Address,
}

/// What a ceremony gave this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutput {
    /// The public output, encoded.
    pub output: Vec<u8>,
    /// This node's share, sealed; nothing once it was forgotten.
    pub sealed_share: Option<Vec<u8>>,
}

/// The database of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Open>);

/// Fields are dropped in this order: the token fires when the file is closed.
#[derive(Debug)]
struct Open {
    db: Database,
    closed: DropGuard,
}

impl Store {
    /// Opens or makes the database in `directory`.
    pub fn open(directory: &Path, owner: &Owner) -> Result<Self, StoreError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| StoreError::Directory { path: directory.to_owned(), source })?;
        let mut builder = Database::builder();
        let opened = builder.set_cache_size(CACHE).create(directory.join("node.redb"));
        Self::prepare(opened.map_err(redb_error)?, owner)
    }

    /// Opens a database on any storage, for simulations.
    pub fn with_backend(backend: impl StorageBackend, owner: &Owner) -> Result<Self, StoreError> {
        Self::prepare(Database::builder().create_with_backend(backend).map_err(redb_error)?, owner)
    }

    fn prepare(db: Database, owner: &Owner) -> Result<Self, StoreError> {
        let store = Self(Arc::new(Open { db, closed: CancellationToken::new().drop_guard() }));
        store.create_tables().map_err(StoreError::from)?;
        match store.get_json::<&str, Owner>(META, "owner")? {
            None => store.put_json(META, "owner", owner)?,
            Some(found) if found == *owner => {}
            Some(found) => {
                return Err(StoreError::OtherDeployment {
                    found: format!("{found:?}"),
                    expected: format!("{owner:?}"),
                });
            }
        }
        Ok(store)
    }

    fn create_tables(&self) -> Result<(), Box<redb::Error>> {
        let txn = self.0.db.begin_write().map_err(boxed)?;
        txn.open_table(META).map_err(boxed)?;
        for table in [SEEDS, LOGS, OUTPUTS, SHARES, RECEIPTS, CASES, REFUSALS] {
            txn.open_table(table).map_err(boxed)?;
        }
        for table in [LETTERS, REQUESTS, CODES, DENIALS] {
            txn.open_table(table).map_err(boxed)?;
        }
        txn.commit().map_err(boxed)
    }

    /// Fires when the last clone is gone and the file is closed, so that it can be opened again.
    pub fn closed(&self) -> CancellationToken {
        self.0.closed.token().clone()
    }

    /// Runs `work` where blocking is allowed: a durable write takes as long as the disk takes.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(|_| StoreError::Stopped)?
    }

    /// The sealed randomness with which this node deals in `round`.
    pub fn dealer_seed(&self, round: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(SEEDS, round)
    }

    /// Keeps it.
    pub fn put_dealer_seed(&self, round: u64, sealed: &[u8]) -> Result<(), StoreError> {
        self.put(SEEDS, round, sealed)
    }

    /// This node's finished dealer log of `round`.
    pub fn dealer_log(&self, round: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(LOGS, round)
    }

    /// Keeps it.
    pub fn put_dealer_log(&self, round: u64, log: &[u8]) -> Result<(), StoreError> {
        self.put(LOGS, round, log)
    }

    /// The letters of `round` that were accepted, one per sender and kind.
    pub fn letters(&self, round: u64) -> Result<Vec<Letter>, StoreError> {
        let read = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let table = self.0.db.begin_read()?.open_table(LETTERS)?;
            let from = round.to_be_bytes();
            let to = round.saturating_add(1).to_be_bytes();
            table.range(from.as_slice()..to.as_slice())?.map(|entry| Ok(entry?.1.value().to_vec())).collect()
        };
        read().map_err(redb_error)?.iter().map(|bytes| parse(bytes, "letter")).collect()
    }

    /// Keeps the first letter of its sender and kind; a second one changes nothing.
    pub fn put_letter(&self, letter: &Letter) -> Result<(), StoreError> {
        let key = letter_key(letter);
        if self.get(LETTERS, key.as_slice())?.is_some() {
            return Ok(());
        }
        self.put_json(LETTERS, key.as_slice(), letter)
    }

    /// The public output of `round` and the sealed share, as this node computed them.
    pub fn output(&self, round: u64) -> Result<Option<StoredOutput>, StoreError> {
        Ok(match self.get(OUTPUTS, round)? {
            Some(output) => Some(StoredOutput { output, sealed_share: self.get(SHARES, round)? }),
            None => None,
        })
    }

    /// Keeps both, or neither.
    pub fn put_output(&self, round: u64, output: &[u8], sealed_share: &[u8]) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let txn = self.0.db.begin_write()?;
            txn.open_table(OUTPUTS)?.insert(round, output)?;
            txn.open_table(SHARES)?.insert(round, sealed_share)?;
            Ok(txn.commit()?)
        };
        write().map_err(redb_error)
    }

    /// Forgets, of all rounds up to `made`, the shares of every one that is not in `kept`, and what was needed to make them:
    /// what is not there, a later break-in does not find.
    pub fn forget_secrets(&self, kept: &[u64], made: u64) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let txn = self.0.db.begin_write()?;
            txn.open_table(SHARES)?.retain(|round, _| round > made || kept.contains(&round))?;
            txn.open_table(SEEDS)?.retain(|round, _| round > made)?;
            let after = made.saturating_add(1).to_be_bytes();
            txn.open_table(LETTERS)?.retain_in(..after.as_slice(), |_, _| false)?;
            Ok(txn.commit()?)
        };
        write().map_err(redb_error)
    }

    fn get<'k, K: Key + 'static>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'k>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let table = self.0.db.begin_read()?.open_table(table)?;
            Ok(table.get(&key)?.map(|value| value.value().to_vec()))
        };
        read().map_err(redb_error)
    }

    fn put<'k, K: Key + 'static>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'k>,
        value: &[u8],
    ) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let txn = self.0.db.begin_write()?;
            txn.open_table(table)?.insert(&key, value)?;
            Ok(txn.commit()?)
        };
        write().map_err(redb_error)
    }

    fn get_json<K: Key + 'static, T: DeserializeOwned>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'_>,
    ) -> Result<Option<T>, StoreError> {
        let name = table.to_string();
        self.get(table, key)?.map(|bytes| parse(&bytes, &name)).transpose()
    }

    fn put_json<K: Key + 'static>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'_>,
        value: &impl Serialize,
    ) -> Result<(), StoreError> {
        self.put(table, key, &to_json(value)?)
    }
}

fn letter_key(letter: &Letter) -> Vec<u8> {
    let kind = match letter.kind {
        LetterKind::Dealing => 0u8,
        LetterKind::Ack => 1,
    };
    [letter.round.to_be_bytes().as_slice(), &[kind], letter.from.as_slice()].concat()
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError::Damaged { what: e.to_string() })
}

fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| StoreError::Damaged { what: what.to_owned() })
}

fn boxed(e: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(e.into())
}

fn redb_error(e: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(boxed(e))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Bytes;
    use redb::backends::InMemoryBackend;

    use super::*;

    fn owner(n: u8) -> Owner {
        Owner {
            node: Address::repeat_byte(n),
            chain_id: 1,
            kms_auth: Address::ZERO,
            committee: Address::ZERO,
        }
    }

    fn letter(from: u8, kind: LetterKind, round: u64, body: u8) -> Letter {
        Letter {
            from: Address::repeat_byte(from),
            to: Address::ZERO,
            round,
            kind,
            body: vec![body].into(),
            signature: Bytes::new(),
        }
    }

    #[test]
    fn directory_of_another_node_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), &owner(1)).unwrap());
        assert!(matches!(Store::open(dir.path(), &owner(2)), Err(StoreError::OtherDeployment { .. })));
        Store::open(dir.path(), &owner(1)).unwrap();
    }

    #[test]
    fn first_letter_of_a_sender_wins_and_rounds_are_apart() {
        let store = Store::with_backend(InMemoryBackend::new(), &owner(1)).unwrap();
        store.put_letter(&letter(1, LetterKind::Dealing, 7, 1)).unwrap();
        store.put_letter(&letter(1, LetterKind::Dealing, 7, 2)).unwrap();
        store.put_letter(&letter(1, LetterKind::Ack, 7, 3)).unwrap();
        store.put_letter(&letter(1, LetterKind::Dealing, 8, 4)).unwrap();
        let bodies: Vec<u8> = store.letters(7).unwrap().iter().map(|l| l.body[0]).collect();
        assert_eq!(bodies, [1, 3]);
    }

    #[test]
    fn g12_forgotten_rounds_leave_no_secret_but_their_output() {
        let store = Store::with_backend(InMemoryBackend::new(), &owner(1)).unwrap();
        for round in 1..=3 {
            store.put_dealer_seed(round, b"seed").unwrap();
            store.put_output(round, b"output", b"share").unwrap();
            store.put_letter(&letter(1, LetterKind::Dealing, round, 1)).unwrap();
        }
        store.forget_secrets(&[1], 2).unwrap();
        assert_eq!(store.output(2).unwrap().unwrap().sealed_share, None);
        assert_eq!(store.output(2).unwrap().unwrap().output, b"output");
        for kept in [1, 3] {
            assert_eq!(store.output(kept).unwrap().unwrap().sealed_share, Some(b"share".to_vec()));
        }
        assert_eq!((store.dealer_seed(2).unwrap(), store.letters(2).unwrap().len()), (None, 0));
        assert_eq!((store.dealer_seed(3).unwrap().is_some(), store.letters(3).unwrap().len()), (true, 1));
    }
}
