// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who orders, and who has to wait.
//!
//! A claim ends by the clock of whoever wants it next, so clocks must agree within seconds. When they do not, an authority is
//! asked twice, and nothing worse: what is written is written by who holds the claim.

use std::time::Duration;

use mandate_acme::name::Subject;
use sqlx::Row as _;

use super::{
    BEGIN, Claim, Failure, Generation, LEASE, Record, SqlStore, StoreError, app_bytes, int, superseded,
};

const NOBODY: &[u8] = &[];

pub(super) async fn claim(store: &SqlStore, subject: Subject) -> Result<Claim, StoreError> {
    let (subject, now) = (subject.to_string(), store.now(Duration::ZERO));
    let taken = sqlx::query(
        "INSERT INTO orders (subject, holder, leased_until, failures, not_before, last_error)
         SELECT $1, $2, $3, 0, 0, '' FROM authority WHERE not_before <= $4
         ON CONFLICT (subject) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until
         WHERE (orders.leased_until <= $4 OR orders.holder = excluded.holder) AND orders.not_before <= $4
         RETURNING failures",
    )
    .bind(&subject)
    .bind(&store.holder[..])
    .bind(store.now(LEASE))
    .bind(now)
    .fetch_optional(&store.pool)
    .await?;
    if let Some(row) = taken {
        let failures: i64 = row.try_get("failures")?;
        return Ok(Claim::Taken { failures: u32::try_from(failures).unwrap_or(u32::MAX) });
    }
    refused(store, &subject, now).await
}

/// Why there was nothing to take. That may have changed since: who is told that another gateway orders asks again soon.
async fn refused(store: &SqlStore, subject: &str, now: i64) -> Result<Claim, StoreError> {
    let row = sqlx::query(
        "SELECT authority.not_before AS authority, orders.leased_until, orders.not_before
         FROM authority LEFT JOIN orders ON orders.subject = $1",
    )
    .bind(subject)
    .fetch_one(&store.pool)
    .await?;
    let leased_until: Option<i64> = row.try_get("leased_until")?;
    if leased_until.is_some_and(|until| until > now) {
        return Ok(Claim::Elsewhere);
    }
    let not_before: Option<i64> = row.try_get("not_before")?;
    let wait = not_before.unwrap_or(0).max(row.try_get("authority")?).saturating_sub(now);
    Ok(match u64::try_from(wait) {
        Ok(millis @ 1..) => Claim::TooSoon { after: Duration::from_millis(millis) },
        // Whoever had it has ended it in between.
        _ => Claim::Elsewhere,
    })
}

pub(super) async fn extend(store: &SqlStore, subject: Subject) -> Result<bool, StoreError> {
    let extended = sqlx::query("UPDATE orders SET leased_until = $1 WHERE subject = $2 AND holder = $3")
        .bind(store.now(LEASE))
        .bind(subject.to_string())
        .bind(&store.holder[..])
        .execute(&store.pool)
        .await?;
    Ok(extended.rows_affected() == 1)
}

pub(super) async fn let_go(store: &SqlStore, subject: Subject) -> Result<(), StoreError> {
    sqlx::query("UPDATE orders SET leased_until = 0, holder = $1 WHERE subject = $2 AND holder = $3")
        .bind(NOBODY)
        .bind(subject.to_string())
        .bind(&store.holder[..])
        .execute(&store.pool)
        .await?;
    Ok(())
}

pub(super) async fn complete(
    store: &SqlStore,
    generation: Generation,
    record: Record,
) -> Result<bool, StoreError> {
    let mut tx = store.pool.begin_with(BEGIN).await?;
    let ended = sqlx::query("DELETE FROM orders WHERE subject = $1 AND holder = $2")
        .bind(record.slot.subject.to_string())
        .bind(&store.holder[..])
        .execute(&mut *tx)
        .await?;
    if ended.rows_affected() != 1 {
        tx.rollback().await?;
        return Ok(false);
    }
    superseded::keep(&mut tx, generation, &record.slot, record.digest()).await?;
    sqlx::query(
        "INSERT INTO certificates (generation, subject, app, chain, digest, issuer, account_uri, obtained_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (generation, subject, app) DO UPDATE SET chain = excluded.chain, digest = excluded.digest,
         issuer = excluded.issuer, account_uri = excluded.account_uri, obtained_at = excluded.obtained_at,
         renew_at = NULL, ask_at = NULL",
    )
    .bind(&generation.0[..])
    .bind(record.slot.subject.to_string())
    .bind(app_bytes(&record.slot))
    .bind(record.issued.chain.iter().flat_map(|der| der.as_ref()).copied().collect::<Vec<u8>>())
    .bind(record.digest().to_vec())
    .bind(&record.issued.issuer)
    .bind(&record.issued.account_uri)
    .bind(int(record.obtained_at))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn fail(store: &SqlStore, subject: Subject, failure: Failure) -> Result<(), StoreError> {
    let mut tx = store.pool.begin_with(BEGIN).await?;
    sqlx::query(
        "UPDATE orders SET holder = $1, leased_until = 0, failures = $2, not_before = $3, last_error = $4
         WHERE subject = $5 AND holder = $6",
    )
    .bind(NOBODY)
    .bind(i64::from(failure.failures))
    .bind(store.now(failure.pause))
    .bind(failure.error)
    .bind(subject.to_string())
    .bind(&store.holder[..])
    .execute(&mut *tx)
    .await?;
    if !failure.authority.is_zero() {
        let until = store.now(failure.authority);
        let pause = "UPDATE authority SET not_before = $1 WHERE not_before < $1";
        sqlx::query(pause).bind(until).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}
