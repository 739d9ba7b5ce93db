// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store in PostgreSQL, for a fleet. Each transaction is `READ COMMITTED`: rows that two gateways may want are taken by an
//! update or a unique key.

use std::{str::FromStr, time::Duration};

use mandate_runtime::{Ambient, config::Secret};
use sqlx::{
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};

use super::StoreError;

// The same statements for both databases: see there.
#[allow(clippy::duplicate_mod)]
#[path = "sql.rs"]
mod sql;

pub use sql::SqlStore as PostgresStore;

type Db = sqlx::Postgres;
type DbRow = PgRow;

const MIGRATOR: Migrator = sqlx::migrate!("./migrations/postgres");
const BEGIN: &str = "BEGIN";

/// Connections of one gateway, at most.
const CONNECTIONS: u32 = 8;
/// How long a gateway waits for a connection before it says that the database is away.
const PATIENCE: Duration = Duration::from_secs(10);

impl PostgresStore {
    /// Connects to the database at `url`; makes its tables when they are not there.
    ///
    /// # Errors
    /// When it cannot be reached. The URL is not part of the text: it may hold a password.
    pub async fn connect(url: &Secret, ambient: &Ambient) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url.expose()).map_err(|_| StoreError::MalformedUrl)?;
        let options = options.application_name("mandate-gateway");
        let pool = PgPoolOptions::new().min_connections(1).max_connections(CONNECTIONS);
        let pool = pool.acquire_timeout(PATIENCE).connect_with(options).await?;
        // One gateway at a time: the migrator takes a lock of the database.
        MIGRATOR.run(&pool).await?;
        Ok(Self::new(pool, ambient))
    }
}
