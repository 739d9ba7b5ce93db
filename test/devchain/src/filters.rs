// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logs by filter, and filters that are polled.

use std::{collections::BTreeMap, sync::Arc};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::U256,
    rpc::types::{Filter, FilterBlockOption, FilterChanges, Log},
};

use crate::{
    block::Block,
    chain::{Chain, Change},
    error::RpcError,
};

/// How many filters may be open; the one polled longest ago makes room.
const CAPACITY: usize = 1024;

/// What a filter collects.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Logs(Box<Filter>),
    Blocks,
    Pending,
}

/// The open filters.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    open: BTreeMap<u64, Open>,
    opened: u64,
    polls: u64,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    /// How much of the journal was delivered.
    seen: usize,
    polled: u64,
}

impl Chain {
    /// Opens a filter on everything from now on.
    pub(crate) fn open_filter(&mut self, kind: Kind) -> u64 {
        let filters = &mut self.filters;
        if filters.open.len() >= CAPACITY {
            let stalest = filters.open.iter().min_by_key(|(_, open)| open.polled).map(|(id, _)| *id);
            stalest.and_then(|id| filters.open.remove(&id));
        }
        filters.opened += 1;
        filters.polls += 1;
        let open = Open { kind, seen: self.journal.len(), polled: filters.polls };
        filters.open.insert(filters.opened, open);
        filters.opened
    }

    /// Closes a filter; false when there was none.
    pub(crate) fn close_filter(&mut self, id: U256) -> bool {
        u64::try_from(id).is_ok_and(|id| self.filters.open.remove(&id).is_some())
    }

    /// What happened since the last poll.
    pub(crate) fn filter_changes(&mut self, id: U256) -> Result<FilterChanges, RpcError> {
        let key = u64::try_from(id).map_err(|_| filter_not_found())?;
        self.filters.polls += 1;
        let open = self.filters.open.get_mut(&key).ok_or_else(filter_not_found)?;
        let news = self.journal.get(open.seen..).unwrap_or_default();
        open.seen = self.journal.len();
        open.polled = self.filters.polls;
        Ok(match &open.kind {
            Kind::Logs(filter) => {
                FilterChanges::Logs(news.iter().flat_map(|change| changed_logs(filter, change)).collect())
            }
            Kind::Blocks => FilterChanges::Hashes(news.iter().filter_map(added).map(|b| b.hash()).collect()),
            Kind::Pending => FilterChanges::Hashes(
                news.iter()
                    .filter_map(|change| match change {
                        Change::Pending(hash) => Some(*hash),
                        Change::Added(_) | Change::Removed(_) => None,
                    })
                    .collect(),
            ),
        })
    }

    /// All logs of a log filter, as `eth_getLogs` would answer.
    pub(crate) fn filter_logs(&self, id: U256) -> Result<Vec<Log>, RpcError> {
        let open = u64::try_from(id).ok().and_then(|id| self.filters.open.get(&id));
        match open.map(|open| &open.kind) {
            Some(Kind::Logs(filter)) => self.logs(filter),
            _ => Err(filter_not_found()),
        }
    }

    /// The canonical logs that match.
    pub(crate) fn logs(&self, filter: &Filter) -> Result<Vec<Log>, RpcError> {
        let blocks = match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let entry = self.by_hash(&hash).ok_or_else(|| RpcError::server("unknown block"))?;
                return Ok(matching(filter, &entry.block, false).collect());
            }
            FilterBlockOption::Range { from_block, to_block } => {
                let number = |tag: Option<BlockNumberOrTag>| self.number_of(tag.unwrap_or_default());
                let (from, to) = (number(from_block), number(to_block));
                if from > to {
                    return Err(RpcError::params("invalid block range params"));
                }
                from..=to.min(self.height())
            }
        };
        let entries = blocks.filter_map(|number| self.entry(number));
        Ok(entries.flat_map(|entry| matching(filter, &entry.block, false)).collect())
    }
}

fn filter_not_found() -> RpcError {
    RpcError::server("filter not found")
}

/// The block, when the change is a new head.
pub(crate) fn added(change: &Change) -> Option<&Arc<Block>> {
    match change {
        Change::Added(block) => Some(block),
        Change::Removed(_) | Change::Pending(_) => None,
    }
}

/// The matching logs that a change brings or, marked so, takes back.
pub(crate) fn changed_logs(filter: &Filter, change: &Change) -> Vec<Log> {
    match change {
        Change::Added(block) => live(filter, block, false),
        Change::Removed(block) => live(filter, block, true),
        Change::Pending(_) => Vec::new(),
    }
}

fn live(filter: &Filter, block: &Block, removed: bool) -> Vec<Log> {
    if !filter.matches_block_range(block.number()) {
        return Vec::new();
    }
    matching(filter, block, removed).collect()
}

fn matching(filter: &Filter, block: &Block, removed: bool) -> impl Iterator<Item = Log> {
    let possible = filter.matches_bloom(block.header().logs_bloom);
    let logs = possible.then(|| block.rpc_logs(removed)).into_iter().flatten();
    logs.filter(|log| filter.matches(&log.inner))
}
