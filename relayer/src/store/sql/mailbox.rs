// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Letters between nodes.

use alloy::primitives::{Address, B256};
use mandate_model::wire::relayer::{Delivered, Letter};

use super::{
    LOCK_LETTERS, Row, SqlStore, Tx,
    rows::{bound, int, json, number, to_json},
};
use crate::store::{Delivery, MailboxCaps, StoreError};

pub(super) async fn deliver(
    store: &SqlStore,
    letter: Letter,
    hash: B256,
    caps: MailboxCaps,
) -> Result<Delivery, StoreError> {
    let mut tx = store.begin().await?;
    // One at a time: caps hold, and a reader never sees a letter before one of a lower place.
    if let Some(lock) = LOCK_LETTERS {
        sqlx::query(lock).execute(&mut *tx).await?;
    }
    let known = sqlx::query("SELECT cursor AS n FROM letters WHERE hash = $1").bind(hash.as_slice());
    if let Some(row) = known.fetch_optional(&mut *tx).await? {
        return Ok(Delivery::At(number(&row, "n")?));
    }
    let (to, from) = (letter.to.as_slice(), letter.from.as_slice());
    let all = sqlx::query("SELECT count(*) AS n FROM letters WHERE recipient = $1").bind(to);
    if number(&all.fetch_one(&mut *tx).await?, "n")? >= caps.per_recipient {
        return Ok(Delivery::RecipientFull);
    }
    let pair = sqlx::query("SELECT count(*) AS n FROM letters WHERE recipient = $1 AND sender = $2");
    if number(&pair.bind(to).bind(from).fetch_one(&mut *tx).await?, "n")? >= caps.per_sender {
        return Ok(Delivery::SenderFull);
    }
    let cursor = insert(&mut tx, &letter, hash).await?;
    tx.commit().await?;
    Ok(Delivery::At(cursor))
}

async fn insert(tx: &mut Tx, letter: &Letter, hash: B256) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "INSERT INTO letters (recipient, sender, round, hash, letter) VALUES ($1, $2, $3, $4, $5) RETURNING cursor AS n",
    )
    .bind(letter.to.as_slice())
    .bind(letter.from.as_slice())
    .bind(int(letter.round)?)
    .bind(hash.as_slice())
    .bind(to_json(letter, "letter")?)
    .fetch_one(&mut **tx)
    .await?;
    number(&row, "n")
}

pub(super) async fn letters(
    store: &SqlStore,
    recipient: Address,
    after: u64,
    limit: u32,
) -> Result<Vec<Delivered>, StoreError> {
    let rows = sqlx::query(
        "SELECT cursor, letter FROM letters WHERE recipient = $1 AND cursor > $2 ORDER BY cursor LIMIT $3",
    )
    .bind(recipient.as_slice())
    .bind(bound(after))
    .bind(i64::from(limit))
    .fetch_all(&store.readers)
    .await?;
    let one = |row: &Row| Ok(Delivered { cursor: number(row, "cursor")?, letter: json(row, "letter")? });
    rows.iter().map(one).collect()
}
