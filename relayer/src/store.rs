// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the relayer remembers, behind a trait: one SQLite file by default, PostgreSQL for several relayers.
//!
//! Five rules make crashes and many relayers harmless (G-10):
//! - a block's cursor, its events, the state folded at finality and the effects they cause are written in one transaction
//!   ([`Store::apply`]), and only by the relayer that holds [`Lock::Follow`];
//! - every effect has a key, and enqueuing a key again changes nothing;
//! - an attempt begins with a claim that no other relayer has, and which ends by itself when its relayer dies;
//! - a transaction is kept before it is broadcast;
//! - nonces are chosen, and transactions kept, only by the relayer that holds [`Lock::Signer`].
//!
//! One handle is one relayer: locks and claims are its own.

use std::{fmt::Debug, path::Path, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use futures::{
    TryFutureExt,
    future::{BoxFuture, FutureExt},
};
use mandate_model::{
    state::{Committee, Domain, Registration, State},
    wire::relayer::{Delivered, Letter},
};
use mandate_runtime::{Clock, config::Secret};
use thiserror::Error;

use crate::{chain::Contracts, config::StoreConfig, effects::NewEffect};

mod folded;
mod postgres;
mod sqlite;
mod types;

pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;
pub use types::*;

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database refused or is broken.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database holds something that this version did not write.
    #[error("database holds a malformed {what}: {why}")]
    Corrupt {
        /// Which column.
        what: &'static str,
        /// How it is malformed.
        why: String,
    },
    /// The database was made for another deployment.
    #[error(
        "this database belongs to chain {chain_id}, KmsAuth {kms_auth}; give this relayer a database of its own"
    )]
    OtherDeployment {
        /// Its chain.
        chain_id: u64,
        /// Its contract.
        kms_auth: Address,
    },
    /// The configuration does not say which database.
    #[error("needs exactly one of `path` and `url`")]
    NoPlace,
    /// Not shown, since it may hold a password.
    #[error("store.url is not a PostgreSQL URL")]
    MalformedUrl,
    /// Another process serves from this file.
    #[error("another relayer uses {0}: stop it, or give both a PostgreSQL database (store.url)")]
    InUse(String),
    /// The file that keeps other processes away cannot be had.
    #[error("cannot lock {path}: {source}")]
    LockFile {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// What is final is not forgotten: it was folded, and its effects are in the world.
    #[error("block {finalized} is final: blocks above {to} cannot be forgotten")]
    Final {
        /// Where it should have been rolled back to.
        to: u64,
        /// The newest finalised block.
        finalized: u64,
    },
    /// Another relayer has taken over: nothing was written.
    #[error("another relayer holds the lock for this ({0:?})")]
    NotHeld(Lock),
}

/// Opens the database that the configuration names, to serve from it.
///
/// # Errors
/// When it cannot be opened, is in use by a process that does not share it, or belongs to another deployment.
pub async fn open(
    config: &StoreConfig,
    contracts: &Contracts,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match config.place()? {
        Place::File(path) => {
            Arc::new(SqliteStore::open(path, contracts, clock).await?.with_lease(config.lease))
        }
        Place::Server(url) => {
            Arc::new(PostgresStore::connect(url, contracts, clock).await?.with_lease(config.lease))
        }
    })
}

/// One effect by its key.
///
/// # Errors
/// When the database fails.
pub async fn one(store: &dyn Store, key: String) -> Result<Option<OutboxEntry>, StoreError> {
    let query = OutboxQuery { key: Some(key), limit: 1, ..OutboxQuery::default() };
    Ok(store.outbox(query).await?.pop())
}

/// Opens it beside whoever serves from it, as the operator's commands do.
///
/// # Errors
/// When it cannot be opened or belongs to another deployment.
pub async fn open_beside(
    config: &StoreConfig,
    contracts: &Contracts,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match config.place()? {
        Place::File(path) => Arc::new(SqliteStore::open_beside(path, contracts, clock).await?),
        Place::Server(url) => Arc::new(PostgresStore::connect(url, contracts, clock).await?),
    })
}

enum Place<'a> {
    File(&'a Path),
    Server(&'a Secret),
}

impl StoreConfig {
    fn place(&self) -> Result<Place<'_>, StoreError> {
        match (&self.path, &self.url) {
            (Some(path), None) => Ok(Place::File(path)),
            (None, Some(url)) => Ok(Place::Server(url)),
            _ => Err(StoreError::NoPlace),
        }
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Durable memory. Each method is one transaction.
pub trait Store: Send + Sync + Debug {
    /// For how long locks are held and effects are claimed (`store.lease`), unless renewed: what a dead relayer costs.
    fn lease(&self) -> Duration;

    /// Takes or renews a lock; false when another relayer holds it.
    fn hold(&self, lock: Lock) -> Answer<'_, bool>;

    /// Renews a lock that is held without interruption since it was taken; false when it is not. What was read under a lock
    /// holds only as long as this does.
    fn extend(&self, lock: Lock) -> Answer<'_, bool>;

    /// Gives a lock back, if it is held.
    fn let_go(&self, lock: Lock) -> Answer<'_, ()>;

    /// Writes what changes nothing, durably: whether the database can be written.
    fn probe(&self) -> Answer<'_, ()>;

    /// How far the chain was followed.
    fn progress(&self) -> Answer<'_, Progress>;

    /// The hash of a processed block between the finalised one and the head.
    fn block_hash(&self, number: u64) -> Answer<'_, Option<B256>>;

    /// Writes a step. [`StoreError::NotHeld`] without [`Lock::Follow`].
    fn apply(&self, step: Step) -> Answer<'_, ()>;

    /// Logs of blocks `from..=to` in order, at most `limit`.
    fn logs(&self, from: u64, to: u64, limit: u32) -> Answer<'_, Vec<StoredLog>>;

    /// Events up to the head, by page.
    fn events(&self, query: EventQuery) -> Answer<'_, Vec<StoredLog>>;

    /// Every app that is registered at the head, oldest first.
    fn apps(&self) -> Answer<'_, Vec<AppRecord>>;

    /// Apps that are registered at the head, by address, behind `after`.
    fn apps_page(&self, after: Option<Address>, limit: u32) -> Answer<'_, Vec<AppRecord>>;

    /// The whole state that the events up to the finalised block tell (G-9). Large on a large deployment.
    fn folded(&self) -> Answer<'_, Folded<Option<State>>>;

    /// One registered app of the folded state.
    fn folded_app(&self, app: Address) -> Answer<'_, Folded<Option<FoldedApp>>>;

    /// Apps of the folded state by address, behind `after`.
    fn folded_apps(
        &self,
        after: Option<Address>,
        limit: u32,
    ) -> Answer<'_, Folded<Vec<(Address, Registration)>>>;

    /// The committee of the folded state.
    fn folded_committee(&self) -> Answer<'_, Folded<Committee>>;

    /// Domains of the folded state by the hash of their name, behind `after`.
    fn folded_domains(&self, after: Option<B256>, limit: u32) -> Answer<'_, Folded<Vec<(B256, Domain)>>>;

    /// Adds effects whose keys are new. A key that had been given up is taken up again.
    fn enqueue(&self, effects: Vec<NewEffect>) -> Answer<'_, ()>;

    /// Effects whose time has come, those that failed least first: a dead target holds up nobody else's. Nobody else gets
    /// them until the lease ends, their outcome is noted or they are released.
    fn claim(&self, lane: Lane, limit: u32) -> Answer<'_, Vec<Queued>>;

    /// Extends what this relayer has claimed in a lane.
    fn renew(&self, lane: Lane) -> Answer<'_, ()>;

    /// Gives back what this relayer has claimed in a lane.
    fn release(&self, lane: Lane) -> Answer<'_, ()>;

    /// Gives one claimed effect back, not to be claimed before this has passed. It was not attempted.
    fn postpone(&self, key: String, after: Duration) -> Answer<'_, ()>;

    /// In how long there is something to claim, if nothing changes; nothing when nothing waits.
    fn next_due(&self, lane: Lane) -> Answer<'_, Option<Duration>>;

    /// Number of effects that are under way or wait: `pending`, `sent`, `mined`. Without those that are meant for a later time.
    fn open_effects(&self) -> Answer<'_, u64>;

    /// Number of effects of one origin that wait or are under way.
    fn open_of(&self, origin: String) -> Answer<'_, u64>;

    /// The state of an effect by name, see [`EffectState`].
    fn effect_state(&self, key: String) -> Answer<'_, Option<String>>;

    /// How many effects of each kind are in each state, those that are done left out.
    fn depths(&self) -> Answer<'_, Vec<Depth>>;

    /// Effects for the operator, by page.
    fn outbox(&self, query: OutboxQuery) -> Answer<'_, Vec<OutboxEntry>>;

    /// How often effects of each kind were cancelled since the database was made.
    fn cancellations(&self) -> Answer<'_, Vec<(String, u64)>>;

    /// Cancels an effect that is neither mined nor done; tells whether it did. One whose transaction was sent keeps it, see
    /// [`InFlight::cancelled`].
    fn cancel(&self, key: String) -> Answer<'_, bool>;

    /// Tries an effect again at once that waits, was given up or cancelled; tells whether it did.
    fn retry(&self, key: String) -> Answer<'_, bool>;

    /// Notes a failed attempt of a claimed effect.
    fn attempt_failed(&self, key: String, error: String, next: Next) -> Answer<'_, ()>;

    /// Marks an effect as done and enqueues what follows from it.
    fn complete(&self, key: String, follow: Vec<NewEffect>) -> Answer<'_, ()>;

    /// Keeps a signed transaction, before it is broadcast: of a claimed effect, or in place of an earlier one of the same
    /// nonce. False when the effect is no longer this relayer's to send: it must not be broadcast then.
    /// [`StoreError::NotHeld`] without [`Lock::Signer`].
    fn keep_transaction(&self, key: String, tx: SignedTx) -> Answer<'_, bool>;

    /// Effects with transactions of `signer` that are not final.
    fn in_flight(&self, signer: Address) -> Answer<'_, Vec<InFlight>>;

    /// Notes where an effect's transaction was mined, or with nothing that it no longer is.
    fn mined(&self, key: String, landed: Option<Landed>) -> Answer<'_, ()>;

    /// Drops an effect's transactions, whose nonce went to something else, so that it is tried anew, unless it was cancelled.
    fn unsend(&self, key: String, error: String) -> Answer<'_, ()>;

    /// What stops grants.
    fn latches(&self) -> Answer<'_, Vec<Latch>>;

    /// Sets a latch and enqueues what is told of it; keeps what is told of its end. One of its kind that is there stays as it
    /// is, and nothing more is told. Tells whether it was set.
    fn latch(&self, latch: Latch, telling: Telling) -> Answer<'_, bool>;

    /// The same, told to nobody.
    fn set_latch(&self, latch: Latch) -> Answer<'_, ()> {
        self.latch(latch, Telling::default()).map_ok(|_| ()).boxed()
    }

    /// Clears a latch and enqueues what is told of its end; tells whether it was there.
    fn clear_latch(&self, kind: String) -> Answer<'_, bool>;

    /// Puts a letter into its recipient's mailbox. The same letter again keeps its place.
    fn deliver(&self, letter: Letter, hash: B256, caps: MailboxCaps) -> Answer<'_, Delivery>;

    /// Letters for `recipient` after `cursor`, at most `limit`.
    fn letters(&self, recipient: Address, after: u64, limit: u32) -> Answer<'_, Vec<Delivered>>;
}
