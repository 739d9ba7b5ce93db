// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Latches.

use sqlx::Row as _;

use super::{
    Row, SqlStore,
    rows::{block, int, number},
};
use crate::store::{Latch, StoreError};

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

pub(super) async fn set(store: &SqlStore, latch: Latch) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO latches (kind, detail, block_number, block_hash, since) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (kind) DO NOTHING",
    )
    .bind(latch.kind)
    .bind(latch.detail)
    .bind(latch.block.map(|block| int(block.number)).transpose()?)
    .bind(latch.block.map(|block| block.hash.to_vec()))
    .bind(int(latch.since)?)
    .execute(&store.writer)
    .await?;
    Ok(())
}

pub(super) async fn clear(store: &SqlStore, kind: String) -> Result<bool, StoreError> {
    let cleared = sqlx::query("DELETE FROM latches WHERE kind = $1").bind(kind);
    Ok(cleared.execute(&store.writer).await?.rows_affected() == 1)
}
