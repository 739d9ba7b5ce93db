// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the gateways of one fleet share: certificates, orders under way, and pauses after failures. One SQLite file, or
//! PostgreSQL. Private keys are never here; every gateway derives the same ones.
//!
//! Three rules make crashes and many gateways harmless:
//! - an order begins with a claim that no other gateway has ([`Store::claim`]), which ends by itself when its gateway dies;
//! - a certificate is written in the transaction that ends the claim, and only while it is held ([`Store::complete`]);
//! - rows are believed in nothing: what is read is parsed, and checked against the derived key before it counts.
//!
//! One handle is one gateway: claims are its own.

use std::{fmt, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use futures::{future::BoxFuture, stream::BoxStream};
use mandate_acme::name::Subject;
use mandate_runtime::Ambient;
use thiserror::Error;

use crate::config::StoreConfig;

mod postgres;
mod record;
mod sqlite;

pub use postgres::PostgresStore;
pub use record::{Damaged, Record, Row, digest_of, split};
pub use sqlite::SqliteStore;

/// How long a claim holds without being renewed: what a dead gateway costs the others.
pub const LEASE: Duration = Duration::from_secs(60);

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database refused or is broken.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Not shown, since it may hold a password.
    #[error("store.postgres is not a PostgreSQL URL")]
    MalformedUrl,
    /// A row is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The file that lets one process at a time make the tables cannot be had.
    #[error("cannot lock {path}: {source}")]
    LockFile {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Opens the database that the configuration names, one in memory when it names none.
///
/// # Errors
/// When it cannot be opened.
pub async fn open(config: &StoreConfig, ambient: &Ambient) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match (&config.sqlite, &config.postgres) {
        (_, Some(url)) => Arc::new(PostgresStore::connect(url, ambient).await?),
        (Some(path), None) => Arc::new(SqliteStore::open(path, ambient).await?),
        (None, None) => {
            tracing::warn!("no store is configured: certificates are ordered anew after every start");
            Arc::new(SqliteStore::in_memory(ambient).await?)
        }
    })
}

/// Whose certificate it is: of a domain while an app holds it, or of the gateway's own names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The names.
    pub subject: Subject,
    /// The app; none for the gateway's own names.
    pub app: Option<Address>,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.app {
            Some(app) => write!(f, "{} of app {app}", self.subject),
            None => write!(f, "{} of the gateway itself", self.subject),
        }
    }
}

/// Names the secret that the keys of a fleet derive from, without telling anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(pub [u8; 16]);

/// When a certificate is to be renewed. The whole fleet follows the same plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The chosen moment, Unix seconds.
    pub renew_at: u64,
    /// When the issuer is asked for its opinion again, Unix seconds.
    pub ask_at: u64,
}

/// What tells whether a certificate is another than the one that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Whose.
    pub slot: Slot,
    /// SHA-256 of its chain.
    pub digest: B256,
    /// When it is to be renewed, once that was decided.
    pub plan: Option<Plan>,
}

/// What came of asking for the right to order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is this gateway's for [`LEASE`]; so many orders failed in a row before.
    Taken {
        /// Failures in a row.
        failures: u32,
    },
    /// Another gateway orders.
    Elsewhere,
    /// It failed a moment ago, or the authority wants to be left alone.
    TooSoon {
        /// How long still.
        after: Duration,
    },
}

/// How an order ended that gave no certificate.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Failures in a row, this one included.
    pub failures: u32,
    /// How long this subject waits.
    pub pause: Duration,
    /// How long every subject waits.
    pub authority: Duration,
    /// In words, for operators.
    pub error: String,
}

/// A challenge of an order under way, of which any gateway of the fleet may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// SHA-256 of the key authorization.
    pub digest: Vec<u8>,
    /// When it is over, milliseconds since the Unix epoch.
    pub expires_at: i64,
    /// By which gateways know that one of them wrote it.
    pub tag: Vec<u8>,
}

/// What a store answers, in time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Durable memory. Each method is one transaction.
pub trait Store: Send + Sync + fmt::Debug {
    /// Every certificate, of whatever generation.
    fn rows(&self) -> BoxStream<'_, Result<Row, StoreError>>;

    /// Which certificates of one generation there are. What is damaged comes as such.
    fn marks(&self, generation: Generation) -> Answer<'_, Vec<Result<Mark, Damaged>>>;

    /// One certificate.
    fn row(&self, generation: Generation, slot: Slot) -> Answer<'_, Option<Row>>;

    /// Takes the right to order a subject, unless another gateway has it or it is too soon.
    fn claim(&self, subject: Subject) -> Answer<'_, Claim>;

    /// Renews a claim; false when it is no longer this gateway's.
    fn extend(&self, subject: Subject) -> Answer<'_, bool>;

    /// Gives a claim back as it was.
    fn let_go(&self, subject: Subject) -> Answer<'_, ()>;

    /// Keeps a certificate in place of the one before it and ends the claim, whole or not at all; false, and nothing is kept,
    /// when the claim is no longer this gateway's. The one before stays among the superseded ones.
    fn complete(&self, generation: Generation, record: Record) -> Answer<'_, bool>;

    /// Ends a claim with a failure, if it is still this gateway's.
    fn fail(&self, subject: Subject, failure: Failure) -> Answer<'_, ()>;

    /// Forgets a certificate, unless another one has taken its place.
    fn forget(&self, generation: Generation, slot: Slot, digest: B256) -> Answer<'_, ()>;

    /// The certificates that others have followed, the ones that were forgotten apart.
    fn superseded(&self, generation: Generation, slot: Slot) -> Answer<'_, Vec<Row>>;

    /// Forgets a superseded certificate.
    fn drop_superseded(&self, generation: Generation, slot: Slot, digest: Vec<u8>) -> Answer<'_, ()>;

    /// Shows every gateway of the fleet a name's challenge, in place of another one; and forgets those that are over.
    fn open_challenge(&self, name: String, challenge: Challenge) -> Answer<'_, ()>;

    /// Takes it back, unless another one stands in its place.
    fn close_challenge(&self, name: String, digest: Vec<u8>) -> Answer<'_, ()>;

    /// A name's challenge, whether over or not.
    fn challenge(&self, name: String) -> Answer<'_, Option<Challenge>>;

    /// Sets a certificate's plan if it still is as it was `before`; tells whether it was.
    fn plan(
        &self,
        generation: Generation,
        slot: Slot,
        digest: B256,
        before: Option<Plan>,
        plan: Plan,
    ) -> Answer<'_, bool>;
}
