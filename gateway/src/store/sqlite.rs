// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store in one SQLite file: write-ahead log, every commit synced. Gateways of one machine may share it.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    time::Duration,
};

use mandate_runtime::Ambient;
use sqlx::{
    Pool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::StoreError;

// The same statements for both databases.
#[allow(clippy::duplicate_mod)]
#[path = "sql.rs"]
mod sql;

pub use sql::SqlStore as SqliteStore;

type Db = sqlx::Sqlite;
type DbRow = SqliteRow;

const MIGRATOR: Migrator = sqlx::migrate!("./migrations/sqlite");
/// Takes the place of the only writer at once, so that no transaction fails half way.
const BEGIN: &str = "BEGIN IMMEDIATE";

impl SqliteStore {
    /// Opens or makes the database at `path`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(path: &Path, ambient: &Ambient) -> Result<Self, StoreError> {
        // Synced at every commit: an authority counts orders that a power failure makes us forget.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let turn = wait_to_open(path).await?;
        let pool = pool(2).connect_with(options).await?;
        migrate(&pool).await?;
        drop(turn);
        Ok(Self::new(pool, ambient))
    }

    /// A database in memory, gone when the store is dropped.
    ///
    /// # Errors
    /// When SQLite cannot.
    pub async fn in_memory(ambient: &Ambient) -> Result<Self, StoreError> {
        let pool = pool(1).connect_with(SqliteConnectOptions::new().in_memory(true)).await?;
        migrate(&pool).await?;
        Ok(Self::new(pool, ambient))
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    let options = SqlitePoolOptions::new().min_connections(1).max_connections(connections);
    options.idle_timeout(None).max_lifetime(None)
}

/// sqlx's migrator takes no lock in SQLite.
async fn migrate(pool: &Pool<Db>) -> Result<(), StoreError> {
    let mut tx = pool.begin_with(BEGIN).await?;
    MIGRATOR.run(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// Waits until nobody else opens this database; others wait until what this gives is dropped. Giving a new file its write-ahead
/// log wants the file alone, and for that SQLite waits for nobody.
async fn wait_to_open(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".opening");
    let path = Path::new(&name).display().to_string();
    let open = move || {
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&name)?;
        file.lock().map(|()| file)
    };
    let opened = tokio::task::spawn_blocking(open).await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    opened.map_err(|source| StoreError::LockFile { path, source })
}
