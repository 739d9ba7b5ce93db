// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signed transactions and what became of them.

use alloy::primitives::{Address, Bytes};
use sqlx::Row as _;

use super::{
    Row, SqlStore, Tx, leases,
    outbox::shortened,
    rows::{block, fixed, int, json, number, wide},
};
use crate::store::{InFlight, Landed, Lock, SignedTx, StoreError};

/// Within one transaction: the lock is this relayer's, the effect is its to send, and the nonce is that effect's alone.
pub(super) async fn keep(store: &SqlStore, key: String, signed: SignedTx) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    leases::check(store, &mut tx, Lock::Signer(signed.signer)).await?;
    if !take(store, &mut tx, &key, &signed).await? {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO transactions (hash, effect_key, signer, nonce, max_fee, priority_fee, raw)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (hash) DO NOTHING",
    )
    .bind(signed.hash.as_slice())
    .bind(&key)
    .bind(signed.signer.as_slice())
    .bind(int(signed.nonce)?)
    .bind(signed.max_fee.to_string())
    .bind(signed.priority_fee.to_string())
    .bind(signed.raw.as_ref())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

async fn take(store: &SqlStore, tx: &mut Tx, key: &str, signed: &SignedTx) -> Result<bool, StoreError> {
    let (signer, nonce) = (signed.signer.as_slice(), int(signed.nonce)?);
    let others = sqlx::query(
        "SELECT count(*) AS n FROM transactions WHERE signer = $1 AND nonce = $2 AND effect_key <> $3",
    );
    let others = others.bind(signer).bind(nonce).bind(key).fetch_one(&mut **tx).await?;
    if number(&others, "n")? > 0 {
        return Ok(false);
    }
    let taken = sqlx::query(
        "UPDATE outbox SET state = CASE WHEN state = 'pending' THEN 'sent' ELSE state END, tx_hash = $1,
         worker = NULL, leased_until = 0
         WHERE key = $2 AND ((state = 'pending' AND worker = $3) OR (state IN ('sent', 'cancelled') AND EXISTS (
             SELECT 1 FROM transactions AS t WHERE t.effect_key = outbox.key AND t.signer = $4 AND t.nonce = $5)))",
    );
    let taken = taken
        .bind(signed.hash.as_slice())
        .bind(key)
        .bind(store.worker)
        .bind(signer)
        .bind(nonce)
        .execute(&mut **tx)
        .await?;
    Ok(taken.rows_affected() == 1)
}

pub(super) async fn in_flight(store: &SqlStore, signer: Address) -> Result<Vec<InFlight>, StoreError> {
    let rows = sqlx::query(
        "SELECT o.key, o.effect, o.state, o.mined_number, o.mined_hash, t.hash, t.signer, t.nonce, t.max_fee,
                t.priority_fee, t.raw
         FROM transactions AS t JOIN outbox AS o ON t.effect_key = o.key
         WHERE t.signer = $1 ORDER BY t.nonce, o.sequence, t.id",
    )
    .bind(signer.as_slice())
    .fetch_all(&store.readers)
    .await?;
    let mut all: Vec<InFlight> = Vec::new();
    for row in &rows {
        let (key, tx) = (row.try_get::<String, _>("key")?, signed(row)?);
        match all.last_mut() {
            Some(last) if last.key == key => last.txs.push(tx),
            _ => all.push(InFlight {
                key,
                effect: json(row, "effect")?,
                txs: vec![tx],
                mined: block(row, "mined_number", "mined_hash")?,
                cancelled: row.try_get::<&str, _>("state")? == "cancelled",
            }),
        }
    }
    Ok(all)
}

fn signed(row: &Row) -> Result<SignedTx, StoreError> {
    Ok(SignedTx {
        hash: fixed(row, "hash")?,
        signer: fixed(row, "signer")?,
        nonce: number(row, "nonce")?,
        max_fee: wide(row, "max_fee")?,
        priority_fee: wide(row, "priority_fee")?,
        raw: Bytes::copy_from_slice(row.try_get("raw")?),
    })
}

/// A cancelled effect whose transaction was mined came about after all.
pub(super) async fn mined(store: &SqlStore, key: String, at: Option<Landed>) -> Result<(), StoreError> {
    match at {
        Some(Landed { block, tx }) => {
            sqlx::query(
                "UPDATE outbox SET state = 'mined', mined_number = $1, mined_hash = $2, tx_hash = $3
                 WHERE key = $4 AND state IN ('sent', 'mined', 'cancelled')",
            )
            .bind(int(block.number)?)
            .bind(block.hash.as_slice())
            .bind(tx.as_slice())
            .bind(key)
            .execute(&store.writer)
            .await?
        }
        None => {
            sqlx::query(
                "UPDATE outbox SET state = 'sent', mined_number = NULL, mined_hash = NULL
                 WHERE key = $1 AND state = 'mined'",
            )
            .bind(key)
            .execute(&store.writer)
            .await?
        }
    };
    Ok(())
}

pub(super) async fn unsend(store: &SqlStore, key: String, error: String) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query("DELETE FROM transactions WHERE effect_key = $1").bind(&key).execute(&mut *tx).await?;
    sqlx::query(
        "UPDATE outbox SET state = 'pending', attempts = attempts + 1, last_error = $1, tx_hash = NULL,
         mined_number = NULL, mined_hash = NULL, worker = NULL, leased_until = 0
         WHERE key = $2 AND state IN ('sent', 'mined')",
    )
    .bind(shortened(&error))
    .bind(&key)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}
