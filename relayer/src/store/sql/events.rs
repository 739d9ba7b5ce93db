// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events: written by the thousand, read by page.

use alloy::primitives::{B256, Bytes};
use sqlx::{QueryBuilder, Row as _};

use super::{
    Db, Row, SqlStore, Tx,
    rows::{bound, corrupt, fixed, int, number},
};
use crate::store::{EventQuery, StoreError, StoredLog};

/// Rows per statement: a statement's text is parsed once and kept, and more rows gain nothing.
const ROWS: usize = 100;

const INSERT: &str = "INSERT INTO events (block_number, log_index, block_hash, timestamp, tx_hash, address, event, topics, data) ";

const SELECT: &str =
    "SELECT block_number, log_index, block_hash, timestamp, tx_hash, address, topics, data FROM events ";

/// What the index by event holds of a first topic: enough to find it, not to be sure of it.
fn short(topic: Option<&B256>) -> i64 {
    topic.and_then(|topic| topic.first_chunk()).map_or(0, |first| i64::from_be_bytes(*first))
}

pub(super) async fn insert(tx: &mut Tx, logs: &[StoredLog]) -> Result<(), StoreError> {
    for some in logs.chunks(ROWS) {
        let mut insert = QueryBuilder::<Db>::new(INSERT);
        insert.push_values(some, |mut row, log| {
            row.push_bind(log.block_number.cast_signed()).push_bind(log.log_index.cast_signed());
            row.push_bind(log.block_hash.as_slice()).push_bind(log.timestamp.cast_signed());
            row.push_bind(log.tx_hash.as_slice()).push_bind(log.address.as_slice());
            row.push_bind(short(log.topics.first())).push_bind(log.topics.concat());
            row.push_bind(log.data.as_ref());
        });
        // What is prepared is kept, so only the common length is.
        insert.build().persistent(some.len() == ROWS).execute(&mut **tx).await?;
    }
    Ok(())
}

pub(super) async fn logs(
    store: &SqlStore,
    from: u64,
    to: u64,
    limit: u32,
) -> Result<Vec<StoredLog>, StoreError> {
    let rows = sqlx::query(
        "SELECT block_number, log_index, block_hash, timestamp, tx_hash, address, topics, data FROM events
         WHERE block_number BETWEEN $1 AND $2 ORDER BY block_number, log_index LIMIT $3",
    )
    .bind(int(from)?)
    .bind(bound(to))
    .bind(i64::from(limit))
    .fetch_all(&store.readers)
    .await?;
    rows.iter().map(log).collect()
}

/// Behind a place, up to a block, within a transaction.
pub(super) async fn page(
    tx: &mut Tx,
    after: (i64, i64),
    to: i64,
    limit: i64,
) -> Result<Vec<StoredLog>, StoreError> {
    let rows = sqlx::query(
        "SELECT block_number, log_index, block_hash, timestamp, tx_hash, address, topics, data FROM events
         WHERE (block_number, log_index) > ($1, $2) AND block_number <= $3 ORDER BY block_number, log_index LIMIT $4",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(to)
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(log).collect()
}

pub(super) async fn events(store: &SqlStore, query: EventQuery) -> Result<Vec<StoredLog>, StoreError> {
    let mut select = QueryBuilder::<Db>::new(SELECT);
    select.push("WHERE block_number <= ").push_bind(bound(query.until.unwrap_or(u64::MAX)));
    if let Some((block, index)) = query.after {
        select.push(" AND (block_number, log_index) > (").push_bind(bound(block));
        select.push(", ").push_bind(bound(index)).push(")");
    }
    if !query.addresses.is_empty() {
        select.push(" AND address IN (");
        let mut list = select.separated(", ");
        for address in &query.addresses {
            list.push_bind(address.as_slice());
        }
        select.push(")");
    }
    if !query.topics.is_empty() {
        select.push(" AND event IN (");
        let mut list = select.separated(", ");
        for topic in &query.topics {
            list.push_bind(short(Some(topic)));
        }
        select.push(") AND substr(topics, 1, 32) IN (");
        let mut list = select.separated(", ");
        for topic in &query.topics {
            list.push_bind(topic.as_slice());
        }
        select.push(")");
    }
    select.push(" ORDER BY block_number, log_index LIMIT ").push_bind(i64::from(query.limit));
    let rows = select.build().persistent(false).fetch_all(&store.readers).await?;
    rows.iter().map(log).collect()
}

fn log(row: &Row) -> Result<StoredLog, StoreError> {
    let topics = row.try_get::<&[u8], _>("topics")?;
    let (topics, rest) = topics.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(corrupt("topics", "not a multiple of 32 bytes"));
    }
    Ok(StoredLog {
        block_number: number(row, "block_number")?,
        block_hash: fixed(row, "block_hash")?,
        timestamp: number(row, "timestamp")?,
        tx_hash: fixed(row, "tx_hash")?,
        log_index: number(row, "log_index")?,
        address: fixed(row, "address")?,
        topics: topics.iter().map(B256::from).collect(),
        data: Bytes::copy_from_slice(row.try_get("data")?),
    })
}
