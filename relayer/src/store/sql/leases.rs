// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which relayer this is, and what it alone may do.
//!
//! A lease ends by the clock of whoever wants it next, so clocks must agree within seconds. Nothing wrong is written when they
//! do not: [`check`] runs in the transaction that writes, and the row stays locked until that ends.

use std::time::Duration;

use alloy::primitives::Address;
use sqlx::{Pool, Row as _};

use super::{
    Db, SqlStore, Tx,
    rows::{fixed, int, number as unsigned},
};
use crate::{
    chain::Contracts,
    store::{Lock, StoreError},
};

/// Makes the database this deployment's, or checks that it is, and counts one relayer more.
pub(super) async fn number(pool: &Pool<Db>, contracts: &Contracts) -> Result<i64, StoreError> {
    sqlx::query(
        "INSERT INTO progress (id, chain_id, kms_auth) VALUES (0, $1, $2) ON CONFLICT (id) DO NOTHING",
    )
    .bind(int(contracts.chain_id)?)
    .bind(contracts.kms_auth.as_slice())
    .execute(pool)
    .await?;
    let row = sqlx::query("SELECT chain_id, kms_auth FROM progress").fetch_one(pool).await?;
    let (chain_id, kms_auth): (u64, Address) = (unsigned(&row, "chain_id")?, fixed(&row, "kms_auth")?);
    if chain_id != contracts.chain_id || kms_auth != contracts.kms_auth {
        return Err(StoreError::OtherDeployment { chain_id, kms_auth });
    }
    let counted = sqlx::query("UPDATE progress SET relayers = relayers + 1 RETURNING relayers");
    Ok(counted.fetch_one(pool).await?.try_get("relayers")?)
}

fn name(lock: Lock) -> String {
    match lock {
        Lock::Follow => "follow".to_owned(),
        Lock::Signer(address) => format!("signer {address}"),
    }
}

/// The database is not asked while more than half of the lease is left: a write that needs the lock checks it anyway.
fn is_fresh(store: &SqlStore, lock: Lock) -> bool {
    let half = store.clock.unix_time().saturating_add(store.lease / 2);
    store.held().get(&lock).is_some_and(|until| *until > half)
}

fn note(store: &SqlStore, lock: Lock, is_held: bool) -> bool {
    let until = store.clock.unix_time().saturating_add(store.lease);
    match is_held {
        true => store.held().insert(lock, until),
        false => store.held().remove(&lock),
    };
    is_held
}

pub(super) async fn hold(store: &SqlStore, lock: Lock) -> Result<bool, StoreError> {
    if is_fresh(store, lock) {
        return Ok(true);
    }
    let held = sqlx::query(
        "INSERT INTO leases (name, holder, until) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
         WHERE leases.holder = excluded.holder OR leases.until <= $4",
    )
    .bind(name(lock))
    .bind(store.worker)
    .bind(store.now(store.lease))
    .bind(store.now(Duration::ZERO))
    .execute(&store.writer)
    .await?;
    Ok(note(store, lock, held.rows_affected() == 1))
}

pub(super) async fn extend(store: &SqlStore, lock: Lock) -> Result<bool, StoreError> {
    if is_fresh(store, lock) {
        return Ok(true);
    }
    let extended = sqlx::query("UPDATE leases SET until = $1 WHERE name = $2 AND holder = $3")
        .bind(store.now(store.lease))
        .bind(name(lock))
        .bind(store.worker)
        .execute(&store.writer)
        .await?;
    Ok(note(store, lock, extended.rows_affected() == 1))
}

pub(super) async fn let_go(store: &SqlStore, lock: Lock) -> Result<(), StoreError> {
    store.held().remove(&lock);
    sqlx::query("DELETE FROM leases WHERE name = $1 AND holder = $2")
        .bind(name(lock))
        .bind(store.worker)
        .execute(&store.writer)
        .await?;
    Ok(())
}

/// Whether the lock is still this relayer's; it stays so until the transaction ends.
pub(super) async fn check(store: &SqlStore, tx: &mut Tx, lock: Lock) -> Result<(), StoreError> {
    let ours = sqlx::query("UPDATE leases SET until = until WHERE name = $1 AND holder = $2")
        .bind(name(lock))
        .bind(store.worker)
        .execute(&mut **tx)
        .await?;
    if ours.rows_affected() == 1 {
        return Ok(());
    }
    store.held().remove(&lock);
    Err(StoreError::NotHeld(lock))
}
