// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Latches.

use sqlx::Row as _;

use super::{
    Row, SqlStore, outbox,
    rows::{block, int, json, number, to_json},
};
use crate::{
    effects::NewEffect,
    store::{Latch, StoreError, Telling},
};

pub(super) async fn all(store: &SqlStore) -> Result<Vec<Latch>, StoreError> {
    let all = sqlx::query("SELECT * FROM latches ORDER BY since, kind");
    all.fetch_all(&store.readers).await?.iter().map(latch).collect()
}

fn latch(row: &Row) -> Result<Latch, StoreError> {
    Ok(Latch {
        kind: row.try_get("kind")?,
        detail: row.try_get("detail")?,
        block: block(row, "block_number", "block_hash")?,
        since: number(row, "since")?,
    })
}

/// In one transaction, so that each setting is told once, however often it is tried and whoever dies meanwhile.
pub(super) async fn set(store: &SqlStore, latch: Latch, telling: Telling) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let set = sqlx::query(
        "INSERT INTO latches (kind, detail, block_number, block_hash, since, when_cleared)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kind) DO NOTHING",
    )
    .bind(latch.kind)
    .bind(latch.detail)
    .bind(latch.block.map(|block| int(block.number)).transpose()?)
    .bind(latch.block.map(|block| block.hash.to_vec()))
    .bind(int(latch.since)?)
    .bind(to_json(&telling.cleared, "when_cleared")?)
    .execute(&mut *tx)
    .await?
    .rows_affected()
        == 1;
    if set {
        outbox::insert(store, &mut tx, &telling.set).await?;
    }
    tx.commit().await?;
    Ok(set)
}

pub(super) async fn clear(store: &SqlStore, kind: String) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let cleared = sqlx::query("DELETE FROM latches WHERE kind = $1 RETURNING when_cleared").bind(kind);
    let Some(row) = cleared.fetch_optional(&mut *tx).await? else { return Ok(false) };
    let told: Vec<NewEffect> = json(&row, "when_cleared")?;
    outbox::insert(store, &mut tx, &told).await?;
    tx.commit().await?;
    Ok(true)
}
