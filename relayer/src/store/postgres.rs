// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store in PostgreSQL, for several relayers. Each transaction is `READ COMMITTED`: rows that two relayers may want are
//! taken by an update, a unique key or `FOR UPDATE SKIP LOCKED`.

use std::{str::FromStr, sync::Arc, time::Duration};

use mandate_runtime::{Clock, config::Secret};
use sqlx::{
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};

use super::StoreError;
use crate::chain::Contracts;

// The same statements for both databases: see there.
#[allow(clippy::duplicate_mod)]
#[path = "sql.rs"]
mod sql;

pub use sql::SqlStore as PostgresStore;

type Db = sqlx::Postgres;
type Row = PgRow;

const MIGRATOR: Migrator = sqlx::migrate!("./migrations/postgres");
const BEGIN: &str = "BEGIN";
/// Reads of one transaction see one moment.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// What another relayer is just claiming is its.
const SKIP_LOCKED: &str = " FOR UPDATE SKIP LOCKED";
const LOCK_LETTERS: Option<&str> = Some("LOCK TABLE letters IN SHARE ROW EXCLUSIVE MODE");

/// Connections of one relayer, at most.
const CONNECTIONS: u32 = 8;
/// How long a relayer waits for a connection before it says that the database is away.
const PATIENCE: Duration = Duration::from_secs(10);

impl PostgresStore {
    /// Connects to the database at `url` for one deployment; makes its tables when they are not there.
    ///
    /// # Errors
    /// When it cannot be reached or belongs to another deployment. The URL is not part of the text: it may hold a password.
    pub async fn connect(
        url: &Secret,
        contracts: &Contracts,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url.expose()).map_err(|_| StoreError::MalformedUrl)?;
        let options = options.application_name("mandate-relayer");
        let pool = PgPoolOptions::new().min_connections(1).max_connections(CONNECTIONS);
        let pool = pool.acquire_timeout(PATIENCE).connect_with(options).await?;
        // One relayer at a time: the migrator takes a lock of the database.
        MIGRATOR.run(&pool).await?;
        Self::new(pool.clone(), pool, None, contracts, clock).await
    }
}
