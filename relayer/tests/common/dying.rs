// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process that dies at one of its writes or sends.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{Address, B256};
use futures::{
    TryFutureExt,
    future::{BoxFuture, FutureExt},
};
use mandate_model::{
    state::{Committee, Domain, Registration, State},
    wire::relayer::{Delivered, Letter},
};
use mandate_relayer::{effects::NewEffect, store::*};

/// What is left of a process's life: it dies at one deed, before it is done or right after. Once dead it does nothing more.
#[derive(Debug, Clone)]
pub struct Life {
    left: Arc<AtomicI64>,
    after: bool,
    /// What was done, by kind, and the deed that it died of.
    pub deeds: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    pub last: Arc<Mutex<Option<&'static str>>>,
    /// The most events that it read at a time.
    pub largest: Arc<AtomicUsize>,
}

/// What a dead process does with a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done, and known to be done.
    Done,
    /// It is done, and nobody learns of it.
    Unnoticed,
    /// It is not done.
    Undone,
}

impl Life {
    /// Dies at its deed number `deed`, counted from zero.
    pub fn until(deed: i64, after: bool) -> Self {
        Self {
            left: Arc::new(AtomicI64::new(deed)),
            after,
            deeds: Arc::default(),
            last: Arc::default(),
            largest: Arc::default(),
        }
    }

    pub fn endless() -> Self {
        Self::until(i64::MAX, false)
    }

    /// One more deed.
    pub fn deed(&self, what: &'static str) -> Fate {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left >= 0 {
            *self.deeds.lock().unwrap().entry(what).or_default() += 1;
        }
        if left == 0 {
            *self.last.lock().unwrap() = Some(what);
        }
        match left {
            0 if self.after => Fate::Unnoticed,
            n if n <= 0 => Fate::Undone,
            _ => Fate::Done,
        }
    }

    pub fn is_over(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

/// A store whose writes are deeds of a life.
#[derive(Debug)]
pub struct Dying {
    pub store: Arc<dyn Store>,
    pub life: Life,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

fn dead() -> StoreError {
    StoreError::Corrupt { what: "test", why: "the process died".to_owned() }
}

impl Dying {
    pub fn new(store: &Arc<dyn Store>, life: &Life) -> Arc<Self> {
        Arc::new(Self { store: Arc::clone(store), life: life.clone() })
    }

    fn write<'a, T: Send + 'a>(&'a self, what: &'static str, write: Answer<'a, T>) -> Answer<'a, T> {
        let fate = self.life.deed(what);
        async move {
            match fate {
                Fate::Done => write.await,
                Fate::Unnoticed => write.await.and(Err(dead())),
                Fate::Undone => Err(dead()),
            }
        }
        .boxed()
    }

    fn read<'a, T: Send + 'a>(&'a self, _: &'static str, read: Answer<'a, T>) -> Answer<'a, T> {
        if self.life.is_over() { async { Err(dead()) }.boxed() } else { read }
    }
}

macro_rules! passed_on {
    ($($how:ident $name:ident($($arg:ident: $of:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self $(, $arg: $of)*) -> Answer<'_, $answer> {
            self.$how(stringify!($name), self.store.$name($($arg),*))
        })*
    };
}

impl Store for Dying {
    fn lease(&self) -> Duration {
        self.store.lease()
    }

    // Taken once and renewed by the clock: no deed of the scenario.
    fn hold(&self, lock: Lock) -> Answer<'_, bool> {
        match lock {
            Lock::Follow => self.read("hold", self.store.hold(lock)),
            Lock::Signer(_) => self.write("hold", self.store.hold(lock)),
        }
    }

    // A claim of nothing writes nothing.
    fn claim(&self, lane: Lane, limit: u32) -> Answer<'_, Vec<Queued>> {
        async move {
            let claim = || self.store.claim(lane, limit);
            match self.store.next_due(lane).await? {
                Some(Duration::ZERO) => self.write("claim", claim()).await,
                _ => self.read("claim", claim()).await,
            }
        }
        .boxed()
    }

    fn events(&self, query: EventQuery) -> Answer<'_, Vec<StoredLog>> {
        let largest = &self.life.largest;
        let read = self.store.events(query).inspect_ok(|logs| {
            largest.fetch_max(logs.len(), Ordering::SeqCst);
        });
        self.read("events", read.boxed())
    }

    passed_on! {
        read extend(lock: Lock) -> bool;
        write let_go(lock: Lock) -> ();
        read progress() -> Progress;
        read block_hash(number: u64) -> Option<B256>;
        write apply(step: Step) -> ();
        read logs(from: u64, to: u64, limit: u32) -> Vec<StoredLog>;
        read apps() -> Vec<AppRecord>;
        read apps_page(after: Option<Address>, limit: u32) -> Vec<AppRecord>;
        read folded() -> Folded<Option<State>>;
        read folded_app(app: Address) -> Folded<Option<FoldedApp>>;
        read folded_apps(after: Option<Address>, limit: u32) -> Folded<Vec<(Address, Registration)>>;
        read folded_committee() -> Folded<Committee>;
        read folded_domains(after: Option<B256>, limit: u32) -> Folded<Vec<(B256, Domain)>>;
        write enqueue(effects: Vec<NewEffect>) -> ();
        write renew(lane: Lane) -> ();
        write release(lane: Lane) -> ();
        write postpone(key: String, after: Duration) -> ();
        read next_due(lane: Lane) -> Option<Duration>;
        read open_effects() -> u64;
        read open_of(origin: String) -> u64;
        read effect_state(key: String) -> Option<String>;
        read depths() -> Vec<Depth>;
        read cancellations() -> Vec<(String, u64)>;
        read probe() -> ();
        read outbox(query: OutboxQuery) -> Vec<OutboxEntry>;
        write cancel(key: String) -> bool;
        write retry(key: String) -> bool;
        write attempt_failed(key: String, error: String, next: Next) -> ();
        write complete(key: String, follow: Vec<NewEffect>) -> ();
        write keep_transaction(key: String, tx: SignedTx) -> bool;
        read in_flight(signer: Address) -> Vec<InFlight>;
        write mined(key: String, landed: Option<Landed>) -> ();
        write unsend(key: String, error: String) -> ();
        read latches() -> Vec<Latch>;
        write latch(latch: Latch, telling: Telling) -> bool;
        write clear_latch(kind: String) -> bool;
        write deliver(letter: Letter, hash: B256, caps: MailboxCaps) -> Delivery;
        read letters(recipient: Address, after: u64, limit: u32) -> Vec<Delivered>;
    }
}
