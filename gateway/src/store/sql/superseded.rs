// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates that others have followed.

use alloy::primitives::B256;
use futures::TryStreamExt;
use sqlx::Transaction;

use super::{Db, Generation, Row, Slot, SqlStore, StoreError, app_bytes, columns};

/// Keeps what stands in the slot before another one takes its place.
pub(super) async fn keep(
    tx: &mut Transaction<'_, Db>,
    generation: Generation,
    slot: &Slot,
    next: B256,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO superseded (generation, subject, app, digest, chain, issuer, account_uri, obtained_at)
         SELECT generation, subject, app, digest, chain, issuer, account_uri, obtained_at FROM certificates
         WHERE generation = $1 AND subject = $2 AND app = $3 AND digest <> $4
         ON CONFLICT (generation, subject, app, digest) DO NOTHING",
    )
    .bind(&generation.0[..])
    .bind(slot.subject.to_string())
    .bind(app_bytes(slot))
    .bind(next.to_vec())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn all(
    store: &SqlStore,
    generation: Generation,
    slot: Slot,
) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query(
        // Without a plan: these are renewed no more.
        "SELECT superseded.*, CAST(NULL AS BIGINT) AS renew_at, CAST(NULL AS BIGINT) AS ask_at FROM superseded
         WHERE generation = $1 AND subject = $2 AND app = $3 ORDER BY obtained_at, digest",
    )
    .bind(&generation.0[..])
    .bind(slot.subject.to_string())
    .bind(app_bytes(&slot))
    .fetch(&store.pool);
    rows.map_err(StoreError::from).and_then(|row| std::future::ready(columns(&row))).try_collect().await
}

pub(super) async fn drop(
    store: &SqlStore,
    generation: Generation,
    slot: Slot,
    digest: Vec<u8>,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM superseded WHERE generation = $1 AND subject = $2 AND app = $3 AND digest = $4")
        .bind(&generation.0[..])
        .bind(slot.subject.to_string())
        .bind(app_bytes(&slot))
        .bind(digest)
        .execute(&store.pool)
        .await?;
    Ok(())
}
