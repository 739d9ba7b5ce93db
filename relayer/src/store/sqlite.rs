// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store in one SQLite file: write-ahead log, every commit synced.

use std::{fmt::Display, path::Path, str::FromStr, time::Duration};

use alloy::primitives::{Address, B256};
use futures::future::FutureExt;
use mandate_model::wire::{
    BlockRef,
    relayer::{Delivered, Letter},
};
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::{
    Answer, AppRecord, Delivery, InFlight, Lane, MailboxCaps, Progress, Queued, SignedTx, Step, Store,
    StoreError, StoredLog,
};
use crate::effects::NewEffect;

mod chain;
mod mailbox;
mod outbox;

/// A store in a SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
}

type Tx = sqlx::Transaction<'static, sqlx::Sqlite>;

impl SqliteStore {
    /// Opens or makes the database at `path` for one deployment.
    ///
    /// # Errors
    /// When it cannot be opened or belongs to another deployment.
    pub async fn open(path: &Path, chain_id: u64, kms_auth: Address) -> Result<Self, StoreError> {
        // Synced at every commit: an accepted submission must outlive a power failure.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        Self::prepare(options, chain_id, kms_auth).await
    }

    /// A database in memory, gone when the store is dropped.
    ///
    /// # Errors
    /// When SQLite cannot.
    pub async fn in_memory(chain_id: u64, kms_auth: Address) -> Result<Self, StoreError> {
        Self::prepare(SqliteConnectOptions::new().in_memory(true).foreign_keys(true), chain_id, kms_auth)
            .await
    }

    async fn prepare(
        options: SqliteConnectOptions,
        chain_id: u64,
        kms_auth: Address,
    ) -> Result<Self, StoreError> {
        // One connection: SQLite has one writer anyway, and so no statement ever meets a lock.
        let pool = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        sqlx::migrate!("./migrations").run(&pool).await?;
        let store = Self { pool };
        store.claim(chain_id, kms_auth).await?;
        Ok(store)
    }

    async fn claim(&self, chain_id: u64, kms_auth: Address) -> Result<(), StoreError> {
        let ours = kms_auth.to_checksum(None);
        sqlx::query("INSERT OR IGNORE INTO progress (id, chain_id, kms_auth) VALUES (0, ?, ?)")
            .bind(int(chain_id)?)
            .bind(&ours)
            .execute(&self.pool)
            .await?;
        let row = sqlx::query("SELECT chain_id, kms_auth FROM progress").fetch_one(&self.pool).await?;
        let (chain, auth) = (number(&row, "chain_id")?, row.try_get::<String, _>("kms_auth")?);
        match chain == chain_id && auth == ours {
            true => Ok(()),
            false => Err(StoreError::OtherDeployment { chain_id: chain, kms_auth: auth }),
        }
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

impl Store for SqliteStore {
    fn progress(&self) -> Answer<'_, Progress> {
        chain::progress(self).boxed()
    }

    fn block_hash(&self, number: u64) -> Answer<'_, Option<B256>> {
        chain::block_hash(self, number).boxed()
    }

    fn apply(&self, step: Step) -> Answer<'_, ()> {
        chain::apply(self, step).boxed()
    }

    fn logs(&self, from: u64, to: u64, limit: u32) -> Answer<'_, Vec<StoredLog>> {
        chain::logs(self, from, to, limit).boxed()
    }

    fn apps(&self) -> Answer<'_, Vec<AppRecord>> {
        chain::apps(self).boxed()
    }

    fn enqueue(&self, effects: Vec<NewEffect>) -> Answer<'_, ()> {
        outbox::enqueue(self, effects).boxed()
    }

    fn pending(&self, lane: Lane, limit: u32) -> Answer<'_, Vec<Queued>> {
        outbox::pending(self, lane, limit).boxed()
    }

    fn open_effects(&self) -> Answer<'_, u64> {
        outbox::open_effects(self).boxed()
    }

    fn open_of(&self, origin: String) -> Answer<'_, u64> {
        outbox::open_of(self, origin).boxed()
    }

    fn effect_state(&self, key: String) -> Answer<'_, Option<String>> {
        outbox::effect_state(self, key).boxed()
    }

    fn attempt_failed(&self, key: String, error: String, give_up: bool) -> Answer<'_, ()> {
        outbox::attempt_failed(self, key, error, give_up).boxed()
    }

    fn complete(&self, key: String, follow: Vec<NewEffect>) -> Answer<'_, ()> {
        outbox::complete(self, key, follow).boxed()
    }

    fn keep_transaction(&self, key: String, tx: SignedTx) -> Answer<'_, ()> {
        outbox::keep_transaction(self, key, tx).boxed()
    }

    fn in_flight(&self) -> Answer<'_, Vec<InFlight>> {
        outbox::in_flight(self).boxed()
    }

    fn mined(&self, key: String, block: Option<BlockRef>) -> Answer<'_, ()> {
        outbox::mined(self, key, block).boxed()
    }

    fn unsend(&self, key: String, error: String) -> Answer<'_, ()> {
        outbox::unsend(self, key, error).boxed()
    }

    fn deliver(&self, letter: Letter, hash: B256, caps: MailboxCaps) -> Answer<'_, Delivery> {
        mailbox::deliver(self, letter, hash, caps).boxed()
    }

    fn letters(&self, recipient: Address, after: u64, limit: u32) -> Answer<'_, Vec<Delivered>> {
        mailbox::letters(self, recipient, after, limit).boxed()
    }
}

/// SQLite's integers are signed.
fn int(n: u64) -> Result<i64, StoreError> {
    i64::try_from(n).map_err(|_| corrupt("integer", format!("{n} is above 2^63")))
}

fn number(row: &SqliteRow, column: &'static str) -> Result<u64, StoreError> {
    let n: i64 = row.try_get(column)?;
    u64::try_from(n).map_err(|e| corrupt(column, e))
}

fn maybe_number(row: &SqliteRow, column: &'static str) -> Result<Option<u64>, StoreError> {
    let n: Option<i64> = row.try_get(column)?;
    n.map(u64::try_from).transpose().map_err(|e| corrupt(column, e))
}

/// A column whose text is a hash, an address, bytes …
fn parsed<T: FromStr<Err: Display>>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    row.try_get::<&str, _>(column)?.parse().map_err(|e| corrupt(column, e))
}

fn block(row: &SqliteRow, height: &'static str, hash: &'static str) -> Result<Option<BlockRef>, StoreError> {
    let text: Option<&str> = row.try_get(hash)?;
    match (maybe_number(row, height)?, text) {
        (Some(number), Some(text)) => {
            Ok(Some(BlockRef { number, hash: text.parse().map_err(|e| corrupt(hash, e))? }))
        }
        _ => Ok(None),
    }
}

fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(row.try_get(column)?).map_err(|e| corrupt(column, e))
}

fn to_json<T: serde::Serialize>(value: &T, what: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| corrupt(what, e))
}

fn corrupt(what: &'static str, why: impl Display) -> StoreError {
    StoreError::Corrupt { what, why: why.to_string() }
}
