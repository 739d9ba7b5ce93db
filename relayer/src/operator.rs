// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The operator's commands: they work on the relayer's database, whether a relayer runs on it or not.

use std::{fmt::Display, io::Write, sync::Arc};

use clap::{Args, Subcommand};
use mandate_runtime::Clock;
use serde::Serialize;
use thiserror::Error;

use crate::{
    chain::Contracts,
    config::Config,
    store::{self, EffectState, OutboxQuery, Store, StoreError},
};

mod show;

/// What an operator can ask for.
#[derive(Debug, Clone, Subcommand)]
pub enum Operation {
    /// What is to be done in the world: list, show, cancel, try again.
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// What stops grants: list, clear.
    #[command(subcommand)]
    Latch(LatchCommand),
    /// How far the chain was followed, what waits, what is latched.
    Status,
}

/// Commands on the outbox.
#[derive(Debug, Clone, Subcommand)]
pub enum OutboxCommand {
    /// Lists effects, oldest first.
    List(ListArgs),
    /// Shows one effect in full.
    Show {
        /// Its key.
        key: String,
    },
    /// Cancels an effect that is neither mined nor done. It stays in the outbox as cancelled, so the event that caused it
    /// does not bring it back; `retry` does. A transaction that was sent already may still be mined: the relayer replaces
    /// it by an empty one of the same nonce, at a higher fee. Cancelling a revocation delays it and does not undo it: nodes
    /// and gateways read the chain by themselves as well.
    Cancel {
        /// Its key.
        key: String,
    },
    /// Tries an effect again at once that waits, was given up or was cancelled.
    Retry {
        /// Its key.
        key: String,
    },
}

/// Which effects to list.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Only in this state: pending, sent, mined, done, failed or cancelled. Without it, all that is open or failed.
    #[arg(long, value_parser = state)]
    state: Option<EffectState>,
    /// Only of this kind, as the list shows it: revocation_push, webhook, nonce …
    #[arg(long)]
    kind: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only behind this place; the last one listed, for the next page.
    #[arg(long, default_value_t = 0)]
    after: u64,
}

/// Commands on latches.
#[derive(Debug, Clone, Subcommand)]
pub enum LatchCommand {
    /// Lists what stops grants.
    List,
    /// Clears a latch: grants go on. Find out first what the list says happened; the relayer sets it again when it sees it
    /// again.
    Clear {
        /// Which, as the list names it.
        kind: String,
    },
}

fn state(text: &str) -> Result<EffectState, String> {
    EffectState::from_name(text)
        .ok_or_else(|| "must be pending, sent, mined, done, failed or cancelled".to_owned())
}

/// Why a command did not do what it was told.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// What it names is not there, or not in a state for it. Exit code 1.
    #[error("{0}")]
    NotSo(String),
    /// The database. Exit code 69.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// There is no database. Exit code 69.
    #[error("{0}")]
    NoDatabase(String),
    /// Standard output. Exit code 69.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// Opens the configured database beside whoever serves from it.
///
/// # Errors
/// When there is none, or it is another deployment's.
pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, OperatorError> {
    if let Some(path) = &config.store.path
        && !path.exists()
    {
        let text = format!("{}: no database; has the relayer run yet?", path.display());
        return Err(OperatorError::NoDatabase(text));
    }
    Ok(store::open_beside(&config.store, &Contracts::from(&config.deployment), clock).await?)
}

/// Carries a command out and writes what came of it, for people or as JSON.
///
/// # Errors
/// As [`OperatorError`] lists.
pub async fn operate(
    operation: Operation,
    store: &dyn Store,
    chain_id: u64,
    json: bool,
    out: &mut (dyn Write + Send),
) -> Result<(), OperatorError> {
    let mut out = Output { json, out };
    match operation {
        Operation::Outbox(OutboxCommand::List(args)) => list(store, args, &mut out).await,
        Operation::Outbox(OutboxCommand::Show { key }) => {
            let entry = store::one(store, key.clone()).await?.ok_or_else(|| unknown(&key))?;
            out.put(&entry, || show::entry(&entry))
        }
        Operation::Outbox(OutboxCommand::Cancel { key }) => cancel(store, key, &mut out).await,
        Operation::Outbox(OutboxCommand::Retry { key }) => retry(store, key, &mut out).await,
        Operation::Latch(LatchCommand::List) => {
            let latches = store.latches().await?;
            out.put(&latches, || show::latches(&latches))
        }
        Operation::Latch(LatchCommand::Clear { kind }) => {
            if !store.clear_latch(kind.clone()).await? {
                return Err(OperatorError::NotSo(format!("no latch {kind:?} is set")));
            }
            out.put(&serde_json::json!({ "cleared": kind }), || format!("{kind}: cleared; grants go on"))
        }
        Operation::Status => {
            let status = show::Status::of(store, chain_id).await?;
            out.put(&status, || status.to_string())
        }
    }
}

struct Output<'a> {
    json: bool,
    out: &'a mut (dyn Write + Send),
}

impl Output<'_> {
    fn put<T: Display>(
        &mut self,
        value: &impl Serialize,
        text: impl FnOnce() -> T,
    ) -> Result<(), OperatorError> {
        match self.json {
            true => {
                serde_json::to_writer_pretty(&mut *self.out, value).map_err(std::io::Error::from)?;
                writeln!(self.out)?;
            }
            false => {
                let text = text().to_string();
                if !text.is_empty() {
                    writeln!(self.out, "{}", text.trim_end())?;
                }
            }
        }
        Ok(self.out.flush()?)
    }
}

fn unknown(key: &str) -> OperatorError {
    OperatorError::NotSo(format!("no effect has the key {key:?}"))
}

async fn list(store: &dyn Store, args: ListArgs, out: &mut Output<'_>) -> Result<(), OperatorError> {
    let open = [EffectState::Pending, EffectState::Sent, EffectState::Mined, EffectState::Failed];
    let states = args.state.map_or(open.to_vec(), |state| vec![state]);
    let mut entries = Vec::new();
    for state in states {
        let query = OutboxQuery {
            state: Some(state),
            kind: args.kind.clone(),
            after: args.after,
            limit: args.limit,
            ..OutboxQuery::default()
        };
        entries.extend(store.outbox(query).await?);
    }
    entries.sort_by_key(|entry| entry.sequence);
    entries.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    out.put(&entries, || show::list(&entries))
}

async fn cancel(store: &dyn Store, key: String, out: &mut Output<'_>) -> Result<(), OperatorError> {
    let before = store::one(store, key.clone()).await?.ok_or_else(|| unknown(&key))?;
    if !store.cancel(key.clone()).await? {
        let state = before.state.as_str();
        return Err(OperatorError::NotSo(format!("{key}: it is {state}; there is nothing to cancel")));
    }
    let answer = serde_json::json!({ "cancelled": key, "was": before.state, "txHash": before.tx_hash });
    out.put(&answer, || match before.tx_hash {
        Some(tx) => format!(
            "{key}: cancelled. Transaction {tx} was sent and may still be mined; the relayer replaces it by an empty one \
             of the same nonce."
        ),
        None => format!(
            "{key}: cancelled. No relayer on this database carries it out any more, and its cause does not bring it back; \
             `outbox retry` does."
        ),
    })
}

async fn retry(store: &dyn Store, key: String, out: &mut Output<'_>) -> Result<(), OperatorError> {
    let before = store::one(store, key.clone()).await?.ok_or_else(|| unknown(&key))?;
    if !store.retry(key.clone()).await? {
        let state = before.state.as_str();
        return Err(OperatorError::NotSo(format!("{key}: it is {state}; there is nothing to try again")));
    }
    out.put(&serde_json::json!({ "retried": key, "was": before.state }), || {
        format!("{key}: a relayer that runs tries it again within seconds")
    })
}
