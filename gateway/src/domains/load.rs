// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the store into memory: everything at the start, what has changed ever after. Nothing is served by being loaded but
//! what follows a certificate that is served.

use std::{collections::HashMap, sync::Arc};

use futures::TryStreamExt;

use super::{
    Domains, OrderError,
    known::{Known, State},
};
use crate::{
    certificates::Parent,
    store::{Claim, Damaged, Generation, Mark, Record, Row, Slot, StoreError},
};

/// Rows that are parsed and checked at a time, on a thread of their own.
const BATCH: usize = 128;
/// Above so many changes everything is read anew, in one query.
const MANY: usize = 256;

impl Domains {
    /// Reads the certificates that were kept. Each is served once the registry confirms it, by [`Domains::review`].
    ///
    /// # Errors
    /// When the store cannot be read or a row is damaged: whoever damaged it should not make the gateway order a new
    /// certificate without anybody noticing.
    pub async fn restore(&self) -> Result<usize, StoreError> {
        // Without the agent, rows are parsed but not checked against their keys; the review does that once it answers.
        let parent = self.keys.parent().await.inspect_err(|error| tracing::warn!(%error, "no keys yet")).ok();
        self.load(parent, |damaged| Err(damaged.into())).await
    }

    /// Reads every row. `blame` decides what a damaged one means.
    async fn load(
        &self,
        parent: Option<Arc<Parent>>,
        blame: impl Fn(Damaged) -> Result<(), StoreError>,
    ) -> Result<usize, StoreError> {
        let generation = parent.as_deref().map(Parent::generation).transpose().ok().flatten();
        let now = self.now();
        let batches = self.store.rows().try_chunks(BATCH).map_err(|e| e.1).map_ok(|rows| {
            let parent = parent.clone();
            let judged = tokio::task::spawn_blocking(move || judge(rows, parent.as_deref(), generation, now));
            async {
                judged.await.map_err(|e| StoreError::Database(sqlx::Error::Io(std::io::Error::other(e))))
            }
        });
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut batches = std::pin::pin!(batches.try_buffer_unordered(threads));
        let mut count = 0;
        while let Some(batch) = batches.try_next().await? {
            for judged in batch {
                match judged {
                    Judged::Ours(slot, known) => {
                        if let State::Damaged(damaged) = &known.state {
                            blame(damaged.clone())?;
                        }
                        count += 1;
                        self.learn(slot, known);
                    }
                    Judged::Damaged(damaged) => blame(damaged)?,
                    Judged::Other => {}
                }
            }
        }
        Ok(count)
    }

    /// Takes over what others of the fleet have written since. Gives the first problem, if there was one.
    pub(super) async fn sync(&self) -> Option<String> {
        self.try_sync().await.unwrap_or_else(|error| Some(error.to_string()))
    }

    async fn try_sync(&self) -> Result<Option<String>, OrderError> {
        let parent = self.keys.parent().await?;
        let generation = parent.generation()?;
        let (mut problem, mut marks) = (None, HashMap::new());
        for mark in self.store.marks(generation).await? {
            match mark {
                Ok(mark) => drop(marks.insert(mark.slot.clone(), mark)),
                Err(damaged) => {
                    problem = problem.or(Some(damaged.to_string()));
                    if let Some(slot) = damaged.slot.clone() {
                        marks.remove(&slot);
                        self.learn(*slot, Known::damaged(damaged, Default::default()));
                    }
                }
            }
        }
        self.drop_gone(&marks, problem.is_some());
        let changed: Vec<_> = marks.into_values().filter(|mark| self.is_news(mark)).collect();
        if changed.len() > MANY {
            self.load(Some(parent), |damaged| {
                tracing::error!(%damaged, "store");
                Ok(())
            })
            .await?;
        } else {
            for mark in changed {
                self.read(&parent, generation, &mark.slot).await?;
            }
        }
        self.keep_the_rest(generation).await;
        Ok(problem)
    }

    fn is_news(&self, mark: &Mark) -> bool {
        let Some(known) = self.known.get(&mark.slot) else { return true };
        if let (Some(plan), true) = (mark.plan, known.digest == mark.digest) {
            self.known.set_plan(&mark.slot, mark.digest, plan);
        }
        known.digest != mark.digest || matches!(known.state, State::Damaged(_) | State::Early)
    }

    /// Forgets what another gateway or an operator removed. What is served is served on, as long as the chain allows it.
    fn drop_gone(&self, marks: &HashMap<Slot, Mark>, some_are_damaged: bool) {
        for (slot, known) in self.known.slots() {
            let is_served = known.sound(self.now()).is_some() && self.serves(&slot);
            let is_damaged = some_are_damaged && matches!(known.state, State::Damaged(_));
            if !marks.contains_key(&slot) && known.is_kept && !is_served && !is_damaged {
                self.known.remove(&slot);
            }
        }
    }

    /// Reads one row. None when there is none.
    pub(super) async fn read(
        &self,
        parent: &Arc<Parent>,
        generation: Generation,
        slot: &Slot,
    ) -> Result<Option<Known>, StoreError> {
        let row = match self.store.row(generation, slot.clone()).await {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(StoreError::Damaged(damaged)) => {
                let known = Known::damaged(damaged, Default::default());
                self.learn(slot.clone(), known.clone());
                return Ok(Some(known));
            }
            Err(error) => return Err(error),
        };
        let digest = row.digest.as_slice().try_into().unwrap_or_default();
        let known = match row.parse() {
            Err(damaged) => Known::damaged(damaged, digest),
            // Known already, so checked already.
            Ok(record) => match self.known.get(slot) {
                Some(known) if known.digest == digest && known.sound(self.now()).is_some() => {
                    Known { plan: record.plan, is_kept: true, ..known }
                }
                _ => Known::examine(record, parent, self.now()),
            },
        };
        self.learn(slot.clone(), known.clone());
        Ok(Some(known))
    }

    /// Notes it, and serves it if it follows a certificate that is served to the same app.
    fn learn(&self, slot: Slot, known: Known) {
        if let State::Damaged(damaged) = &known.state {
            tracing::error!(%damaged, "store");
        }
        if let Some(certificate) = known.sound(self.now()) {
            match slot.app {
                None if slot == self.base_slot() => self.certificates.install_base(certificate.clone()),
                Some(app) if self.serves(&slot) => self.certificates.install(app, certificate.clone()),
                _ => {}
            }
        }
        self.known.put(slot, known);
    }

    pub(super) fn serves(&self, slot: &Slot) -> bool {
        let served = self.certificates.find(slot.subject.domain(), self.now());
        served.is_some_and(|served| Some(served.app) == slot.app)
    }

    /// Offers what the store could not take when it was obtained.
    async fn keep_the_rest(&self, generation: Generation) {
        for (slot, known) in self.known.slots() {
            let State::Sound(certificate) = &known.state else { continue };
            if known.is_kept {
                continue;
            }
            let issued = certificate.issued().clone();
            let record = Record { slot: slot.clone(), issued, obtained_at: known.obtained_at, plan: None };
            if let Ok(Claim::Taken { .. }) = self.store.claim(slot.subject.clone()).await {
                match self.store.complete(generation, record).await {
                    Ok(is_kept) => self.known.put(slot, Known { is_kept, ..known }),
                    Err(error) => tracing::error!(%slot, %error, "certificate is not kept"),
                }
            }
        }
    }
}

enum Judged {
    Ours(Slot, Known),
    /// For keys of another secret: those before the last rotation, or after it.
    Other,
    Damaged(Damaged),
}

fn judge(rows: Vec<Row>, parent: Option<&Parent>, generation: Option<Generation>, now: u64) -> Vec<Judged> {
    let one = |row: Row| match row.parse() {
        Err(damaged) => Judged::Damaged(damaged),
        Ok(record) => match parent.filter(|_| row.generation() == generation) {
            Some(parent) => Judged::Ours(record.slot.clone(), Known::examine(record, parent, now)),
            None => Judged::Other,
        },
    };
    rows.into_iter().map(one).collect()
}
