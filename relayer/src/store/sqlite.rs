// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store in one SQLite file: write-ahead log, every commit synced.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mandate_runtime::Clock;
use sqlx::{
    Pool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::StoreError;
use crate::chain::Contracts;

// The same statements for both databases.
#[allow(clippy::duplicate_mod)]
#[path = "sql.rs"]
mod sql;

pub use sql::SqlStore as SqliteStore;

type Db = sqlx::Sqlite;
type Row = SqliteRow;

const MIGRATOR: Migrator = sqlx::migrate!("./migrations/sqlite");
/// Takes the place of the only writer at once, so that no transaction fails half way.
const BEGIN: &str = "BEGIN IMMEDIATE";
/// Reads of one transaction see one moment.
const BEGIN_READ: &str = "BEGIN DEFERRED";
/// There is one writer at a time.
const SKIP_LOCKED: &str = "";
const LOCK_LETTERS: Option<&str> = None;

/// Connections that only read: they never wait for the writer.
const READERS: u32 = 4;
/// 32 MiB, as SQLite counts it, so that the indices of a backfill stay in memory.
const WRITER_CACHE: &str = "-32768";
/// 2 MiB for each of the readers.
const READER_CACHE: &str = "-2048";

impl SqliteStore {
    /// Opens or makes the database at `path` for one deployment, for this process alone. What a dead predecessor held is free.
    ///
    /// # Errors
    /// When it cannot be opened, is in use, or belongs to another deployment.
    pub async fn open(path: &Path, contracts: &Contracts, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let guard = lock(path)?;
        let store = Self::at(path, contracts, clock, Some(guard)).await?;
        store.forget_holders().await?;
        Ok(store)
    }

    /// The database is this process's alone: whoever held something is dead.
    async fn forget_holders(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM leases").execute(&mut *tx).await?;
        sqlx::query("UPDATE outbox SET worker = NULL, leased_until = 0 WHERE state = 'pending'")
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Opens the database beside the relayer that serves from it, as the operator's commands do.
    ///
    /// # Errors
    /// When it cannot be opened or belongs to another deployment.
    pub async fn open_beside(
        path: &Path,
        contracts: &Contracts,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::at(path, contracts, clock, None).await
    }

    async fn at(
        path: &Path,
        contracts: &Contracts,
        clock: Arc<dyn Clock>,
        guard: Option<File>,
    ) -> Result<Self, StoreError> {
        // Synced at every commit: an accepted submission must outlive a power failure.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let turn = wait_to_open(path).await?;
        let writer = pool(1).connect_with(options.clone().pragma("cache_size", WRITER_CACHE)).await?;
        migrate(&writer).await?;
        let reading = options.read_only(true).pragma("cache_size", READER_CACHE);
        let readers = pool(READERS).connect_with(reading).await?;
        drop(turn);
        Self::new(writer, readers, guard, contracts, clock).await
    }

    /// A database in memory, gone when the store is dropped.
    ///
    /// # Errors
    /// When SQLite cannot.
    pub async fn in_memory(contracts: &Contracts, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let only = pool(1).connect_with(options).await?;
        migrate(&only).await?;
        Self::new(only.clone(), only, None, contracts, clock).await
    }
}

/// Brings the tables up to date. An operator's command may meet a relayer that starts on a new file: one of them makes the
/// tables, the other waits for it. sqlx's migrator takes no lock in SQLite.
async fn migrate(pool: &Pool<Db>) -> Result<(), StoreError> {
    let mut tx = pool.begin_with(BEGIN).await?;
    MIGRATOR.run(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// One writer: SQLite has no more anyway, and so no statement of this process ever meets a lock.
fn pool(connections: u32) -> SqlitePoolOptions {
    let options = SqlitePoolOptions::new().min_connections(1).max_connections(connections);
    options.idle_timeout(None).max_lifetime(None)
}

/// The system gives the lock back when this process ends, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let (file, name) = lock_file(path, ".lock")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.display().to_string())),
        Err(TryLockError::Error(source)) => Err(StoreError::LockFile { path: name, source }),
    }
}

/// Waits until nobody else opens this database; others wait until what this gives is dropped. Giving a new file its write-ahead
/// log wants the file alone, and for that SQLite waits for nobody.
async fn wait_to_open(path: &Path) -> Result<File, StoreError> {
    let (file, path) = lock_file(path, ".opening")?;
    let waiting = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
    let locked = waiting.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    locked.map_err(|source| StoreError::LockFile { path, source })
}

/// A file beside the database, and its name.
fn lock_file(path: &Path, ending: &str) -> Result<(File, String), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    let beside = PathBuf::from(name);
    let name = beside.display().to_string();
    match OpenOptions::new().create(true).write(true).truncate(false).open(&beside) {
        Ok(file) => Ok((file, name)),
        Err(source) => Err(StoreError::LockFile { path: name, source }),
    }
}
