// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The logs of many blocks at once, for catching up.
//!
//! Proving them would take every header of the range (a request per block); what is affordable is agreement: k endpoints
//! that have the same last block must give the same logs. An endpoint that cuts its answer without a word differs from one
//! that does not. With a quorum of one there is nobody to compare with; then these hold: an answer of a round number of logs
//! counts as cut, and the logs of the last block are compared with its bloom filter and receipts, since it is the end of an
//! answer that gets lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::{Filter, Header, Log},
};
use futures::{StreamExt, stream::FuturesUnordered};
use mandate_model::wire::BlockRef;

use super::{
    super::endpoints::{Endpoints, Member, is_too_long},
    ReadError, block_ref, is_too_much, receipts, stored,
};
use crate::store::StoredLog;

/// Providers cap answers at round numbers; an answer of exactly so many logs, or a multiple, may have been cut.
const ROUND: usize = 1_000;

/// A range of blocks as k endpoints have it.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// Its last block.
    pub(crate) end: BlockRef,
    /// Its logs, in order.
    pub(crate) logs: Vec<StoredLog>,
}

type Answer = (Arc<Member>, Result<Vec<StoredLog>, ReadError>);

pub(super) async fn logs(
    endpoints: &Endpoints,
    from: u64,
    to: u64,
    of: &BTreeSet<Address>,
) -> Result<Fetched, ReadError> {
    let (header, members) = that_agree(endpoints, to).await?;
    let end = block_ref(&header);
    let answers = enough(endpoints.quorum(), members, from, to, of).await;
    let logs = match answers.and_then(|answers| compare(answers, from, to)) {
        Ok(logs) => check_cut(endpoints, &header, from, logs, of).await?,
        // One block can be proven: then it does not matter who gives too little, and it turns out who is wrong.
        Err(error @ (ReadError::Disagree { .. } | ReadError::TooMuch { .. })) if from == to => {
            receipts::logs(endpoints, &header, of).await.map_err(|_| error)?
        }
        Err(error) => return Err(error),
    };
    Ok(Fetched { end, logs })
}

/// The endpoints that have the same block at a height, best first, if they are k.
pub(super) async fn that_agree(
    endpoints: &Endpoints,
    number: u64,
) -> Result<(Header, Vec<Arc<Member>>), ReadError> {
    let mut groups: BTreeMap<B256, (Header, Vec<Arc<Member>>)> = BTreeMap::new();
    for (member, header) in endpoints.headers_at(number).await {
        groups.entry(header.hash).or_insert_with(|| (header, Vec::new())).1.push(member);
    }
    let needed = endpoints.quorum();
    let largest = groups.into_values().max_by_key(|(_, members)| members.len());
    match largest {
        Some((header, members)) if members.len() >= needed => Ok((header, members)),
        other => Err(ReadError::TooFew { number, found: other.map_or(0, |(_, m)| m.len()), needed }),
    }
}

/// Answers of k endpoints; where one fails, the next is asked.
async fn enough(
    quorum: usize,
    members: Vec<Arc<Member>>,
    from: u64,
    to: u64,
    of: &BTreeSet<Address>,
) -> Result<Vec<Answer>, ReadError> {
    let mut spare = members.into_iter();
    let ask = |member: Arc<Member>| async move {
        let answer = of_one(&member, from, to, of).await;
        (member, answer)
    };
    let mut waiting: FuturesUnordered<_> = spare.by_ref().take(quorum).map(ask).collect();
    let (mut good, mut last, mut too_long) = (Vec::new(), None, false);
    while let Some((member, answer)) = waiting.next().await {
        match answer {
            Ok(_) => good.push((member, answer)),
            Err(error @ ReadError::TooMuch { .. }) => return Err(error),
            Err(error) => {
                too_long |= matches!(&error, ReadError::Rpc { source, .. } if is_too_long(source));
                last = Some(error);
                waiting.extend(spare.next().map(ask));
            }
        }
    }
    match good.len() >= quorum {
        true => Ok(good),
        // It may be the logs' fault and not the endpoint's.
        false if too_long && from < to => Err(ReadError::TooMuch { from, to }),
        false => Err(last.unwrap_or(ReadError::TooFew { number: to, found: good.len(), needed: quorum })),
    }
}

async fn of_one(
    member: &Member,
    from: u64,
    to: u64,
    of: &BTreeSet<Address>,
) -> Result<Vec<StoredLog>, ReadError> {
    let addresses: Vec<Address> = of.iter().copied().collect();
    let mut logs = Vec::new();
    for some in addresses.chunks(receipts::ADDRESSES) {
        let filter = Filter::new().from_block(from).to_block(to).address(some.to_vec());
        let found = member.provider.get_logs(&filter).await;
        let found = found.map_err(|source| match is_too_much(&source) {
            true => ReadError::TooMuch { from, to },
            false => ReadError::Rpc { method: "eth_getLogs", source },
        })?;
        if from < to && found.len() >= ROUND && found.len() % ROUND == 0 {
            return Err(ReadError::TooMuch { from, to });
        }
        logs.extend(found);
    }
    add_times(member, &mut logs).await?;
    let logs = stored(logs, from, to)?;
    match logs.iter().all(|log| of.contains(&log.address)) {
        true => Ok(logs),
        false => Err(ReadError::StrayLog { from, to }),
    }
}

/// Not every endpoint tells the time of a log's block; the header does.
async fn add_times(member: &Member, logs: &mut [Log]) -> Result<(), ReadError> {
    let mut last: Option<(u64, u64)> = None;
    for log in logs.iter_mut().filter(|log| log.block_timestamp.is_none()) {
        let Some(number) = log.block_number else { continue };
        let time = match last.filter(|(known, _)| *known == number) {
            Some((_, time)) => time,
            None => {
                let header = member.header(number.into()).await;
                let header =
                    header.map_err(|source| ReadError::Rpc { method: "eth_getBlockByNumber", source })?;
                header.ok_or_else(|| ReadError::UnknownBlock(number.to_string()))?.timestamp
            }
        };
        last = Some((number, time));
        log.block_timestamp = Some(time);
    }
    Ok(())
}

fn compare(answers: Vec<Answer>, from: u64, to: u64) -> Result<Vec<StoredLog>, ReadError> {
    let mut all = answers.into_iter().filter_map(|(member, logs)| Some((member, logs.ok()?)));
    let Some((first, logs)) = all.next() else {
        return Err(ReadError::TooFew { number: to, found: 0, needed: 1 });
    };
    let others: Vec<_> = all.filter(|(_, other)| *other != logs).collect();
    if others.is_empty() {
        return Ok(logs);
    }
    let say =
        |(member, logs): (&Arc<Member>, &Vec<StoredLog>)| format!("{} gave {}", member.name(), logs.len());
    let who: Vec<String> =
        std::iter::once((&first, &logs)).chain(others.iter().map(|(m, l)| (m, l))).map(say).collect();
    Err(ReadError::Disagree { from, to, who: who.join(", ") })
}

/// Whether the end of an answer was lost, where one endpoint is believed: an answer that was cut is cut in the block of its
/// last log or right behind it. That block's receipts are proven, and the endpoint is asked again for what comes after.
async fn check_cut(
    endpoints: &Endpoints,
    end: &Header,
    from: u64,
    logs: Vec<StoredLog>,
    of: &BTreeSet<Address>,
) -> Result<Vec<StoredLog>, ReadError> {
    if endpoints.quorum() > 1 {
        return Ok(logs);
    }
    let last = logs.last().map_or(end.number, |log| log.block_number);
    let (header, behind) = if last < end.number {
        let (header, members) = that_agree(endpoints, last).await?;
        let answers = enough(1, members, last + 1, end.number, of).await?;
        (header, compare(answers, last + 1, end.number)?)
    } else {
        (end.clone(), Vec::new())
    };
    let in_last = logs.get(logs.partition_point(|log| log.block_number < last)..).unwrap_or_default();
    let proven = match receipts::may_hold(&header, of) {
        true => receipts::logs(endpoints, &header, of).await?,
        false => Vec::new(),
    };
    match in_last == proven && behind.is_empty() {
        true => Ok(logs),
        false if from == end.number => Ok(proven),
        false => {
            tracing::warn!(from, to = end.number, "an endpoint left logs out without a word");
            Err(ReadError::TooMuch { from, to: end.number })
        }
    }
}
