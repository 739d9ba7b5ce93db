// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The databases that tests run on: each test has one of its own.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use mandate_gateway::config::StoreConfig;
use mandate_runtime::config::Secret;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

/// Where the test recipe has started a PostgreSQL for us.
const POSTGRES: &str = "MANDATE_TEST_POSTGRES";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

pub struct Database {
    pub config: StoreConfig,
    _dir: TempDir,
}

impl Database {
    pub async fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::sqlite(),
            Kind::Postgres => {
                let postgres = Some(Secret::new(schema().await));
                let config = StoreConfig { sqlite: None, postgres };
                Self { config, _dir: tempfile::tempdir().unwrap() }
            }
        }
    }

    /// In memory where there is such a file system: what dies here are processes, not machines.
    pub fn sqlite() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let sqlite = Some(dir.path().join("gateway.sqlite"));
        Self { config: StoreConfig { sqlite, postgres: None }, _dir: dir }
    }

    async fn sqlite_connection(&self) -> Option<SqliteConnection> {
        let options = SqliteConnectOptions::new().filename(self.config.sqlite.as_ref()?);
        Some(SqliteConnection::connect_with(&options).await.unwrap())
    }

    async fn postgres_connection(&self) -> PgConnection {
        PgConnection::connect(self.config.postgres.as_ref().unwrap().expose()).await.unwrap()
    }

    /// Somebody else does this to it.
    pub async fn does(&self, statement: &str) {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        match self.sqlite_connection().await {
            Some(mut connection) => statement.execute(&mut connection).await.map(|_| ()),
            None => statement.execute(&mut self.postgres_connection().await).await.map(|_| ()),
        }
        .unwrap();
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        match self.sqlite_connection().await {
            Some(mut connection) => sqlx::query_scalar(query).fetch_one(&mut connection).await,
            None => sqlx::query_scalar(query).fetch_one(&mut self.postgres_connection().await).await,
        }
        .unwrap()
    }
}

/// A schema of our own in the recipe's PostgreSQL, as a URL.
async fn schema() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let server = std::env::var(POSTGRES).unwrap_or_else(|_| {
        panic!(
            "{POSTGRES} is not set: `script/with-postgres cargo nextest run …` starts a PostgreSQL for the tests \
             (so does script/test), or set it to the URL of one where schemas may be made"
        )
    });
    let moment = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let name = format!("g{moment}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    let mut connection = PgConnection::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut connection).await.unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options=-csearch_path%3D{name}")
}

/// The same test on both databases.
#[macro_export]
macro_rules! on_both {
    ($($name:ident;)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::Kind::Sqlite).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::Kind::Postgres).await })*
        }
    };
}
