// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store in SQL. Compiled once per database: what differs (types of sqlx, a few words of SQL) comes from the module above,
//! `sqlite` or `postgres`; both take `$1` for a parameter, `ON CONFLICT` and `RETURNING`.

use std::{sync::Arc, time::Duration};

use alloy::primitives::B256;
use futures::{FutureExt, StreamExt, TryStreamExt, stream::BoxStream};
use mandate_acme::name::Subject;
use mandate_runtime::{Ambient, Clock, entropy};
use sqlx::{Pool, Row as _};

use super::{BEGIN, Db, DbRow};
use crate::store::{
    Answer, Challenge, Claim, Damaged, Failure, Generation, LEASE, Mark, Plan, Record, Row, Slot, Store,
    StoreError,
    record::{self, app_bytes, damaged},
};

#[path = "sql/challenges.rs"]
mod challenges;
#[path = "sql/orders.rs"]
mod orders;
#[path = "sql/superseded.rs"]
mod superseded;

/// A store in a database. A clone is the same gateway.
#[derive(Debug, Clone)]
pub struct SqlStore {
    pool: Pool<Db>,
    clock: Arc<dyn Clock>,
    /// Which gateway this is, among all that ever opened the database.
    holder: [u8; 16],
}

impl SqlStore {
    pub(super) fn new(pool: Pool<Db>, ambient: &Ambient) -> Self {
        let holder = entropy::bytes(ambient.entropy.as_ref());
        Self { pool, clock: Arc::clone(&ambient.clock), holder }
    }

    /// Milliseconds since the Unix epoch, after `later`.
    fn now(&self, later: Duration) -> i64 {
        let then = self.clock.unix_time().saturating_add(later);
        i64::try_from(then.as_millis()).unwrap_or(i64::MAX)
    }

    async fn marks(&self, generation: Generation) -> Result<Vec<Result<Mark, Damaged>>, StoreError> {
        let query = "SELECT subject, app, digest, renew_at, ask_at FROM certificates WHERE generation = $1";
        let rows = sqlx::query(query).bind(&generation.0[..]).fetch(&self.pool);
        rows.map(|row| mark(&row?)).try_collect().await
    }

    async fn row(&self, generation: Generation, slot: Slot) -> Result<Option<Row>, StoreError> {
        let query = "SELECT * FROM certificates WHERE generation = $1 AND subject = $2 AND app = $3";
        let row = sqlx::query(query).bind(&generation.0[..]);
        let row =
            row.bind(slot.subject.to_string()).bind(app_bytes(&slot)).fetch_optional(&self.pool).await?;
        row.as_ref().map(columns).transpose()
    }

    async fn forget(&self, generation: Generation, slot: Slot, digest: B256) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM certificates WHERE generation = $1 AND subject = $2 AND app = $3 AND digest = $4",
        )
        .bind(&generation.0[..])
        .bind(slot.subject.to_string())
        .bind(app_bytes(&slot))
        .bind(digest.as_slice())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn plan(
        &self,
        generation: Generation,
        slot: Slot,
        digest: B256,
        before: Option<Plan>,
        plan: Plan,
    ) -> Result<bool, StoreError> {
        let set = sqlx::query(
            "UPDATE certificates SET renew_at = $1, ask_at = $2 WHERE generation = $3 AND subject = $4 AND app = $5
             AND digest = $6 AND COALESCE(renew_at, -1) = $7 AND COALESCE(ask_at, -1) = $8",
        )
        .bind(int(plan.renew_at))
        .bind(int(plan.ask_at))
        .bind(&generation.0[..])
        .bind(slot.subject.to_string())
        .bind(app_bytes(&slot))
        .bind(digest.as_slice())
        .bind(before.map_or(-1, |plan| int(plan.renew_at)))
        .bind(before.map_or(-1, |plan| int(plan.ask_at)))
        .execute(&self.pool)
        .await?;
        Ok(set.rows_affected() == 1)
    }
}

/// The databases' integers are signed. No time in seconds comes near the end of them.
fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A column of another type than the schema's is damage as well: SQLite keeps whatever it is given.
fn mark(row: &DbRow) -> Result<Result<Mark, Damaged>, StoreError> {
    type Columns = (Vec<u8>, Option<i64>, Option<i64>);
    let (subject, app): (String, Vec<u8>) = (row.try_get("subject")?, row.try_get("app")?);
    let columns = || -> Result<Columns, sqlx::Error> {
        Ok((row.try_get("digest")?, row.try_get("renew_at")?, row.try_get("ask_at")?))
    };
    let read = columns().map_err(|e| damaged(&subject, &app, e));
    Ok(read.and_then(|(digest, renew_at, ask_at)| record::mark(&subject, &app, &digest, renew_at, ask_at)))
}

fn columns(row: &DbRow) -> Result<Row, StoreError> {
    let (subject, app): (String, Vec<u8>) = (row.try_get("subject")?, row.try_get("app")?);
    let read = || -> Result<Row, sqlx::Error> {
        Ok(Row {
            generation: row.try_get("generation")?,
            subject: subject.clone(),
            app: app.clone(),
            chain: row.try_get("chain")?,
            digest: row.try_get("digest")?,
            issuer: row.try_get("issuer")?,
            account_uri: row.try_get("account_uri")?,
            obtained_at: row.try_get("obtained_at")?,
            renew_at: row.try_get("renew_at")?,
            ask_at: row.try_get("ask_at")?,
        })
    };
    read().map_err(|e| damaged(&subject, &app, e).into())
}

impl Store for SqlStore {
    fn rows(&self) -> BoxStream<'_, Result<Row, StoreError>> {
        let rows = sqlx::query("SELECT * FROM certificates ORDER BY subject, app").fetch(&self.pool);
        rows.map(|row| columns(&row?)).boxed()
    }
    fn marks(&self, generation: Generation) -> Answer<'_, Vec<Result<Mark, Damaged>>> {
        self.marks(generation).boxed()
    }
    fn row(&self, generation: Generation, slot: Slot) -> Answer<'_, Option<Row>> {
        self.row(generation, slot).boxed()
    }
    fn claim(&self, subject: Subject) -> Answer<'_, Claim> {
        orders::claim(self, subject).boxed()
    }
    fn extend(&self, subject: Subject) -> Answer<'_, bool> {
        orders::extend(self, subject).boxed()
    }
    fn let_go(&self, subject: Subject) -> Answer<'_, ()> {
        orders::let_go(self, subject).boxed()
    }
    fn complete(&self, generation: Generation, record: Record) -> Answer<'_, bool> {
        orders::complete(self, generation, record).boxed()
    }
    fn fail(&self, subject: Subject, failure: Failure) -> Answer<'_, ()> {
        orders::fail(self, subject, failure).boxed()
    }
    fn forget(&self, generation: Generation, slot: Slot, digest: B256) -> Answer<'_, ()> {
        self.forget(generation, slot, digest).boxed()
    }
    fn superseded(&self, generation: Generation, slot: Slot) -> Answer<'_, Vec<Row>> {
        superseded::all(self, generation, slot).boxed()
    }
    fn drop_superseded(&self, generation: Generation, slot: Slot, digest: Vec<u8>) -> Answer<'_, ()> {
        superseded::drop(self, generation, slot, digest).boxed()
    }
    fn open_challenge(&self, name: String, challenge: Challenge) -> Answer<'_, ()> {
        challenges::open(self, name, challenge).boxed()
    }
    fn close_challenge(&self, name: String, digest: Vec<u8>) -> Answer<'_, ()> {
        challenges::close(self, name, digest).boxed()
    }
    fn challenge(&self, name: String) -> Answer<'_, Option<Challenge>> {
        challenges::find(self, name).boxed()
    }
    fn plan(
        &self,
        generation: Generation,
        slot: Slot,
        digest: B256,
        before: Option<Plan>,
        plan: Plan,
    ) -> Answer<'_, bool> {
        self.plan(generation, slot, digest, before, plan).boxed()
    }
}
