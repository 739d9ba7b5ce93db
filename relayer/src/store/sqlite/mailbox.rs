// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Letters between nodes.

use alloy::primitives::{Address, B256};
use mandate_model::wire::relayer::{Delivered, Letter};
use sqlx::sqlite::SqliteRow;

use super::{
    super::{Delivery, MailboxCaps, StoreError},
    SqliteStore, Tx, int, json, number, to_json,
};

pub(super) async fn deliver(
    store: &SqliteStore,
    letter: Letter,
    hash: B256,
    caps: MailboxCaps,
) -> Result<Delivery, StoreError> {
    let mut tx = store.begin().await?;
    let known = sqlx::query("SELECT cursor AS n FROM letters WHERE hash = ?").bind(hash.to_string());
    if let Some(row) = known.fetch_optional(&mut *tx).await? {
        return Ok(Delivery::At(number(&row, "n")?));
    }
    let (to, from) = (letter.to.to_string(), letter.from.to_string());
    let all = sqlx::query("SELECT count(*) AS n FROM letters WHERE recipient = ?").bind(&to);
    if number(&all.fetch_one(&mut *tx).await?, "n")? >= caps.per_recipient {
        return Ok(Delivery::RecipientFull);
    }
    let pair = sqlx::query("SELECT count(*) AS n FROM letters WHERE recipient = ? AND sender = ?")
        .bind(&to)
        .bind(&from);
    if number(&pair.fetch_one(&mut *tx).await?, "n")? >= caps.per_sender {
        return Ok(Delivery::SenderFull);
    }
    let cursor = insert(&mut tx, &letter, &to, &from, hash).await?;
    tx.commit().await?;
    Ok(Delivery::At(cursor))
}

async fn insert(tx: &mut Tx, letter: &Letter, to: &str, from: &str, hash: B256) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "INSERT INTO letters (recipient, sender, round, hash, letter) VALUES (?, ?, ?, ?, ?) RETURNING cursor AS n",
    )
    .bind(to)
    .bind(from)
    .bind(int(letter.round)?)
    .bind(hash.to_string())
    .bind(to_json(letter, "letter")?)
    .fetch_one(&mut **tx)
    .await?;
    number(&row, "n")
}

pub(super) async fn letters(
    store: &SqliteStore,
    recipient: Address,
    after: u64,
    limit: u32,
) -> Result<Vec<Delivered>, StoreError> {
    let rows = sqlx::query(
        "SELECT cursor, letter FROM letters WHERE recipient = ? AND cursor > ? ORDER BY cursor LIMIT ?",
    )
    .bind(recipient.to_string())
    .bind(int(after.min(i64::MAX as u64))?)
    .bind(limit)
    .fetch_all(&store.pool)
    .await?;
    let one =
        |row: &SqliteRow| Ok(Delivered { cursor: number(row, "cursor")?, letter: json(row, "letter")? });
    rows.iter().map(one).collect()
}
