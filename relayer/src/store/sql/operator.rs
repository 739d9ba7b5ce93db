// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the operator sees of the outbox and may change in it.

use std::time::Duration;

use alloy::primitives::B256;
use sqlx::{QueryBuilder, Row as _};

use super::{
    Db, Row, SqlStore,
    rows::{bound, corrupt, json, maybe_fixed, number},
};
use crate::store::{Depth, EffectState, Lane, OutboxEntry, OutboxQuery, StoreError};

/// What was put off to a later time and never tried is not open yet.
pub(super) async fn open_effects(store: &SqlStore) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT count(*) AS n FROM outbox
         WHERE state IN ('sent', 'mined') OR (state = 'pending' AND (attempts > 0 OR not_before <= $1))",
    )
    .bind(store.now(Duration::ZERO))
    .fetch_one(&store.readers)
    .await?;
    number(&row, "n")
}

pub(super) async fn open_of(store: &SqlStore, origin: String) -> Result<u64, StoreError> {
    let row =
        sqlx::query("SELECT count(*) AS n FROM outbox WHERE origin = $1 AND state IN ('pending', 'sent')")
            .bind(origin)
            .fetch_one(&store.readers)
            .await?;
    number(&row, "n")
}

pub(super) async fn effect_state(store: &SqlStore, key: String) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT state FROM outbox WHERE key = $1")
        .bind(key)
        .fetch_optional(&store.readers)
        .await?)
}

pub(super) async fn depths(store: &SqlStore) -> Result<Vec<Depth>, StoreError> {
    let rows = sqlx::query(
        // Named, so that the index by state is of use however many are done.
        "SELECT kind, state, count(*) AS n FROM outbox WHERE state IN ('pending', 'sent', 'mined', 'failed', 'cancelled')
         GROUP BY kind, state ORDER BY kind, state",
    )
    .fetch_all(&store.readers)
    .await?;
    let depth = |row: &Row| {
        let state: &str = row.try_get("state")?;
        let state = EffectState::from_name(state).ok_or_else(|| corrupt("state", state))?;
        Ok(Depth { kind: row.try_get("kind")?, state, count: number(row, "n")? })
    };
    rows.iter().map(depth).collect()
}

pub(super) async fn outbox(store: &SqlStore, query: OutboxQuery) -> Result<Vec<OutboxEntry>, StoreError> {
    let mut select = QueryBuilder::<Db>::new(
        "SELECT sequence, key, kind, lane, origin, effect, state, attempts, last_error, not_before, tx_hash, created
         FROM outbox WHERE sequence > ",
    );
    select.push_bind(bound(query.after));
    if let Some(key) = query.key {
        select.push(" AND key = ").push_bind(key);
    }
    if let Some(state) = query.state {
        select.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(kind) = query.kind {
        select.push(" AND kind = ").push_bind(kind);
    }
    if let Some(lane) = query.lane {
        select.push(" AND lane = ").push_bind(lane.as_str());
    }
    select.push(" ORDER BY sequence LIMIT ").push_bind(i64::from(query.limit));
    let rows = select.build().persistent(false).fetch_all(&store.readers).await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<OutboxEntry, StoreError> {
    let (state, lane): (&str, &str) = (row.try_get("state")?, row.try_get("lane")?);
    Ok(OutboxEntry {
        sequence: number(row, "sequence")?,
        key: row.try_get("key")?,
        kind: row.try_get("kind")?,
        lane: [Lane::Http, Lane::Chain]
            .into_iter()
            .find(|l| l.as_str() == lane)
            .ok_or_else(|| corrupt("lane", lane))?,
        origin: row.try_get("origin")?,
        effect: json(row, "effect")?,
        state: EffectState::from_name(state).ok_or_else(|| corrupt("state", state))?,
        attempts: u32::try_from(number(row, "attempts")?).unwrap_or(u32::MAX),
        last_error: row.try_get("last_error")?,
        not_before: number(row, "not_before")?.div_ceil(1_000),
        tx_hash: maybe_fixed::<B256>(row, "tx_hash")?,
        created: number(row, "created")? / 1_000,
    })
}

/// Counted where it is done: the operator's command is no relayer, and shows no metrics.
pub(super) async fn cancel(store: &SqlStore, key: String) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let cancelled = sqlx::query_scalar(
        "UPDATE outbox SET state = 'cancelled', worker = NULL, leased_until = 0
         WHERE key = $1 AND state IN ('pending', 'sent', 'failed') RETURNING kind",
    );
    let kind: Option<String> = cancelled.bind(key).fetch_optional(&mut *tx).await?;
    let Some(kind) = kind else { return Ok(false) };
    sqlx::query(
        "INSERT INTO cancellations (kind, times) VALUES ($1, 1)
         ON CONFLICT (kind) DO UPDATE SET times = cancellations.times + 1",
    )
    .bind(kind)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn cancellations(store: &SqlStore) -> Result<Vec<(String, u64)>, StoreError> {
    let all = sqlx::query("SELECT kind, times FROM cancellations ORDER BY kind");
    let one = |row: &Row| Ok((row.try_get("kind")?, number(row, "times")?));
    all.fetch_all(&store.readers).await?.iter().map(one).collect()
}

/// The row stays as it is, and is written all the same, with a commit of its own.
pub(super) async fn probe(store: &SqlStore) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query("UPDATE progress SET relayers = relayers").execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// One that was cancelled after it was sent is still in flight.
pub(super) async fn retry(store: &SqlStore, key: String) -> Result<bool, StoreError> {
    let retried = sqlx::query(
        "UPDATE outbox SET attempts = 0, not_before = 0, state = CASE
             WHEN EXISTS (SELECT 1 FROM transactions AS t WHERE t.effect_key = outbox.key) THEN 'sent'
             ELSE 'pending' END
         WHERE key = $1 AND state IN ('pending', 'failed', 'cancelled')",
    );
    Ok(retried.bind(key).execute(&store.writer).await?.rows_affected() == 1)
}
