// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the relayer remembers, behind a trait: SQLite by default, memory or another database elsewhere.
//!
//! Three rules make a crash harmless (G-10): a block's cursor, its events and the effects they cause are written in one
//! transaction ([`Store::apply`]); every effect has a key, and enqueuing a key again changes nothing; a transaction is
//! kept before it is broadcast.

use std::fmt::Debug;

use alloy::primitives::{Address, B256, Bytes};
use futures::future::BoxFuture;
use mandate_model::wire::{
    BlockRef,
    relayer::{Delivered, Letter},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::effects::{Effect, NewEffect};

mod sqlite;

pub use sqlite::SqliteStore;

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
        kms_auth: String,
    },
}

/// How far the chain was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Nothing is pushed for blocks up to this one; unset before the first block.
    pub quiet_until: Option<u64>,
    /// Newest processed block.
    pub head: Option<BlockRef>,
    /// Newest block whose effects of finality were enqueued.
    pub finalized: Option<BlockRef>,
}

/// A log of one of the watched contracts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredLog {
    /// Block height.
    pub block_number: u64,
    /// Block hash.
    pub block_hash: B256,
    /// Transaction.
    pub tx_hash: B256,
    /// Place in the block.
    pub log_index: u64,
    /// Who emitted it.
    pub address: Address,
    /// Topics, the event's signature first.
    pub topics: Vec<B256>,
    /// The rest.
    pub data: Bytes,
}

/// A registered app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppRecord {
    /// Its address.
    pub app: Address,
    /// Who registered it.
    pub registrar: Address,
    /// Whether its code is not the blessed one.
    pub foreign: bool,
    /// Where it was registered.
    pub block_number: u64,
}

/// Everything that changes with some blocks; written whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Forget every block above this height first.
    pub rollback_to: Option<u64>,
    /// Set once, with the first step.
    pub quiet_until: Option<u64>,
    /// The new blocks, ascending. The last one is the new head.
    pub blocks: Vec<BlockRef>,
    /// Their logs.
    pub logs: Vec<StoredLog>,
    /// Apps they registered.
    pub apps: Vec<AppRecord>,
    /// The newest finalised block, when it advanced.
    pub finalized: Option<BlockRef>,
    /// What is to be done.
    pub effects: Vec<NewEffect>,
    /// Letters of rounds below this one serve nobody any more.
    pub forget_letters_below: Option<u64>,
}

/// Which worker carries an effect out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// A request to a node or gateway.
    Http,
    /// A transaction.
    Chain,
}

/// An effect that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    /// Its key.
    pub key: String,
    /// What to do.
    pub effect: Effect,
    /// How often it failed.
    pub attempts: u32,
}

/// A signed transaction of this relayer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTx {
    /// Its hash.
    pub hash: B256,
    /// Its nonce.
    pub nonce: u64,
    /// Wei per gas at most.
    pub max_fee: u128,
    /// Wei per gas for the block's proposer.
    pub priority_fee: u128,
    /// As broadcast.
    pub raw: Bytes,
}

/// An effect whose transaction was signed.
#[derive(Debug, Clone, PartialEq)]
pub struct InFlight {
    /// The effect's key.
    pub key: String,
    /// What it does.
    pub effect: Effect,
    /// Its transaction and those that replace it at a higher fee, oldest first; all of one nonce.
    pub txs: Vec<SignedTx>,
    /// Where it was mined, while that is not final.
    pub mined: Option<BlockRef>,
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It has this place.
    At(u64),
    /// The recipient's mailbox is full.
    RecipientFull,
    /// The sender has too many letters for this recipient.
    SenderFull,
}

/// The caps of the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxCaps {
    /// Letters per recipient.
    pub per_recipient: u64,
    /// Letters of one sender to one recipient.
    pub per_sender: u64,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Durable memory. Each method is one transaction.
pub trait Store: Send + Sync + Debug {
    /// How far the chain was followed.
    fn progress(&self) -> Answer<'_, Progress>;

    /// The hash of a processed block between the finalised one and the head.
    fn block_hash(&self, number: u64) -> Answer<'_, Option<B256>>;

    /// Writes a step.
    fn apply(&self, step: Step) -> Answer<'_, ()>;

    /// Logs of blocks `from..=to` in order, at most `limit`.
    fn logs(&self, from: u64, to: u64, limit: u32) -> Answer<'_, Vec<StoredLog>>;

    /// Every registered app, oldest first.
    fn apps(&self) -> Answer<'_, Vec<AppRecord>>;

    /// Adds effects whose keys are new. A key that had been given up is taken up again.
    fn enqueue(&self, effects: Vec<NewEffect>) -> Answer<'_, ()>;

    /// Effects that wait for their (next) attempt, those that failed least first: a dead target holds up nobody else's.
    fn pending(&self, lane: Lane, limit: u32) -> Answer<'_, Vec<Queued>>;

    /// Number of effects that are neither done nor given up.
    fn open_effects(&self) -> Answer<'_, u64>;

    /// Number of effects of one origin that wait or are under way.
    fn open_of(&self, origin: String) -> Answer<'_, u64>;

    /// The state of an effect, for the operator: `pending`, `sent`, `mined`, `done`, `failed`.
    fn effect_state(&self, key: String) -> Answer<'_, Option<String>>;

    /// Notes a failed attempt; with `give_up` the last.
    fn attempt_failed(&self, key: String, error: String, give_up: bool) -> Answer<'_, ()>;

    /// Marks an effect as done and enqueues what follows from it.
    fn complete(&self, key: String, follow: Vec<NewEffect>) -> Answer<'_, ()>;

    /// Keeps a signed transaction, before it is broadcast.
    fn keep_transaction(&self, key: String, tx: SignedTx) -> Answer<'_, ()>;

    /// Effects with transactions that are not final.
    fn in_flight(&self) -> Answer<'_, Vec<InFlight>>;

    /// Notes where an effect's transaction was mined, or with nothing that it no longer is.
    fn mined(&self, key: String, block: Option<BlockRef>) -> Answer<'_, ()>;

    /// Drops an effect's transactions, whose nonce went to something else, so that it is tried anew.
    fn unsend(&self, key: String, error: String) -> Answer<'_, ()>;

    /// Puts a letter into its recipient's mailbox. The same letter again keeps its place.
    fn deliver(&self, letter: Letter, hash: B256, caps: MailboxCaps) -> Answer<'_, Delivery>;

    /// Letters for `recipient` after `cursor`, at most `limit`.
    fn letters(&self, recipient: Address, after: u64, limit: u32) -> Answer<'_, Vec<Delivered>>;
}
