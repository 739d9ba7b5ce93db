// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cursor, blocks, events and apps.

use alloy::primitives::B256;
use mandate_model::wire::BlockRef;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    super::{AppRecord, Progress, Step, StoreError, StoredLog},
    SqliteStore, Tx, block, int, json, maybe_number, number, outbox, parsed, to_json,
};

pub(super) async fn progress(store: &SqliteStore) -> Result<Progress, StoreError> {
    let row = sqlx::query("SELECT * FROM progress").fetch_one(&store.pool).await?;
    Ok(Progress {
        quiet_until: maybe_number(&row, "quiet_until")?,
        head: block(&row, "head_number", "head_hash")?,
        finalized: block(&row, "finalized_number", "finalized_hash")?,
    })
}

pub(super) async fn block_hash(store: &SqliteStore, number: u64) -> Result<Option<B256>, StoreError> {
    let row = sqlx::query("SELECT hash FROM blocks WHERE number = ?")
        .bind(int(number)?)
        .fetch_optional(&store.pool)
        .await?;
    row.map(|row| parsed(&row, "hash")).transpose()
}

pub(super) async fn apply(store: &SqliteStore, step: Step) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    if let Some(number) = step.rollback_to {
        rollback(&mut tx, number).await?;
    }
    if let Some(number) = step.quiet_until {
        sqlx::query("UPDATE progress SET quiet_until = ?").bind(int(number)?).execute(&mut *tx).await?;
    }
    for block in &step.blocks {
        sqlx::query("INSERT INTO blocks (number, hash) VALUES (?, ?)")
            .bind(int(block.number)?)
            .bind(block.hash.to_string())
            .execute(&mut *tx)
            .await?;
    }
    for log in &step.logs {
        insert_log(&mut tx, log).await?;
    }
    for app in &step.apps {
        insert_app(&mut tx, app).await?;
    }
    outbox::insert(&mut tx, &step.effects).await?;
    if let Some(head) = step.blocks.last() {
        set_head(&mut tx, *head).await?;
    }
    if let Some(finalized) = step.finalized {
        set_finalized(&mut tx, finalized).await?;
    }
    if let Some(round) = step.forget_letters_below {
        sqlx::query("DELETE FROM letters WHERE round < ?").bind(int(round)?).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

async fn rollback(tx: &mut Tx, to: u64) -> Result<(), StoreError> {
    let to = int(to)?;
    for statement in [
        "DELETE FROM blocks WHERE number > ?",
        "DELETE FROM events WHERE block_number > ?",
        "DELETE FROM apps WHERE block_number > ?",
    ] {
        sqlx::query(statement).bind(to).execute(&mut **tx).await?;
    }
    sqlx::query(
        "UPDATE progress SET head_number = b.number, head_hash = b.hash FROM blocks AS b WHERE b.number = ?",
    )
    .bind(to)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert_log(tx: &mut Tx, log: &StoredLog) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO events (block_number, log_index, block_hash, tx_hash, address, topics, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(int(log.block_number)?)
    .bind(int(log.log_index)?)
    .bind(log.block_hash.to_string())
    .bind(log.tx_hash.to_string())
    .bind(log.address.to_string())
    .bind(to_json(&log.topics, "topics")?)
    .bind(log.data.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert_app(tx: &mut Tx, app: &AppRecord) -> Result<(), StoreError> {
    sqlx::query("INSERT OR IGNORE INTO apps (app, registrar, is_foreign, block_number) VALUES (?, ?, ?, ?)")
        .bind(app.app.to_string())
        .bind(app.registrar.to_string())
        .bind(app.foreign)
        .bind(int(app.block_number)?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn set_head(tx: &mut Tx, head: BlockRef) -> Result<(), StoreError> {
    sqlx::query("UPDATE progress SET head_number = ?, head_hash = ?")
        .bind(int(head.number)?)
        .bind(head.hash.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn set_finalized(tx: &mut Tx, finalized: BlockRef) -> Result<(), StoreError> {
    let number = int(finalized.number)?;
    sqlx::query("UPDATE progress SET finalized_number = ?, finalized_hash = ?")
        .bind(number)
        .bind(finalized.hash.to_string())
        .execute(&mut **tx)
        .await?;
    // Blocks below the finalised one cannot be reorganised away.
    sqlx::query("DELETE FROM blocks WHERE number < ?").bind(number).execute(&mut **tx).await?;
    Ok(())
}

pub(super) async fn logs(
    store: &SqliteStore,
    from: u64,
    to: u64,
    limit: u32,
) -> Result<Vec<StoredLog>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM events WHERE block_number BETWEEN ? AND ? ORDER BY block_number, log_index LIMIT ?",
    )
    .bind(int(from)?)
    .bind(int(to.min(i64::MAX as u64))?)
    .bind(limit)
    .fetch_all(&store.pool)
    .await?;
    rows.iter().map(log).collect()
}

fn log(row: &SqliteRow) -> Result<StoredLog, StoreError> {
    Ok(StoredLog {
        block_number: number(row, "block_number")?,
        block_hash: parsed(row, "block_hash")?,
        tx_hash: parsed(row, "tx_hash")?,
        log_index: number(row, "log_index")?,
        address: parsed(row, "address")?,
        topics: json(row, "topics")?,
        data: parsed(row, "data")?,
    })
}

pub(super) async fn apps(store: &SqliteStore) -> Result<Vec<AppRecord>, StoreError> {
    let rows = sqlx::query("SELECT * FROM apps ORDER BY block_number, rowid").fetch_all(&store.pool).await?;
    let app = |row: &SqliteRow| {
        Ok(AppRecord {
            app: parsed(row, "app")?,
            registrar: parsed(row, "registrar")?,
            foreign: row.try_get("is_foreign")?,
            block_number: number(row, "block_number")?,
        })
    };
    rows.iter().map(app).collect()
}
