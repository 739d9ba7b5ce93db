// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The answers as people read them.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::store::{Depth, Latch, OutboxEntry, Store, StoreError};

/// The longest error that a list shows, in characters.
const ERROR: usize = 100;

/// How a relayer stands, as its database tells it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    chain_id: u64,
    head: Option<mandate_model::wire::BlockRef>,
    finalized: Option<mandate_model::wire::BlockRef>,
    outbox: Vec<Depth>,
    latches: Vec<Latch>,
}

impl Status {
    pub(super) async fn of(store: &dyn Store, chain_id: u64) -> Result<Self, StoreError> {
        let progress = store.progress().await?;
        let (outbox, latches) = (store.depths().await?, store.latches().await?);
        Ok(Self { chain_id, head: progress.head, finalized: progress.finalized, outbox, latches })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = |block: Option<mandate_model::wire::BlockRef>| {
            block.map_or("none yet".to_owned(), |b| format!("{} ({})", b.number, b.hash))
        };
        writeln!(f, "chain      {}", self.chain_id)?;
        writeln!(f, "head       {}", block(self.head))?;
        writeln!(f, "finalised  {}", block(self.finalized))?;
        for depth in &self.outbox {
            writeln!(f, "{:10} {:20} {}", depth.state.as_str(), depth.kind, depth.count)?;
        }
        match self.latches.is_empty() {
            true => writeln!(f, "latches    none"),
            false => write!(f, "{}", latches(&self.latches)),
        }
    }
}

pub(super) fn list(entries: &[OutboxEntry]) -> String {
    let mut text = String::new();
    for entry in entries {
        // Writing into a string does not fail.
        let _ = write!(
            text,
            "{:8} {:9} {:20} {} attempts={}",
            entry.sequence,
            entry.state.as_str(),
            entry.kind,
            entry.key,
            entry.attempts
        );
        if entry.not_before > 0 {
            let _ = write!(text, " not_before={}", entry.not_before);
        }
        if let Some(tx) = entry.tx_hash {
            let _ = write!(text, " tx={tx}");
        }
        if let Some(error) = &entry.last_error {
            let shown: String = error.chars().filter(|c| !c.is_control()).take(ERROR).collect();
            let _ = write!(text, " error={shown:?}");
        }
        text.push('\n');
    }
    text
}

pub(super) fn entry(entry: &OutboxEntry) -> String {
    let effect = serde_json::to_string_pretty(&entry.effect).unwrap_or_default();
    let mut text = format!(
        "key         {}\nkind        {}\nstate       {}\nattempts    {}\norigin      {}\ncreated     {}\n",
        entry.key,
        entry.kind,
        entry.state.as_str(),
        entry.attempts,
        entry.origin,
        entry.created
    );
    if entry.not_before > 0 {
        let _ = writeln!(text, "not before  {}", entry.not_before);
    }
    if let Some(tx) = entry.tx_hash {
        let _ = writeln!(text, "transaction {tx}");
    }
    if let Some(error) = &entry.last_error {
        let _ = writeln!(text, "last error  {error}");
    }
    let _ = writeln!(text, "{effect}");
    text
}

pub(super) fn latches(latches: &[Latch]) -> String {
    let line = |latch: &Latch| {
        let block = latch.block.map_or(String::new(), |b| format!(" at block {} ({})", b.number, b.hash));
        format!("latch      {} since {}{block}: {}\n", latch.kind, latch.since, latch.detail)
    };
    latches.iter().map(line).collect()
}
