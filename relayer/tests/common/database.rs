// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The databases that tests run on: each test has one of its own, and opens it as often as it wants relayers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use mandate_relayer::{
    chain::Contracts,
    config::StoreConfig,
    store::{Store, open, open_beside},
};
use mandate_runtime::{Clock, clock::SystemClock, config::Secret};
use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

/// Where the test recipe has started a PostgreSQL for us.
const POSTGRES: &str = "MANDATE_TEST_POSTGRES";

/// What relayers wait for one that died, unless a test says otherwise.
pub const LEASE: Duration = Duration::from_secs(10);

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// The system's time, and some: leases of the dead end without waiting for them.
#[derive(Debug, Default)]
pub struct ShiftedClock {
    system: SystemClock,
    shift: AtomicU64,
}

impl ShiftedClock {
    pub fn shift(&self, by: Duration) {
        self.shift.fetch_add(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn unix(&self) -> u64 {
        self.unix_time().as_secs()
    }
    fn unix_time(&self) -> Duration {
        self.system.unix_time() + Duration::from_secs(self.shift.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.system.sleep(duration)
    }
}

/// One database.
pub struct Database {
    pub config: StoreConfig,
    pub clock: Arc<ShiftedClock>,
    contracts: Contracts,
    _dir: TempDir,
}

impl Database {
    /// An empty one.
    pub async fn new(kind: Kind, contracts: Contracts) -> Self {
        let dir = fast_directory();
        let config = match kind {
            Kind::Sqlite => StoreConfig::file(dir.path().join("relayer.sqlite")),
            Kind::Postgres => StoreConfig::server(Secret::new(schema().await)),
        };
        Self { config, clock: Arc::default(), contracts, _dir: dir }
    }

    /// The first relayer on it.
    pub async fn open(&self) -> Arc<dyn Store> {
        open(&self.config, &self.contracts, Arc::clone(&self.clock) as Arc<dyn Clock>).await.unwrap()
    }

    /// One more, at the same time.
    pub async fn open_another(&self) -> Arc<dyn Store> {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        open_beside(&self.config, &self.contracts, clock).await.unwrap()
    }

    /// A connection of somebody else.
    pub async fn outsider(&self) -> Outsider {
        match (&self.config.path, &self.config.url) {
            (Some(path), _) => {
                let options = SqliteConnectOptions::new().filename(path);
                Outsider::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
            }
            (None, Some(url)) => Outsider::Postgres(PgConnection::connect(url.expose()).await.unwrap()),
            (None, None) => unreachable!("a database has a place"),
        }
    }

    /// A relayer after all others have died. In SQLite their file must have been closed.
    pub async fn reopen(&self) -> Arc<dyn Store> {
        self.clock.shift(Duration::from_secs(120));
        self.open().await
    }
}

/// Somebody who does things to a relayer's database.
pub enum Outsider {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Outsider {
    pub async fn does(&mut self, statements: &str) {
        let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()));
        match self {
            Self::Sqlite(connection) => statements.execute(connection).await.map(|_| ()),
            Self::Postgres(connection) => statements.execute(connection).await.map(|_| ()),
        }
        .unwrap();
    }

    pub async fn counts(&mut self, query: &'static str) -> i64 {
        match self {
            Self::Sqlite(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
        }
        .unwrap()
    }

    /// From now on no block can be written, as with a full disk.
    pub async fn breaks(&mut self) {
        let trigger = match self {
            Self::Sqlite(_) => {
                "CREATE TRIGGER broken BEFORE UPDATE ON progress BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
            }
            Self::Postgres(_) => {
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'read-only'; END $$;
                 CREATE TRIGGER broken BEFORE UPDATE ON progress FOR EACH ROW EXECUTE FUNCTION broken()"
            }
        };
        self.does(trigger).await;
    }

    pub async fn mends(&mut self) {
        let trigger = match self {
            Self::Sqlite(_) => "DROP TRIGGER broken",
            Self::Postgres(_) => "DROP TRIGGER broken ON progress",
        };
        self.does(trigger).await;
    }
}

/// In memory where there is such a file system: what dies here are processes, not machines, and a sync to disk takes longer
/// than all the rest of a test.
fn fast_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
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
    let moment = SystemClock::new().unix_time().as_nanos();
    let name = format!("t{moment}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options=-csearch_path%3D{name}")
}

/// The same test on both databases.
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[$meta:meta])* $name:ident;)*) => {
        mod sqlite {
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Kind::Sqlite).await })*
        }
        mod postgres {
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Kind::Postgres).await })*
        }
    };
}
