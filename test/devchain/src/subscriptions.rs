// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What one WebSocket connection is subscribed to.

use std::collections::BTreeMap;

use alloy::{
    primitives::U256,
    rpc::types::{
        Filter,
        pubsub::{Params, SubscriptionKind},
    },
};
use serde_json::{Value, json};

use crate::{
    block::rpc_pending,
    chain::Change,
    error::RpcError,
    filters::{added, changed_logs},
    handle::DevChain,
    rpc::Args,
};

/// How many subscriptions one connection may have.
const CAPACITY: usize = 256;

#[derive(Debug)]
enum Kind {
    Heads,
    Logs(Box<Filter>),
    PendingHashes,
    PendingFull,
    /// A chain in process never syncs, so this stays silent.
    Syncing,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    /// The length of the journal when it was opened: what was there before is not news.
    since: usize,
}

/// The subscriptions of one connection.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    open: BTreeMap<u64, Open>,
    opened: u64,
}

impl Subscriptions {
    /// Answers `eth_subscribe` and `eth_unsubscribe`; everything else goes to the chain.
    pub(crate) fn handle(
        &mut self,
        chain: &DevChain,
        method: &str,
        params: &Value,
    ) -> Result<Value, RpcError> {
        match method {
            "eth_subscribe" => self.subscribe(chain, &Args::new(params, 2)?),
            "eth_unsubscribe" => {
                let id: U256 = Args::new(params, 1)?.required(0)?;
                let removed = u64::try_from(id).is_ok_and(|id| self.open.remove(&id).is_some());
                if removed { Ok(true.into()) } else { Err(RpcError::server("subscription not found")) }
            }
            _ => chain.handle(method, params),
        }
    }

    fn subscribe(&mut self, chain: &DevChain, args: &Args<'_>) -> Result<Value, RpcError> {
        let kind: SubscriptionKind = args.required(0)?;
        let params: Params = args.optional(1)?.unwrap_or_default();
        let kind = match (kind, params) {
            (SubscriptionKind::NewHeads, _) => Kind::Heads,
            (SubscriptionKind::Logs, Params::Logs(filter)) => Kind::Logs(filter),
            (SubscriptionKind::Logs, _) => Kind::Logs(Box::default()),
            (SubscriptionKind::NewPendingTransactions, Params::Bool(true)) => Kind::PendingFull,
            (SubscriptionKind::NewPendingTransactions, _) => Kind::PendingHashes,
            (SubscriptionKind::Syncing, _) => Kind::Syncing,
            _ => return Err(RpcError::params("no such subscription here")),
        };
        if self.open.len() >= CAPACITY {
            return Err(RpcError::server(format!("too many subscriptions: limit {CAPACITY}")));
        }
        self.opened += 1;
        let since = chain.read(|chain| chain.journal.len());
        self.open.insert(self.opened, Open { kind, since });
        Ok(format!("{:#x}", self.opened).into())
    }

    /// The notifications that the change at `index` of the journal causes.
    pub(crate) fn notifications(&self, chain: &DevChain, index: usize, change: &Change) -> Vec<Value> {
        let concerned = self.open.iter().filter(|(_, open)| index >= open.since);
        let each = concerned.flat_map(|(id, open)| {
            results(chain, &open.kind, change).into_iter().map(move |result| {
                let params = json!({ "subscription": format!("{id:#x}"), "result": result });
                json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params })
            })
        });
        each.collect()
    }
}

fn results(chain: &DevChain, kind: &Kind, change: &Change) -> Vec<Value> {
    match (kind, change) {
        (Kind::Heads, change) => added(change).map(|block| json!(block.rpc_header())).into_iter().collect(),
        (Kind::Logs(filter), change) => {
            changed_logs(filter, change).into_iter().map(|log| json!(log)).collect()
        }
        (Kind::PendingHashes, Change::Pending(hash)) => vec![json!(hash)],
        (Kind::PendingFull, Change::Pending(hash)) => {
            let found = chain.read(|chain| {
                let waiting = chain.pool.find(hash).map(rpc_pending);
                waiting
                    .or_else(|| chain.mined(hash).map(|(block, index, tx)| block.rpc_transaction(index, tx)))
            });
            found.map(|tx| json!(tx)).into_iter().collect()
        }
        (Kind::PendingHashes | Kind::PendingFull | Kind::Syncing, _) => Vec::new(),
    }
}
