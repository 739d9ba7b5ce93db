// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Effects and the transactions that carry them out.

use mandate_model::wire::BlockRef;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    super::{InFlight, Lane, Queued, SignedTx, StoreError},
    SqliteStore, Tx, block, int, json, number, parsed, to_json,
};
use crate::effects::NewEffect;

/// The longest error text that is kept.
const ERROR_TEXT: usize = 500;

/// An effect whose key is there stays as it is, unless it had been given up.
const INSERT: &str = "INSERT INTO outbox (key, lane, origin, effect, state) VALUES (?, ?, ?, ?, 'pending')
    ON CONFLICT (key) DO UPDATE SET state = 'pending', attempts = 0 WHERE state = 'failed'";

fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Http => "http",
        Lane::Chain => "chain",
    }
}

pub(super) async fn insert(tx: &mut Tx, effects: &[NewEffect]) -> Result<(), StoreError> {
    for new in effects {
        sqlx::query(INSERT)
            .bind(&new.key)
            .bind(lane_name(new.effect.lane()))
            .bind(&new.origin)
            .bind(to_json(&new.effect, "effect")?)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

pub(super) async fn enqueue(store: &SqliteStore, effects: Vec<NewEffect>) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    insert(&mut tx, &effects).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn pending(store: &SqliteStore, lane: Lane, limit: u32) -> Result<Vec<Queued>, StoreError> {
    let rows = sqlx::query(
        "SELECT key, effect, attempts FROM outbox WHERE lane = ? AND state = 'pending' ORDER BY attempts, sequence LIMIT ?",
    )
    .bind(lane_name(lane))
    .bind(limit)
    .fetch_all(&store.pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Queued {
                key: row.try_get("key")?,
                effect: json(row, "effect")?,
                attempts: row.try_get("attempts")?,
            })
        })
        .collect()
}

pub(super) async fn open_effects(store: &SqliteStore) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT count(*) AS n FROM outbox WHERE state IN ('pending', 'sent', 'mined')")
        .fetch_one(&store.pool)
        .await?;
    number(&row, "n")
}

pub(super) async fn open_of(store: &SqliteStore, origin: String) -> Result<u64, StoreError> {
    let row =
        sqlx::query("SELECT count(*) AS n FROM outbox WHERE origin = ? AND state IN ('pending', 'sent')")
            .bind(origin)
            .fetch_one(&store.pool)
            .await?;
    number(&row, "n")
}

pub(super) async fn effect_state(store: &SqliteStore, key: String) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT state FROM outbox WHERE key = ?")
        .bind(key)
        .fetch_optional(&store.pool)
        .await?)
}

pub(super) async fn attempt_failed(
    store: &SqliteStore,
    key: String,
    error: String,
    give_up: bool,
) -> Result<(), StoreError> {
    let state = if give_up { "failed" } else { "pending" };
    sqlx::query(
        "UPDATE outbox SET attempts = attempts + 1, last_error = ?, state = ? WHERE key = ? AND state = 'pending'",
    )
    .bind(shortened(&error))
    .bind(state)
    .bind(key)
    .execute(&store.pool)
    .await?;
    Ok(())
}

pub(super) async fn complete(
    store: &SqliteStore,
    key: String,
    follow: Vec<NewEffect>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query("UPDATE outbox SET state = 'done', last_error = NULL WHERE key = ?")
        .bind(&key)
        .execute(&mut *tx)
        .await?;
    sqlx::query("DELETE FROM transactions WHERE effect_key = ?").bind(&key).execute(&mut *tx).await?;
    insert(&mut tx, &follow).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn keep_transaction(
    store: &SqliteStore,
    key: String,
    signed: SignedTx,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "INSERT OR IGNORE INTO transactions (hash, effect_key, nonce, max_fee, priority_fee, raw) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(signed.hash.to_string())
    .bind(&key)
    .bind(int(signed.nonce)?)
    .bind(signed.max_fee.to_string())
    .bind(signed.priority_fee.to_string())
    .bind(signed.raw.to_string())
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE outbox SET state = 'sent' WHERE key = ? AND state = 'pending'")
        .bind(&key)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn in_flight(store: &SqliteStore) -> Result<Vec<InFlight>, StoreError> {
    let rows = sqlx::query(
        "SELECT o.key, o.effect, o.mined_number, o.mined_hash, t.hash, t.nonce, t.max_fee, t.priority_fee, t.raw
         FROM outbox AS o JOIN transactions AS t ON t.effect_key = o.key
         WHERE o.state IN ('sent', 'mined') ORDER BY t.nonce, o.sequence, t.rowid",
    )
    .fetch_all(&store.pool)
    .await?;
    let mut all: Vec<InFlight> = Vec::new();
    for row in &rows {
        let (key, tx) = (row.try_get::<String, _>("key")?, signed(row)?);
        match all.last_mut() {
            Some(last) if last.key == key => last.txs.push(tx),
            _ => {
                let mined = block(row, "mined_number", "mined_hash")?;
                all.push(InFlight { key, effect: json(row, "effect")?, txs: vec![tx], mined });
            }
        }
    }
    Ok(all)
}

fn signed(row: &SqliteRow) -> Result<SignedTx, StoreError> {
    Ok(SignedTx {
        hash: parsed(row, "hash")?,
        nonce: number(row, "nonce")?,
        max_fee: parsed(row, "max_fee")?,
        priority_fee: parsed(row, "priority_fee")?,
        raw: parsed(row, "raw")?,
    })
}

pub(super) async fn mined(store: &SqliteStore, key: String, at: Option<BlockRef>) -> Result<(), StoreError> {
    let state = if at.is_some() { "mined" } else { "sent" };
    sqlx::query(
        "UPDATE outbox SET state = ?, mined_number = ?, mined_hash = ? WHERE key = ? AND state IN ('sent', 'mined')",
    )
    .bind(state)
    .bind(at.map(|b| int(b.number)).transpose()?)
    .bind(at.map(|b| b.hash.to_string()))
    .bind(key)
    .execute(&store.pool)
    .await?;
    Ok(())
}

pub(super) async fn unsend(store: &SqliteStore, key: String, error: String) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query("DELETE FROM transactions WHERE effect_key = ?").bind(&key).execute(&mut *tx).await?;
    sqlx::query(
        "UPDATE outbox SET state = 'pending', attempts = attempts + 1, last_error = ?, mined_number = NULL, mined_hash = NULL
         WHERE key = ? AND state IN ('sent', 'mined')",
    )
    .bind(shortened(&error))
    .bind(&key)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

fn shortened(error: &str) -> String {
    error.chars().take(ERROR_TEXT).collect()
}
