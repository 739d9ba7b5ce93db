// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Old blocks: final ones in ranges, the next range fetched while the last is written; those that are not final one by one.

use std::{collections::BTreeSet, sync::PoisonError};

use alloy::{primitives::Address, rpc::types::Header};
use futures::{
    future::FutureExt,
    stream::{self, StreamExt, TryStreamExt},
};
use mandate_model::wire::BlockRef;

use super::{BLOCKS_PER_STEP, FollowError, Follower, Progress, Step, Ticked, block_ref, span::Backfill};
use crate::chain::{ReadError, endpoints::Member, reader::Fetched};

/// Headers that are asked for at a time.
const CONCURRENT_HEADERS: usize = 8;

impl Follower {
    pub(super) async fn catch_up(
        &mut self,
        progress: &mut Progress,
        leader: &Member,
        head: &Header,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        let from = self.next_block(progress);
        if from.saturating_add(BLOCKS_PER_STEP as u64) > head.number {
            return Ok(());
        }
        self.ask_finality().await?;
        if let Some(end) = self.agreed.filter(|f| f.number <= head.number) {
            self.by_ranges(progress, end, head, ticked).await?;
        }
        self.by_headers(progress, leader, head, ticked).await
    }

    fn next_block(&self, progress: &Progress) -> u64 {
        progress.head.map_or(self.contracts.genesis_block, |tip| tip.number + 1)
    }

    /// Up to `last`, which k endpoints call final.
    async fn by_ranges(
        &self,
        progress: &mut Progress,
        last: BlockRef,
        head: &Header,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        // A handful of blocks is done as well by the head's way.
        let worth_it = |from: u64| from.saturating_add(BLOCKS_PER_STEP as u64) <= last.number;
        if !worth_it(self.next_block(progress)) {
            return Ok(());
        }
        self.leave_dead_branch(progress, None, head, ticked).await?;
        let first = self.next_block(progress);
        let mut report = Backfill::new(first, last.number, self.clock.monotonic());
        let mut watched = self.watched();
        let mut fetched = self.fetch(first, last.number, &watched).await?;
        loop {
            let Fetched { end, logs } = fetched;
            let next = end.number + 1;
            watched.extend(self.registrations(&logs).map(|record| record.app));
            watched.extend(self.new_owners(&logs, &watched));
            let now_final = (!self.latches.hold_grants()).then_some(end);
            let step = Step { blocks: vec![end], logs, ..Step::default() };
            let more = async {
                match worth_it(next) {
                    true => self.fetch(next, last.number, &watched).await.map(Some),
                    false => Ok(None),
                }
            };
            if end.number == last.number && end.hash != last.hash {
                return Err(FollowError::Inconsistent(last.number));
            }
            let before = next - 1 - self.next_block(progress);
            let (written, more) = futures::join!(self.apply(step, progress, now_final, ticked), more);
            written?;
            ticked.blocks += before;
            report.advanced(next, self.span_now(), self.clock.monotonic());
            match more? {
                Some(more) => fetched = more,
                None => return Ok(()),
            }
        }
    }

    /// The next range, as large as the endpoints give it.
    async fn fetch(&self, from: u64, last: u64, watched: &BTreeSet<Address>) -> Result<Fetched, ReadError> {
        loop {
            let to = last.min(from.saturating_add(self.span_now() - 1));
            let size = to - from + 1;
            match self.logs_between(from, to, watched).await {
                Ok(fetched) => {
                    self.with_span(|span| span.worked());
                    return Ok(fetched);
                }
                Err(ReadError::TooMuch { .. } | ReadError::Disagree { .. }) if size > 1 => {
                    self.with_span(|span| span.refused(size));
                    tracing::debug!(blocks = self.span_now(), "smaller ranges");
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn span_now(&self) -> u64 {
        self.with_span(|span| span.blocks())
    }

    fn with_span<T>(&self, f: impl FnOnce(&mut super::Span) -> T) -> T {
        f(&mut self.span.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is deeper than any reorganisation that is followed, yet not final: the leader's blocks, each linked to the one
    /// before, so that what becomes final later is a block that we know.
    async fn by_headers(
        &self,
        progress: &mut Progress,
        leader: &Member,
        head: &Header,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        let deep = head.number.saturating_sub(self.bounds.reorg_window);
        while self.next_block(progress).saturating_add(BLOCKS_PER_STEP as u64) <= deep {
            let from = self.next_block(progress);
            let numbers = from..from + BLOCKS_PER_STEP as u64;
            let each: Vec<_> = numbers.map(|number| self.reader.at(leader, number).boxed()).collect();
            let headers: Vec<Header> = stream::iter(each).buffered(CONCURRENT_HEADERS).try_collect().await?;
            let linked = headers.windows(2).all(|pair| matches!(pair, [a, b] if b.parent_hash == a.hash));
            let attached = match (progress.head, headers.first()) {
                (Some(tip), Some(first)) => first.parent_hash == tip.hash,
                _ => true,
            };
            if !attached && self.leave_dead_branch(progress, Some(leader), head, ticked).await? {
                continue;
            }
            if !linked || !attached {
                // The chain changed while it was read.
                return Err(ReadError::UnknownBlock(from.to_string()).into());
            }
            let logs = self.logs_of(&headers).await?;
            let blocks = headers.iter().map(block_ref).collect();
            self.apply(Step { blocks, logs, ..Step::default() }, progress, None, ticked).await?;
        }
        Ok(())
    }

    /// When the chain was reorganised while nobody looked: back to the newest block that is still there, in the eyes of
    /// one endpoint, or of k.
    async fn leave_dead_branch(
        &self,
        progress: &mut Progress,
        leader: Option<&Member>,
        head: &Header,
        ticked: &mut Ticked,
    ) -> Result<bool, FollowError> {
        let Some(tip) = progress.head else { return Ok(false) };
        let lowest = tip.number.saturating_sub(self.bounds.reorg_window);
        let lowest = progress.finalized.map_or(lowest, |f| f.number.max(lowest));
        for number in (lowest..=tip.number).rev() {
            let Some(ours) = self.store.block_hash(number).await? else { continue };
            let theirs = match leader {
                Some(leader) => block_ref(&self.reader.at(leader, number).await?),
                None => self.reader.agreed_at(number).await?,
            };
            if theirs.hash == ours {
                if number < tip.number {
                    self.roll_back(progress, tip.number, number, head, ticked).await?;
                }
                return Ok(number < tip.number);
            }
            if let Some(known) = progress.finalized.filter(|f| f.number == number) {
                return Err(FollowError::Contradiction { number, known: known.hash, found: theirs.hash });
            }
        }
        Err(FollowError::TooDeep { window: self.bounds.reorg_window })
    }
}
