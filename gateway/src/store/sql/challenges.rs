// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Challenges of orders under way. Rows live for minutes: whoever writes one removes those that are over.

use std::time::Duration;

use sqlx::Row as _;

use super::{BEGIN, Challenge, SqlStore, StoreError};

pub(super) async fn open(store: &SqlStore, name: String, challenge: Challenge) -> Result<(), StoreError> {
    let mut tx = store.pool.begin_with(BEGIN).await?;
    let over = "DELETE FROM challenges WHERE expires_at <= $1";
    sqlx::query(over).bind(store.now(Duration::ZERO)).execute(&mut *tx).await?;
    sqlx::query(
        "INSERT INTO challenges (name, digest, expires_at, tag) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at, tag = excluded.tag",
    )
    .bind(name)
    .bind(challenge.digest)
    .bind(challenge.expires_at)
    .bind(challenge.tag)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn close(store: &SqlStore, name: String, digest: Vec<u8>) -> Result<(), StoreError> {
    let close = "DELETE FROM challenges WHERE name = $1 AND digest = $2";
    sqlx::query(close).bind(name).bind(digest).execute(&store.pool).await?;
    Ok(())
}

pub(super) async fn find(store: &SqlStore, name: String) -> Result<Option<Challenge>, StoreError> {
    let find = "SELECT digest, expires_at, tag FROM challenges WHERE name = $1";
    let Some(row) = sqlx::query(find).bind(name).fetch_optional(&store.pool).await? else { return Ok(None) };
    let (digest, expires_at, tag) = (row.try_get("digest")?, row.try_get("expires_at")?, row.try_get("tag")?);
    Ok(Some(Challenge { digest, expires_at, tag }))
}
