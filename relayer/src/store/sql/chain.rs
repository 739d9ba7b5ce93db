// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cursor, blocks and apps.

use alloy::primitives::{Address, B256};
use mandate_model::wire::BlockRef;
use sqlx::{QueryBuilder, Row as _};

use super::{
    Db, Row, SqlStore, Tx, events, fold, leases, outbox,
    rows::{block, fixed, int, maybe_number, number},
};
use crate::store::{AppRecord, Lock, Progress, Step, StoreError};

/// Rows per statement.
const ROWS: usize = 500;

pub(super) async fn progress(store: &SqlStore) -> Result<Progress, StoreError> {
    let row = sqlx::query("SELECT * FROM progress").fetch_one(&store.readers).await?;
    Ok(Progress {
        quiet_until: maybe_number(&row, "quiet_until")?,
        head: block(&row, "head_number", "head_hash")?,
        finalized: block(&row, "finalized_number", "finalized_hash")?,
    })
}

pub(super) async fn finalized(tx: &mut Tx) -> Result<Option<BlockRef>, StoreError> {
    let row = sqlx::query("SELECT finalized_number, finalized_hash FROM progress");
    block(&row.fetch_one(&mut **tx).await?, "finalized_number", "finalized_hash")
}

pub(super) async fn block_hash(store: &SqlStore, number: u64) -> Result<Option<B256>, StoreError> {
    let row = sqlx::query("SELECT hash FROM blocks WHERE number = $1")
        .bind(int(number)?)
        .fetch_optional(&store.readers)
        .await?;
    row.map(|row| fixed(&row, "hash")).transpose()
}

pub(super) async fn apply(store: &SqlStore, step: Step) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    leases::check(store, &mut tx, Lock::Follow).await?;
    if let Some(number) = step.rollback_to {
        rollback(&mut tx, number).await?;
    }
    if let Some(number) = step.quiet_until {
        sqlx::query("UPDATE progress SET quiet_until = $1").bind(int(number)?).execute(&mut *tx).await?;
    }
    if let Some(block) = step.finalized {
        // Before the step's own logs are written: those are at hand.
        fold::fold(store, &mut tx, block, &step.logs).await?;
    }
    insert_blocks(&mut tx, &step.blocks).await?;
    events::insert(&mut tx, &step.logs).await?;
    insert_apps(&mut tx, &step.apps).await?;
    outbox::insert(store, &mut tx, &step.effects).await?;
    if let Some(head) = step.blocks.last() {
        set_head(&mut tx, *head).await?;
    }
    if let Some(finalized) = step.finalized {
        set_finalized(&mut tx, finalized).await?;
    }
    if let Some(round) = step.forget_letters_below {
        sqlx::query("DELETE FROM letters WHERE round < $1").bind(int(round)?).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

async fn rollback(tx: &mut Tx, to: u64) -> Result<(), StoreError> {
    if let Some(block) = finalized(tx).await?.filter(|block| block.number > to) {
        return Err(StoreError::Final { to, finalized: block.number });
    }
    let to = int(to)?;
    for statement in [
        "DELETE FROM blocks WHERE number > $1",
        "DELETE FROM events WHERE block_number > $1",
        "DELETE FROM apps WHERE block_number > $1",
        "UPDATE progress SET head_number = b.number, head_hash = b.hash FROM blocks AS b WHERE b.number = $1",
    ] {
        sqlx::query(statement).bind(to).execute(&mut **tx).await?;
    }
    Ok(())
}

async fn insert_blocks(tx: &mut Tx, blocks: &[BlockRef]) -> Result<(), StoreError> {
    for some in blocks.chunks(ROWS) {
        let mut insert = QueryBuilder::<Db>::new("INSERT INTO blocks (number, hash) ");
        insert.push_values(some, |mut row, block| {
            row.push_bind(block.number.cast_signed()).push_bind(block.hash.as_slice());
        });
        insert.build().execute(&mut **tx).await?;
    }
    Ok(())
}

async fn insert_apps(tx: &mut Tx, apps: &[AppRecord]) -> Result<(), StoreError> {
    for some in apps.chunks(ROWS) {
        let mut insert =
            QueryBuilder::<Db>::new("INSERT INTO apps (app, registrar, is_foreign, block_number) ");
        insert.push_values(some, |mut row, app| {
            row.push_bind(app.app.as_slice()).push_bind(app.registrar.as_slice());
            row.push_bind(app.foreign).push_bind(app.block_number.cast_signed());
        });
        insert.push(" ON CONFLICT (app) DO NOTHING").build().execute(&mut **tx).await?;
    }
    Ok(())
}

async fn set_head(tx: &mut Tx, head: BlockRef) -> Result<(), StoreError> {
    sqlx::query("UPDATE progress SET head_number = $1, head_hash = $2")
        .bind(int(head.number)?)
        .bind(head.hash.as_slice())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn set_finalized(tx: &mut Tx, finalized: BlockRef) -> Result<(), StoreError> {
    let number = int(finalized.number)?;
    sqlx::query("UPDATE progress SET finalized_number = $1, finalized_hash = $2")
        .bind(number)
        .bind(finalized.hash.as_slice())
        .execute(&mut **tx)
        .await?;
    // Blocks below the finalised one cannot be reorganised away.
    sqlx::query("DELETE FROM blocks WHERE number < $1").bind(number).execute(&mut **tx).await?;
    // One within a range that was fetched at once is not there yet.
    sqlx::query("INSERT INTO blocks (number, hash) VALUES ($1, $2) ON CONFLICT (number) DO NOTHING")
        .bind(number)
        .bind(finalized.hash.as_slice())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn apps(store: &SqlStore) -> Result<Vec<AppRecord>, StoreError> {
    let all = sqlx::query("SELECT * FROM apps ORDER BY block_number, app");
    all.fetch_all(&store.readers).await?.iter().map(app).collect()
}

pub(super) async fn apps_page(
    store: &SqlStore,
    after: Option<Address>,
    limit: u32,
) -> Result<Vec<AppRecord>, StoreError> {
    // No address is shorter than none.
    let after = after.map(|app| app.to_vec()).unwrap_or_default();
    let page = sqlx::query("SELECT * FROM apps WHERE app > $1 ORDER BY app LIMIT $2")
        .bind(after)
        .bind(i64::from(limit));
    page.fetch_all(&store.readers).await?.iter().map(app).collect()
}

fn app(row: &Row) -> Result<AppRecord, StoreError> {
    Ok(AppRecord {
        app: fixed(row, "app")?,
        registrar: fixed(row, "registrar")?,
        foreign: row.try_get("is_foreign")?,
        block_number: number(row, "block_number")?,
    })
}
