// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /v1/events`: what the watched contracts said, up to the finalised block.

use alloy::primitives::{Address, B256, LogData};
use axum::extract::State;
use mandate_model::event::Event;
use mandate_runtime::http::{ApiError, ApiJson, ApiQuery};
use serde::{Deserialize, Serialize};

use super::{
    Answer, Shared,
    page::{self, Page, Place},
};
use crate::store::{EventQuery, StoredLog};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Its name in the contract; absent when the log is not one of this suite's events.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event: Option<String>,
    /// The log.
    #[serde(flatten)]
    pub log: StoredLog,
}

impl EventView {
    fn of(log: StoredLog) -> Self {
        let data = LogData::new(log.topics.clone(), log.data.clone());
        let event = data.and_then(|data| Event::decode(log.address, &data).ok().flatten());
        Self { event: event.map(|event| event.name().to_owned()), log }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct EventsQuery {
    address: Option<Address>,
    topic: Option<B256>,
    from_block: Option<u64>,
    to_block: Option<u64>,
    after: Option<Place>,
    limit: Option<u32>,
}

pub(super) async fn events(
    State(api): Shared,
    ApiQuery(query): ApiQuery<EventsQuery>,
) -> Answer<Page<EventView>> {
    let limit = page::limit(query.limit)?;
    // The database counts to 2^63.
    if query.from_block.into_iter().chain(query.to_block).any(|block| i64::try_from(block).is_err()) {
        return Err(ApiError::bad_request("a block's height is below 2^63"));
    }
    let progress = api.store.progress().await.map_err(ApiError::internal)?;
    let block = progress.finalized.ok_or_else(page::none_yet)?;
    // Events of final blocks stay, so this page is of that block though it is read after it.
    let until = query.to_block.map_or(block.number, |to| to.min(block.number));
    let from = query.from_block.and_then(|from| from.checked_sub(1)).map(|below| (below, i64::MAX as u64));
    let after = query.after.map(|Place(block, log)| (block, log)).max(from);
    let wanted = EventQuery {
        after,
        until: Some(until),
        addresses: query.address.into_iter().collect(),
        topics: query.topic.into_iter().collect(),
        limit: u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(1),
    };
    let mut found = api.store.events(wanted).await.map_err(ApiError::internal)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().map(|log| Place(log.block_number, log.log_index).to_string());
    let items = found.into_iter().map(EventView::of).collect();
    Ok(ApiJson(Page { block, items, next: last.filter(|_| more) }))
}
