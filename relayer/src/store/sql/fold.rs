// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The state at the finalised block: events are folded in the transaction that makes their blocks final (G-9).

use alloy::primitives::{Address, B256};
use mandate_model::{
    state::{Committee, Domain, Registration, State},
    wire::BlockRef,
};
use sqlx::{QueryBuilder, Row as _};

use super::{
    Db, Row, SqlStore, Tx, chain, events,
    rows::{corrupt, int},
};
use crate::store::{
    Folded, FoldedApp, StoreError, StoredLog,
    folded::{self, Rows, Touched},
};

/// Stored events that are folded at a time.
const PAGE: usize = 5_000;
/// Parts per statement.
const ROWS: usize = 200;

fn malformed(why: folded::Malformed) -> StoreError {
    corrupt("folded state", why)
}

/// Folds what is final now: stored events above the last finalised block, then those of the step.
pub(super) async fn fold(
    store: &SqlStore,
    tx: &mut Tx,
    finalized: BlockRef,
    new: &[StoredLog],
) -> Result<(), StoreError> {
    let from = chain::finalized(tx).await?.map_or(-1, |block| block.number.cast_signed());
    let to = int(finalized.number)?;
    let mut after = (from, i64::MAX);
    loop {
        let page = events::page(tx, after, to, PAGE as i64).await?;
        if let Some(last) = page.last() {
            after = (last.block_number.cast_signed(), last.log_index.cast_signed());
        }
        fold_some(store, tx, &page).await?;
        if page.len() < PAGE {
            break;
        }
    }
    let end = new.partition_point(|log| log.block_number <= finalized.number);
    fold_some(store, tx, new.get(..end).unwrap_or_default()).await
}

async fn fold_some(store: &SqlStore, tx: &mut Tx, logs: &[StoredLog]) -> Result<(), StoreError> {
    let events = folded::events(logs);
    if events.is_empty() {
        return Ok(());
    }
    let before = read(tx, folded::touched(&store.contracts, &events)).await?;
    let after = folded::folded(store.contracts, &before, &events).map_err(malformed)?;
    let changed: Vec<_> = after.iter().filter(|(key, value)| before.get(*key) != Some(value)).collect();
    let gone: Vec<_> = before.keys().filter(|key| !after.contains_key(*key)).collect();
    write(tx, &changed).await?;
    remove(tx, &gone).await
}

async fn read(tx: &mut Tx, touched: Touched) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    for start in touched.maps {
        rows.extend(range(tx, start.clone(), folded::behind(&start), i64::MAX).await?);
    }
    let keys: Vec<_> = touched.keys.into_iter().filter(|key| !rows.contains_key(key)).collect();
    for some in keys.chunks(ROWS) {
        let mut select = QueryBuilder::<Db>::new("SELECT key, value FROM folded WHERE key IN (");
        let mut list = select.separated(", ");
        for key in some {
            list.push_bind(key.as_slice());
        }
        select.push(")");
        let found = select.build().persistent(some.len() == ROWS).fetch_all(&mut **tx).await?;
        for row in &found {
            let (key, value) = part(row)?;
            rows.insert(key, value);
        }
    }
    Ok(rows)
}

async fn write(tx: &mut Tx, changed: &[(&Vec<u8>, &String)]) -> Result<(), StoreError> {
    for some in changed.chunks(ROWS) {
        let mut insert = QueryBuilder::<Db>::new("INSERT INTO folded (key, value) ");
        insert.push_values(some, |mut row, (key, value)| {
            row.push_bind(key.as_slice()).push_bind(value.as_str());
        });
        insert.push(" ON CONFLICT (key) DO UPDATE SET value = excluded.value");
        insert.build().persistent(some.len() == ROWS).execute(&mut **tx).await?;
    }
    Ok(())
}

async fn remove(tx: &mut Tx, gone: &[&Vec<u8>]) -> Result<(), StoreError> {
    for key in gone {
        sqlx::query("DELETE FROM folded WHERE key = $1").bind(key.as_slice()).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Parts from `from` on, before `to`.
async fn range(tx: &mut Tx, from: Vec<u8>, to: Vec<u8>, limit: i64) -> Result<Rows, StoreError> {
    let rows =
        sqlx::query("SELECT key, value FROM folded WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3")
            .bind(from)
            .bind(to)
            .bind(limit)
            .fetch_all(&mut **tx)
            .await?;
    rows.iter().map(part).collect()
}

fn part(row: &Row) -> Result<(Vec<u8>, String), StoreError> {
    Ok((row.try_get("key")?, row.try_get("value")?))
}

pub(super) async fn whole(store: &SqlStore) -> Result<Folded<Option<State>>, StoreError> {
    let mut tx = store.begin_read().await?;
    let at = chain::finalized(&mut tx).await?;
    let rows = range(&mut tx, Vec::new(), vec![u8::MAX], i64::MAX).await?;
    let state = folded::assemble(store.contracts, &rows).map_err(malformed)?;
    Ok(Folded { at, value: at.map(|_| state) })
}

pub(super) async fn app(store: &SqlStore, app: Address) -> Result<Folded<Option<FoldedApp>>, StoreError> {
    let mut tx = store.begin_read().await?;
    let at = chain::finalized(&mut tx).await?;
    let registered = folded::key(folded::REGISTRATION, &app);
    let mut rows = range(&mut tx, registered.clone(), folded::behind(&registered), 1).await?;
    let prefix = folded::app_prefix(app);
    rows.extend(range(&mut tx, prefix.clone(), folded::behind(&prefix), i64::MAX).await?);
    let mut state = folded::assemble(store.contracts, &rows).map_err(malformed)?;
    let registration = state.registry.apps.remove(&app);
    let value =
        registration.map(|registration| FoldedApp { registration, policy: state.policies.remove(&app) });
    Ok(Folded { at, value })
}

pub(super) async fn apps(
    store: &SqlStore,
    after: Option<Address>,
    limit: u32,
) -> Result<Folded<Vec<(Address, Registration)>>, StoreError> {
    let (at, state) =
        entries(store, folded::REGISTRATION, after.as_ref().map(|a| a.as_slice()), limit).await?;
    Ok(Folded { at, value: state.registry.apps.into_iter().collect() })
}

pub(super) async fn domains(
    store: &SqlStore,
    after: Option<B256>,
    limit: u32,
) -> Result<Folded<Vec<(B256, Domain)>>, StoreError> {
    let (at, state) = entries(store, folded::DOMAIN, after.as_ref().map(|a| a.as_slice()), limit).await?;
    Ok(Folded { at, value: state.domains.domains.into_iter().collect() })
}

/// Some entries of one map, behind `after`.
async fn entries(
    store: &SqlStore,
    tag: u8,
    after: Option<&[u8]>,
    limit: u32,
) -> Result<(Option<BlockRef>, State), StoreError> {
    let mut tx = store.begin_read().await?;
    let at = chain::finalized(&mut tx).await?;
    let start = after.map_or_else(|| vec![tag], |after| folded::next(tag, after));
    let rows = range(&mut tx, start, folded::behind(&[tag]), i64::from(limit)).await?;
    Ok((at, folded::assemble(store.contracts, &rows).map_err(malformed)?))
}

pub(super) async fn committee(store: &SqlStore) -> Result<Folded<Committee>, StoreError> {
    let mut tx = store.begin_read().await?;
    let at = chain::finalized(&mut tx).await?;
    let (from, to) = (vec![folded::COMMITTEE], vec![folded::COMMITTEE_END]);
    let rows = range(&mut tx, from, to, i64::MAX).await?;
    let state = folded::assemble(store.contracts, &rows).map_err(malformed)?;
    Ok(Folded { at, value: state.committee })
}
