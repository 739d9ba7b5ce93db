// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The logs of one block, proven: the header commits to the receipts, and the receipts hold the logs. An endpoint can
//! neither invent a log nor leave one out.
//!
//! The transaction's hash beside a log is not proven by this (receipts do not hold it); it only names effects.
//! Where no endpoint serves `eth_getBlockReceipts`, or receipts of a kind that is not Ethereum's, k endpoints must give the
//! same logs.

use std::collections::BTreeSet;

use alloy::{
    consensus::proofs::calculate_receipt_root,
    primitives::{Address, BloomInput},
    providers::Provider,
    rpc::types::{Filter, Header, TransactionReceipt},
};

use super::{
    super::endpoints::{Endpoints, Meaning, Member, meaning},
    ReadError, block_ref, stored,
};
use crate::store::StoredLog;

/// Addresses per filter; endpoints refuse long lists.
pub(super) const ADDRESSES: usize = 500;

/// Whether the block's bloom filter, which is part of its hash, leaves it open that one of `of` logged something.
pub(super) fn may_hold(header: &Header, of: &BTreeSet<Address>) -> bool {
    let bloom = &header.logs_bloom;
    !bloom.is_zero() && of.iter().any(|address| bloom.contains_input(BloomInput::Raw(address.as_slice())))
}

/// The logs of `of` in a block, from the first endpoint that proves them.
pub(super) async fn logs(
    endpoints: &Endpoints,
    header: &Header,
    of: &BTreeSet<Address>,
) -> Result<Vec<StoredLog>, ReadError> {
    let (mut tried, mut liars) = (Vec::new(), Vec::new());
    for member in endpoints.ranked() {
        let receipts = member.provider.get_block_receipts(header.hash.into()).await;
        let said = match receipts {
            Ok(Some(receipts)) => match proven(header, receipts) {
                Some(logs) => return Ok(logs.into_iter().filter(|log| of.contains(&log.address)).collect()),
                None => {
                    member.health.distrust("receipts that do not belong to the block");
                    liars.push(member.name().to_owned());
                    "its receipts are not the block's".to_owned()
                }
            },
            Ok(None) => "it does not have the block".to_owned(),
            Err(error) => error.to_string(),
        };
        tried.push(format!("{}: {said}", member.name()));
    }
    agreed(endpoints, header, of, &liars, tried).await
}

/// Every log of a block, if `receipts` are the block's.
fn proven(header: &Header, receipts: Vec<TransactionReceipt>) -> Option<Vec<StoredLog>> {
    let hashes: Vec<_> = receipts.iter().map(|receipt| receipt.transaction_hash).collect();
    let receipts: Vec<_> =
        receipts.into_iter().map(|receipt| receipt.into_primitives_receipt().inner).collect();
    if calculate_receipt_root(&receipts) != header.receipts_root {
        return None;
    }
    let of_block = hashes
        .into_iter()
        .zip(&receipts)
        .flat_map(|(hash, receipt)| receipt.logs().iter().map(move |log| (hash, log)));
    let stored = of_block.zip(0..).map(|((tx_hash, log), log_index)| StoredLog {
        block_number: header.number,
        block_hash: header.hash,
        timestamp: header.timestamp,
        tx_hash,
        log_index,
        address: log.address,
        topics: log.data.topics().to_vec(),
        data: log.data.data.clone(),
    });
    Some(stored.collect())
}

/// What k endpoints say the block's logs are, apart from those that were just caught.
async fn agreed(
    endpoints: &Endpoints,
    header: &Header,
    of: &BTreeSet<Address>,
    liars: &[String],
    mut tried: Vec<String>,
) -> Result<Vec<StoredLog>, ReadError> {
    let ask = |member: &std::sync::Arc<Member>| {
        let member = std::sync::Arc::clone(member);
        async move { (member.name().to_owned(), by_filter(&member, header, of).await) }
    };
    let honest = endpoints.ranked().into_iter().filter(|m| !liars.iter().any(|liar| liar == m.name()));
    let mut groups: Vec<(usize, Vec<StoredLog>)> = Vec::new();
    for (name, answer) in futures::future::join_all(honest.map(ask)).await {
        match answer {
            Ok(logs) => match groups.iter_mut().find(|(_, known)| *known == logs) {
                Some((count, _)) => *count += 1,
                None => groups.push((1, logs)),
            },
            Err(error) => tried.push(format!("{name}: {error}")),
        }
    }
    groups.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    match groups.into_iter().next() {
        Some((count, logs)) if count >= endpoints.quorum() => Ok(logs),
        _ => Err(ReadError::Unproven { number: header.number, why: tried.join("; ") }),
    }
}

async fn by_filter(
    member: &Member,
    header: &Header,
    of: &BTreeSet<Address>,
) -> Result<Vec<StoredLog>, ReadError> {
    let addresses: Vec<Address> = of.iter().copied().collect();
    let mut logs = Vec::new();
    for some in addresses.chunks(ADDRESSES) {
        let filter = Filter::new().at_block_hash(header.hash).address(some.to_vec());
        let found = member.provider.get_logs(&filter).await;
        logs.extend(found.map_err(|source| match meaning(&source) {
            Meaning::UnknownBlock => ReadError::UnknownBlock(header.hash.to_string()),
            _ => ReadError::Rpc { method: "eth_getLogs", source },
        })?);
    }
    let number = block_ref(header).number;
    logs.iter_mut().for_each(|log| log.block_timestamp = Some(header.timestamp));
    let logs = stored(logs, number, number)?;
    let ours = |log: &StoredLog| {
        let in_bloom = |bytes: &[u8]| header.logs_bloom.contains_input(BloomInput::Raw(bytes));
        log.block_hash == header.hash
            && of.contains(&log.address)
            && in_bloom(log.address.as_slice())
            && log.topics.iter().all(|topic| in_bloom(topic.as_slice()))
    };
    match logs.iter().all(ours) {
        true => Ok(logs),
        false => Err(ReadError::StrayLog { from: number, to: number }),
    }
}
