// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store in SQL. Compiled once per database: what differs (types of sqlx, a few words of SQL) comes from the module above,
//! `sqlite` or `postgres`; both take `$1` for a parameter, `ON CONFLICT` and `RETURNING`.

use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use futures::future::FutureExt;
use mandate_model::{
    state::{Committee, Contracts as FoldedContracts, Domain, Registration, State},
    wire::relayer::{Delivered, Letter},
};
use mandate_runtime::Clock;
use sqlx::Pool;

use super::{BEGIN, BEGIN_READ, Db, LOCK_LETTERS, Row, SKIP_LOCKED};
use crate::{
    chain::Contracts,
    config::DEFAULT_LEASE,
    effects::NewEffect,
    store::{
        Answer, AppRecord, Delivery, Depth, EventQuery, Folded, FoldedApp, InFlight, Landed, Lane, Latch,
        Lock, MailboxCaps, Next, OutboxEntry, OutboxQuery, Progress, Queued, SignedTx, Step, Store,
        StoreError, StoredLog, Telling,
    },
};

#[path = "sql/chain.rs"]
mod chain;
#[path = "sql/events.rs"]
mod events;
#[path = "sql/fold.rs"]
mod fold;
#[path = "sql/latches.rs"]
mod latches;
#[path = "sql/leases.rs"]
mod leases;
#[path = "sql/mailbox.rs"]
mod mailbox;
#[path = "sql/operator.rs"]
mod operator;
#[path = "sql/outbox.rs"]
mod outbox;
#[path = "sql/rows.rs"]
mod rows;
#[path = "sql/transactions.rs"]
mod transactions;

type Tx = sqlx::Transaction<'static, Db>;

/// A store in a database. A clone is the same relayer.
#[derive(Debug, Clone)]
pub struct SqlStore {
    writer: Pool<Db>,
    readers: Pool<Db>,
    clock: Arc<dyn Clock>,
    contracts: FoldedContracts,
    /// Which relayer this is, among all that ever opened the database.
    worker: i64,
    lease: Duration,
    /// Until when locks were taken, in this relayer's time.
    held: Arc<Mutex<HashMap<Lock, Duration>>>,
    /// Keeps other processes from serving from the same file.
    _guard: Option<Arc<File>>,
}

impl SqlStore {
    pub(super) async fn new(
        writer: Pool<Db>,
        readers: Pool<Db>,
        guard: Option<File>,
        contracts: &Contracts,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let worker = leases::number(&writer, contracts).await?;
        Ok(Self {
            writer,
            readers,
            clock,
            contracts: FoldedContracts {
                kms_auth: contracts.kms_auth,
                committee: contracts.committee,
                domain_registry: contracts.domain_registry,
            },
            worker,
            lease: DEFAULT_LEASE,
            held: Arc::default(),
            _guard: guard.map(Arc::new),
        })
    }

    /// Locks are held, and effects claimed, for so long.
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(self.writer.begin_with(BEGIN).await?)
    }

    async fn begin_read(&self) -> Result<Tx, StoreError> {
        Ok(self.readers.begin_with(BEGIN_READ).await?)
    }

    /// Milliseconds since the Unix epoch, and the same after `later`.
    fn now(&self, later: Duration) -> i64 {
        let then = self.clock.unix_time().saturating_add(later);
        i64::try_from(then.as_millis()).unwrap_or(i64::MAX)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Lock, Duration>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for SqlStore {
    fn lease(&self) -> Duration {
        self.lease
    }
    fn hold(&self, lock: Lock) -> Answer<'_, bool> {
        leases::hold(self, lock).boxed()
    }
    fn extend(&self, lock: Lock) -> Answer<'_, bool> {
        leases::extend(self, lock).boxed()
    }
    fn let_go(&self, lock: Lock) -> Answer<'_, ()> {
        leases::let_go(self, lock).boxed()
    }
    fn probe(&self) -> Answer<'_, ()> {
        operator::probe(self).boxed()
    }
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
        events::logs(self, from, to, limit).boxed()
    }
    fn events(&self, query: EventQuery) -> Answer<'_, Vec<StoredLog>> {
        events::events(self, query).boxed()
    }
    fn apps(&self) -> Answer<'_, Vec<AppRecord>> {
        chain::apps(self).boxed()
    }
    fn apps_page(&self, after: Option<Address>, limit: u32) -> Answer<'_, Vec<AppRecord>> {
        chain::apps_page(self, after, limit).boxed()
    }
    fn folded(&self) -> Answer<'_, Folded<Option<State>>> {
        fold::whole(self).boxed()
    }
    fn folded_app(&self, app: Address) -> Answer<'_, Folded<Option<FoldedApp>>> {
        fold::app(self, app).boxed()
    }
    fn folded_apps(
        &self,
        after: Option<Address>,
        limit: u32,
    ) -> Answer<'_, Folded<Vec<(Address, Registration)>>> {
        fold::apps(self, after, limit).boxed()
    }
    fn folded_committee(&self) -> Answer<'_, Folded<Committee>> {
        fold::committee(self).boxed()
    }
    fn folded_domains(&self, after: Option<B256>, limit: u32) -> Answer<'_, Folded<Vec<(B256, Domain)>>> {
        fold::domains(self, after, limit).boxed()
    }
    fn enqueue(&self, effects: Vec<NewEffect>) -> Answer<'_, ()> {
        outbox::enqueue(self, effects).boxed()
    }
    fn claim(&self, lane: Lane, limit: u32) -> Answer<'_, Vec<Queued>> {
        outbox::claim(self, lane, limit).boxed()
    }
    fn renew(&self, lane: Lane) -> Answer<'_, ()> {
        outbox::renew(self, lane).boxed()
    }
    fn release(&self, lane: Lane) -> Answer<'_, ()> {
        outbox::release(self, lane).boxed()
    }
    fn postpone(&self, key: String, after: Duration) -> Answer<'_, ()> {
        outbox::postpone(self, key, after).boxed()
    }
    fn next_due(&self, lane: Lane) -> Answer<'_, Option<Duration>> {
        outbox::next_due(self, lane).boxed()
    }
    fn open_effects(&self) -> Answer<'_, u64> {
        operator::open_effects(self).boxed()
    }
    fn open_of(&self, origin: String) -> Answer<'_, u64> {
        operator::open_of(self, origin).boxed()
    }
    fn effect_state(&self, key: String) -> Answer<'_, Option<String>> {
        operator::effect_state(self, key).boxed()
    }
    fn depths(&self) -> Answer<'_, Vec<Depth>> {
        operator::depths(self).boxed()
    }
    fn outbox(&self, query: OutboxQuery) -> Answer<'_, Vec<OutboxEntry>> {
        operator::outbox(self, query).boxed()
    }
    fn cancellations(&self) -> Answer<'_, Vec<(String, u64)>> {
        operator::cancellations(self).boxed()
    }
    fn cancel(&self, key: String) -> Answer<'_, bool> {
        operator::cancel(self, key).boxed()
    }
    fn retry(&self, key: String) -> Answer<'_, bool> {
        operator::retry(self, key).boxed()
    }
    fn attempt_failed(&self, key: String, error: String, next: Next) -> Answer<'_, ()> {
        outbox::attempt_failed(self, key, error, next).boxed()
    }
    fn complete(&self, key: String, follow: Vec<NewEffect>) -> Answer<'_, ()> {
        outbox::complete(self, key, follow).boxed()
    }
    fn keep_transaction(&self, key: String, tx: SignedTx) -> Answer<'_, bool> {
        transactions::keep(self, key, tx).boxed()
    }
    fn in_flight(&self, signer: Address) -> Answer<'_, Vec<InFlight>> {
        transactions::in_flight(self, signer).boxed()
    }
    fn mined(&self, key: String, landed: Option<Landed>) -> Answer<'_, ()> {
        transactions::mined(self, key, landed).boxed()
    }
    fn unsend(&self, key: String, error: String) -> Answer<'_, ()> {
        transactions::unsend(self, key, error).boxed()
    }
    fn latches(&self) -> Answer<'_, Vec<Latch>> {
        latches::all(self).boxed()
    }
    fn latch(&self, latch: Latch, telling: Telling) -> Answer<'_, bool> {
        latches::set(self, latch, telling).boxed()
    }
    fn clear_latch(&self, kind: String) -> Answer<'_, bool> {
        latches::clear(self, kind).boxed()
    }
    fn deliver(&self, letter: Letter, hash: B256, caps: MailboxCaps) -> Answer<'_, Delivery> {
        mailbox::deliver(self, letter, hash, caps).boxed()
    }
    fn letters(&self, recipient: Address, after: u64, limit: u32) -> Answer<'_, Vec<Delivered>> {
        mailbox::letters(self, recipient, after, limit).boxed()
    }
}
