// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `eth_` methods that send, sign, and keep filters.

use alloy::{
    eips::eip2718::Encodable2718 as _,
    primitives::{Address, Bytes, U256, eip191_hash_message},
    rpc::types::{Filter, TransactionRequest},
    signers::SignerSync as _,
};
use serde_json::{Value, json as object};

use super::{Answer, Args, data, json, quantity};
use crate::{chain::Chain, error::RpcError, filters::Kind, handle::DevChain, mine};

pub(super) fn handle(chain: &DevChain, method: &str, params: &Value) -> Option<Answer> {
    Some(match method {
        "eth_sendRawTransaction" => send_raw(chain, params),
        "eth_sendTransaction" => send(chain, params),
        "eth_signTransaction" => sign_transaction(chain, params),
        "eth_sign" => sign(chain, params),
        "eth_newFilter" => new_log_filter(chain, params),
        "eth_newBlockFilter" => Ok(open(chain, Kind::Blocks)),
        "eth_newPendingTransactionFilter" => Ok(open(chain, Kind::Pending)),
        "eth_uninstallFilter" => with_filter(params, |id| Ok(chain.write(|c| c.close_filter(id)).into())),
        "eth_getFilterChanges" => with_filter(params, |id| json(chain.write(|c| c.filter_changes(id))?)),
        "eth_getFilterLogs" => with_filter(params, |id| json(chain.read(|c| c.filter_logs(id))?)),
        "eth_subscribe" | "eth_unsubscribe" => {
            Err(RpcError::server("notifications not supported here: subscriptions need a WebSocket"))
        }
        _ => return None,
    })
}

fn send_raw(chain: &DevChain, params: &Value) -> Answer {
    let raw: Bytes = Args::new(params, 1)?.required(0)?;
    let tx = mine::decode(&raw)?;
    json(chain.write(|chain| chain.submit(tx))?)
}

fn send(chain: &DevChain, params: &Value) -> Answer {
    let request: TransactionRequest = Args::new(params, 1)?.required(0)?;
    // One lock over both, so that two requests of one sender get two nonces.
    json(chain.write(|chain| {
        let tx = chain.sign_next(request)?;
        chain.submit(tx)
    })?)
}

fn sign_transaction(chain: &DevChain, params: &Value) -> Answer {
    let request: TransactionRequest = Args::new(params, 1)?.required(0)?;
    let tx = chain.read(|chain| chain.sign_next(request))?;
    let raw = data(tx.encoded_2718());
    Ok(object!({ "raw": raw, "tx": json(tx.inner())? }))
}

fn sign(chain: &DevChain, params: &Value) -> Answer {
    let args = Args::new(params, 2)?;
    let (account, message): (Address, Bytes) = (args.required(0)?, args.required(1)?);
    let signer = chain.read(|chain| chain.signers.get(&account).cloned());
    let signer = signer.ok_or_else(|| RpcError::server(format!("unknown account {account}")))?;
    let signature = signer
        .sign_hash_sync(&eip191_hash_message(message))
        .map_err(|error| RpcError::server(format!("signing failed: {error}")))?;
    Ok(data(signature.as_bytes()))
}

fn new_log_filter(chain: &DevChain, params: &Value) -> Answer {
    let filter: Filter = Args::new(params, 1)?.required(0)?;
    Ok(open(chain, Kind::Logs(Box::new(filter))))
}

fn open(chain: &DevChain, kind: Kind) -> Value {
    quantity(chain.write(|chain| chain.open_filter(kind)))
}

fn with_filter(params: &Value, answer: impl FnOnce(U256) -> Answer) -> Answer {
    answer(Args::new(params, 1)?.required(0)?)
}

impl Chain {
    /// Signs a request with the nonce after everything that waits.
    fn sign_next(&self, request: TransactionRequest) -> Result<crate::mine::Signed, RpcError> {
        let from = request.from.unwrap_or_default();
        let state = self.head_state();
        self.sign(request, |state| self.pool.next_nonce(from, state.nonce(from)), &state)
    }
}
