// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is written to and read from the store.

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes};
use mandate_model::{
    state::{App, Registration},
    wire::BlockRef,
};
use serde::{Deserialize, Serialize};

use crate::effects::{Effect, NewEffect};

/// How far the chain was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Nothing is pushed for blocks up to this one; unset before the first block.
    pub quiet_until: Option<u64>,
    /// Newest processed block.
    pub head: Option<BlockRef>,
    /// Newest block whose effects of finality were enqueued and whose events were folded.
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
    /// The block's timestamp, Unix seconds.
    pub timestamp: u64,
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

/// Which events, in the order of the chain.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Behind this place: block height and log index.
    pub after: Option<(u64, u64)>,
    /// Up to this height.
    pub until: Option<u64>,
    /// Of these contracts; of all when empty.
    pub addresses: Vec<Address>,
    /// With one of these as first topic; all when empty.
    pub topics: Vec<B256>,
    /// At most.
    pub limit: u32,
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
    /// Their logs, ascending.
    pub logs: Vec<StoredLog>,
    /// Apps they registered.
    pub apps: Vec<AppRecord>,
    /// The newest finalised block, when it advanced. Events up to it are folded.
    pub finalized: Option<BlockRef>,
    /// What is to be done.
    pub effects: Vec<NewEffect>,
    /// Letters of rounds below this one serve nobody any more.
    pub forget_letters_below: Option<u64>,
}

/// Something that is read from the folded state, and the finalised block that it is of; no block before the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folded<T> {
    /// The block.
    pub at: Option<BlockRef>,
    /// What was read.
    pub value: T,
}

/// A registered app as of the finalised block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoldedApp {
    /// How it is registered.
    pub registration: Registration,
    /// Its own rules; a foreign app may have none that are known here.
    pub policy: Option<App>,
}

/// What only one relayer at a time may do on one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Follow the chain and write its steps.
    Follow,
    /// Choose nonces of this signer and keep its transactions.
    Signer(Address),
}

/// Which worker carries an effect out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lane {
    /// A request to a node or gateway.
    Http,
    /// A transaction.
    Chain,
}

impl Lane {
    /// As the database and the operator have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Chain => "chain",
        }
    }
}

/// Where an effect stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EffectState {
    /// Waits for its first or next attempt.
    Pending,
    /// Its transaction was signed, and broadcast or about to be.
    Sent,
    /// Its transaction is in a block that is not final.
    Mined,
    /// Carried out.
    Done,
    /// Given up.
    Failed,
    /// Cancelled by the operator.
    Cancelled,
}

impl EffectState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Sent, Self::Mined, Self::Done, Self::Failed, Self::Cancelled];

    /// As the database and the operator have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Mined => "mined",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// An effect that waits, leased to whoever claimed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    /// Its key.
    pub key: String,
    /// What to do.
    pub effect: Effect,
    /// How often it failed.
    pub attempts: u32,
    /// When it was enqueued, since the Unix epoch: for what a log causes, when its block was processed.
    pub enqueued: Duration,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, not before this has passed.
    After(Duration),
    /// None.
    GiveUp,
}

/// Which effects to list, oldest first.
#[derive(Debug, Clone, Default)]
pub struct OutboxQuery {
    /// With this key.
    pub key: Option<String>,
    /// In this state.
    pub state: Option<EffectState>,
    /// Of this kind, see [`Effect::kind`].
    pub kind: Option<String>,
    /// Of this lane.
    pub lane: Option<Lane>,
    /// Behind this place, see [`OutboxEntry::sequence`].
    pub after: u64,
    /// At most.
    pub limit: u32,
}

/// How many effects of a kind are in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Depth {
    /// Of which kind, see [`Effect::kind`].
    pub kind: String,
    /// In which state.
    pub state: EffectState,
    /// How many.
    pub count: u64,
}

/// An effect as the operator sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboxEntry {
    /// Its place, ascending with time.
    pub sequence: u64,
    /// Its key.
    pub key: String,
    /// A word for what it is, see [`Effect::kind`].
    pub kind: String,
    /// Who carries it out.
    pub lane: Lane,
    /// `chain`, or the address of the node that asked.
    pub origin: String,
    /// What is to be done.
    pub effect: Effect,
    /// Where it stands.
    pub state: EffectState,
    /// How often it failed.
    pub attempts: u32,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// No attempt before this moment, Unix seconds.
    pub not_before: u64,
    /// Its newest transaction, or the one that was mined.
    pub tx_hash: Option<B256>,
    /// When it was enqueued, Unix seconds.
    pub created: u64,
}

/// A signed transaction of this relayer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTx {
    /// Its hash.
    pub hash: B256,
    /// Whose nonce it uses.
    pub signer: Address,
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
    /// Whether the operator cancelled it after it was sent: its nonce must still be used up.
    pub cancelled: bool,
}

/// The block that took a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// The block.
    pub block: BlockRef,
    /// Which of the effect's transactions it was.
    pub tx: B256,
}

/// Why no effects of finality are enqueued until an operator has looked. Revocations go on (G-6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latch {
    /// What kind of trouble; one latch per kind.
    pub kind: String,
    /// What was seen first.
    pub detail: String,
    /// At which block.
    pub block: Option<BlockRef>,
    /// Since when, Unix seconds.
    pub since: u64,
}

/// What is told with a latch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Telling {
    /// When it is set.
    pub set: Vec<NewEffect>,
    /// When it is cleared, whoever does that and with whatever configuration.
    pub cleared: Vec<NewEffect>,
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
