// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Effects from cause to outcome.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{QueryBuilder, Row as _};

use super::{
    Db, Row, SKIP_LOCKED, SqlStore, Tx,
    rows::{bound, json, number, to_json},
};
use crate::{
    effects::NewEffect,
    store::{Lane, Next, Queued, StoreError},
};

/// The longest error text that is kept.
const ERROR_TEXT: usize = 500;
/// Rows per statement.
const ROWS: usize = 200;

/// An effect whose key is there stays as it is, unless it had been given up.
const INSERT: &str = "INSERT INTO outbox (key, kind, lane, origin, effect, created, not_before) ";
const OR_AGAIN: &str = " ON CONFLICT (key) DO UPDATE
    SET state = 'pending', attempts = 0, not_before = excluded.not_before, worker = NULL, leased_until = 0
    WHERE outbox.state = 'failed'";

pub(super) async fn insert(store: &SqlStore, tx: &mut Tx, effects: &[NewEffect]) -> Result<(), StoreError> {
    let now = store.now(Duration::ZERO);
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for new in effects.iter().filter(|new| seen.insert(new.key.as_str())) {
        rows.push((new, to_json(&new.effect, "effect")?));
    }
    for some in rows.chunks(ROWS) {
        let mut insert = QueryBuilder::<Db>::new(INSERT);
        insert.push_values(some, |mut row, (new, effect)| {
            row.push_bind(new.key.as_str()).push_bind(new.effect.kind());
            row.push_bind(new.effect.lane().as_str()).push_bind(new.origin.as_str());
            row.push_bind(effect.as_str()).push_bind(now);
            row.push_bind(bound(new.not_before.unwrap_or(0).saturating_mul(1_000)));
        });
        insert.push(OR_AGAIN).build().persistent(some.len() == 1).execute(&mut **tx).await?;
    }
    Ok(())
}

pub(super) async fn enqueue(store: &SqlStore, effects: Vec<NewEffect>) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    insert(store, &mut tx, &effects).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn claim(store: &SqlStore, lane: Lane, limit: u32) -> Result<Vec<Queued>, StoreError> {
    let now = store.now(Duration::ZERO);
    // Apart from the update, so that what is locked is what is taken.
    let mut claim = QueryBuilder::<Db>::new(
        "WITH due AS MATERIALIZED (SELECT sequence FROM outbox WHERE state = 'pending' AND lane = ",
    );
    claim.push_bind(lane.as_str()).push(" AND not_before <= ").push_bind(now);
    claim.push(" AND leased_until <= ").push_bind(now);
    claim.push(" ORDER BY attempts, sequence LIMIT ").push_bind(i64::from(limit)).push(SKIP_LOCKED);
    claim.push(") UPDATE outbox SET worker = ").push_bind(store.worker);
    claim.push(", leased_until = ").push_bind(store.now(store.lease));
    claim.push(" FROM due WHERE outbox.sequence = due.sequence");
    claim.push(" RETURNING outbox.sequence, outbox.key, outbox.effect, outbox.attempts, outbox.created");
    let rows = claim.build().fetch_all(&store.writer).await?;
    let mut claimed = rows.iter().map(queued).collect::<Result<Vec<_>, _>>()?;
    claimed.sort_by_key(|(sequence, queued)| (queued.attempts, *sequence));
    Ok(claimed.into_iter().map(|(_, queued)| queued).collect())
}

fn queued(row: &Row) -> Result<(u64, Queued), StoreError> {
    let attempts = number(row, "attempts")?;
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    Ok((
        number(row, "sequence")?,
        Queued {
            key: row.try_get("key")?,
            effect: json(row, "effect")?,
            attempts,
            enqueued: Duration::from_millis(number(row, "created")?),
        },
    ))
}

pub(super) async fn renew(store: &SqlStore, lane: Lane) -> Result<(), StoreError> {
    sqlx::query("UPDATE outbox SET leased_until = $1 WHERE state = 'pending' AND lane = $2 AND worker = $3")
        .bind(store.now(store.lease))
        .bind(lane.as_str())
        .bind(store.worker)
        .execute(&store.writer)
        .await?;
    Ok(())
}

pub(super) async fn release(store: &SqlStore, lane: Lane) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE outbox SET worker = NULL, leased_until = 0 WHERE state = 'pending' AND lane = $1 AND worker = $2",
    )
    .bind(lane.as_str())
    .bind(store.worker)
    .execute(&store.writer)
    .await?;
    Ok(())
}

/// Of no effect when the claim has passed to another relayer.
pub(super) async fn postpone(store: &SqlStore, key: String, after: Duration) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE outbox SET not_before = $1, worker = NULL, leased_until = 0
         WHERE key = $2 AND state = 'pending' AND worker = $3",
    )
    .bind(store.now(after))
    .bind(key)
    .bind(store.worker)
    .execute(&store.writer)
    .await?;
    Ok(())
}

pub(super) async fn next_due(store: &SqlStore, lane: Lane) -> Result<Option<Duration>, StoreError> {
    let row = sqlx::query(
        "SELECT min(CASE WHEN not_before > leased_until THEN not_before ELSE leased_until END) AS due
         FROM outbox WHERE state = 'pending' AND lane = $1",
    )
    .bind(lane.as_str())
    .fetch_one(&store.readers)
    .await?;
    let due: Option<i64> = row.try_get("due")?;
    let now = store.now(Duration::ZERO);
    Ok(due.map(|due| Duration::from_millis(due.saturating_sub(now).max(0).unsigned_abs())))
}

/// Of no effect when the claim has passed to another relayer, or the operator cancelled.
pub(super) async fn attempt_failed(
    store: &SqlStore,
    key: String,
    error: String,
    next: Next,
) -> Result<(), StoreError> {
    let (state, not_before) = match next {
        Next::After(delay) => ("pending", store.now(delay)),
        Next::GiveUp => ("failed", 0),
    };
    sqlx::query(
        "UPDATE outbox SET attempts = attempts + 1, last_error = $1, state = $2, not_before = $3,
         worker = NULL, leased_until = 0 WHERE key = $4 AND state = 'pending' AND worker = $5",
    )
    .bind(shortened(&error))
    .bind(state)
    .bind(not_before)
    .bind(key)
    .bind(store.worker)
    .execute(&store.writer)
    .await?;
    Ok(())
}

/// Whoever did it, and whatever was decided meanwhile: done is done.
pub(super) async fn complete(
    store: &SqlStore,
    key: String,
    follow: Vec<NewEffect>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "UPDATE outbox SET state = 'done', last_error = NULL, worker = NULL, leased_until = 0 WHERE key = $1",
    )
    .bind(&key)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM transactions WHERE effect_key = $1").bind(&key).execute(&mut *tx).await?;
    insert(store, &mut tx, &follow).await?;
    Ok(tx.commit().await?)
}

pub(super) fn shortened(error: &str) -> String {
    error.chars().take(ERROR_TEXT).collect()
}
