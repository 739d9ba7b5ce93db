// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates that others have followed.

use alloy::primitives::B256;
use futures::TryStreamExt;
use sqlx::Transaction;

use super::{Db, Generation, Row, Slot, SqlStore, StoreError, app_bytes};

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
        "SELECT * FROM superseded
         WHERE generation = $1 AND subject = $2 AND app = $3 ORDER BY obtained_at, digest",
    )
    .bind(&generation.0[..])
    .bind(slot.subject.to_string())
    .bind(app_bytes(&slot))
    .fetch(&store.pool);
    rows.map_err(StoreError::from).and_then(|row| std::future::ready(columns(&row))).try_collect().await
}

/// Without a plan: these are renewed no more.
fn columns(row: &super::DbRow) -> Result<Row, StoreError> {
    use sqlx::Row as _;
    Ok(Row {
        generation: row.try_get("generation")?,
        subject: row.try_get("subject")?,
        app: row.try_get("app")?,
        chain: row.try_get("chain")?,
        digest: row.try_get("digest")?,
        issuer: row.try_get("issuer")?,
        account_uri: row.try_get("account_uri")?,
        obtained_at: row.try_get("obtained_at")?,
        renew_at: None,
        ask_at: None,
    })
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
