// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Feeds a [`Round`] from the chain and the mailbox, and sends what it wants sent.

use std::{collections::HashMap, time::Duration};

use alloy::primitives::B256;
use futures::future::join_all;
use mandate_model::wire::relayer::Delivered;
use mandate_runtime::Ambient;
use mandate_threshold::Share;
use mandate_witness::{BlockRef, Undecided};
use thiserror::Error;

use super::{Board, Context, Effect, LetterError, Opening, Round, RoundError};
use crate::{
    chain::{Chain, board::BoardError},
    committee::{Ceremony, Epoch},
    relayer::Relayer,
    shares::{Holding, ShareError, Shares},
    store::StoreError,
};

/// How long something that the relayer took is left alone before it is sent again.
const RESEND: Duration = Duration::from_secs(15);

/// Why the driver could not go on; the next block or tick tries again.
#[derive(Debug, Error)]
pub(crate) enum DriverError {
    #[error(transparent)]
    Undecided(#[from] Undecided),
    #[error(transparent)]
    Board(#[from] BoardError),
    #[error(transparent)]
    Round(#[from] RoundError),
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a step of the ceremony was stopped")]
    Stopped,
}

/// The ceremonies of one node, one at a time.
#[derive(Debug)]
pub(crate) struct Driver {
    context: Context,
    chain: Chain,
    relayer: Relayer,
    ambient: Ambient,
    shares: Shares,
    ceremony: Option<Ceremony>,
    epoch: Option<Epoch>,
    board: Board,
    round: Option<Round>,
    cursor: u64,
    accepted: HashMap<B256, Duration>,
}

impl Driver {
    pub(crate) fn new(
        context: Context,
        chain: Chain,
        relayer: Relayer,
        ambient: Ambient,
        shares: Shares,
    ) -> Self {
        let (board, accepted) = (Board::default(), HashMap::new());
        Self {
            context,
            chain,
            relayer,
            ambient,
            shares,
            ceremony: None,
            epoch: None,
            board,
            round: None,
            cursor: 0,
            accepted,
        }
    }

    /// Round and stage, for metrics.
    pub(crate) fn stage(&self) -> (u64, &'static str) {
        match (&self.round, &self.ceremony) {
            (Some(round), _) => (round.number(), round.stage()),
            (None, Some(ceremony)) => (ceremony.round, "over"),
            (None, None) => (0, "none"),
        }
    }

    /// Looks at a new finalised block. In quiet times that is one read.
    pub(crate) async fn observe(&mut self, block: BlockRef) -> Result<(), DriverError> {
        let (number, timestamp) = self.chain.round(block).await?;
        let is_news = match &self.ceremony {
            Some(known) => known.round != number || known.state.is_running(),
            None => number != 0,
        };
        if !is_news {
            return Ok(());
        }
        let ceremony = self.chain.ceremony(block, number).await?;
        self.adopt_epoch(block, ceremony.as_ref()).await?;
        if let Some(ceremony) = ceremony.as_ref().filter(|c| c.state.is_running() && self.takes_part(c)) {
            self.run_round(block, timestamp, ceremony).await?;
        } else if self.round.take().is_some() {
            tracing::info!(round = number, state = ?ceremony.as_ref().map(|c| c.state), "the ceremony is over");
            self.accepted.clear();
        }
        // Last, so that whatever failed above is tried again at the next block.
        self.ceremony = ceremony;
        Ok(())
    }

    /// Reads the mailbox and sends what is due. Nothing in quiet times.
    pub(crate) async fn tick(&mut self) -> Result<(), DriverError> {
        if self.round.is_none() {
            return Ok(());
        }
        self.read_mailbox().await?;
        let board = self.board.clone();
        let entropy = self.ambient.entropy.clone();
        let wanted = self
            .with_round(move |round| {
                round.advance(&board, &*entropy)?;
                Ok(round.wanted(&board))
            })
            .await?;
        self.send(wanted).await;
        Ok(())
    }

    fn takes_part(&self, ceremony: &Ceremony) -> bool {
        let me = self.context.keys.address();
        ceremony.dealers.contains(&me) || ceremony.players.contains(&me)
    }

    async fn adopt_epoch(&mut self, block: BlockRef, ceremony: Option<&Ceremony>) -> Result<(), DriverError> {
        let epoch = self.chain.epoch(block).await?;
        if epoch == self.epoch {
            return Ok(());
        }
        if let Some(epoch) = &epoch {
            let (context, adopted) = (self.context.clone(), epoch.clone());
            let load = tokio::task::spawn_blocking(move || Holding::load(&context, &adopted));
            let holding =
                load.await.map_err(|_| DriverError::Stopped)?.inspect_err(|_| self.shares.replace(None))?;
            let share = holding.share.is_some();
            tracing::info!(epoch = epoch.number, round = epoch.round, share, "an epoch is in force");
            self.shares.replace(Some(holding));
            if ceremony.is_some_and(|c| c.round == epoch.round && c.kind.keeps_key()) {
                let round = epoch.round;
                self.context.store.run(move |store| store.forget_secrets_before(round)).await?;
            }
        }
        self.epoch = epoch;
        Ok(())
    }

    async fn run_round(
        &mut self,
        block: BlockRef,
        timestamp: u64,
        ceremony: &Ceremony,
    ) -> Result<(), DriverError> {
        if self.round.as_ref().is_none_or(|round| round.number() != ceremony.round) {
            self.open_round(block, timestamp, ceremony).await?;
        }
        self.board = self.chain.board(block, timestamp, ceremony).await?;
        let (board, entropy) = (self.board.clone(), self.ambient.entropy.clone());
        self.with_round(move |round| round.advance(&board, &*entropy)).await
    }

    async fn open_round(
        &mut self,
        block: BlockRef,
        timestamp: u64,
        ceremony: &Ceremony,
    ) -> Result<(), DriverError> {
        let members = self.chain.members(block).await?;
        let holding = self.shares.current().filter(|_| ceremony.kind.keeps_key());
        let (context, entropy, ceremony) =
            (self.context.clone(), self.ambient.entropy.clone(), ceremony.clone());
        let open = move || {
            let share: Option<Share> = holding.as_ref().and_then(|h| h.share.clone());
            let previous = holding.as_ref().map(|h| h.output.clone());
            let opening = Opening { ceremony: &ceremony, members: &members, previous, share, timestamp };
            Round::open(context, opening, &*entropy)
        };
        let round = tokio::task::spawn_blocking(open).await.map_err(|_| DriverError::Stopped)??;
        tracing::info!(
            round = round.number(),
            stage = round.stage(),
            block = block.number,
            "taking part in a ceremony"
        );
        self.round = Some(round);
        self.cursor = 0;
        self.accepted.clear();
        Ok(())
    }

    async fn read_mailbox(&mut self) -> Result<(), DriverError> {
        let delivered = match self.relayer.mailbox(self.context.keys.address(), self.cursor).await {
            Ok(delivered) => delivered,
            Err(error) => {
                tracing::debug!(%error, "the mailbox cannot be read; trying again");
                // A relayer that lost its state counts from 0 again.
                self.cursor = 0;
                return Ok(());
            }
        };
        for Delivered { cursor, letter } in delivered {
            self.cursor = self.cursor.max(cursor);
            match self.with_round(move |round| round.receive(&letter)).await? {
                Ok(()) | Err(LetterError::Misdelivered) => {}
                Err(error) => tracing::warn!(%error, "dropped a letter"),
            }
        }
        Ok(())
    }

    /// Sends what the relayer has not taken lately.
    async fn send(&mut self, wanted: Vec<Effect>) {
        let now = self.ambient.clock.monotonic();
        let due = wanted.iter().map(|effect| (effect.key(), effect)).filter(|(key, _)| {
            self.accepted.get(key).is_none_or(|taken| now.saturating_sub(*taken) >= RESEND)
        });
        let sending = due.map(|(key, effect)| {
            let relayer = &self.relayer;
            async move {
                let taken = match effect {
                    Effect::Letter(letter) => relayer.send(letter).await,
                    Effect::Submission(submission) => relayer.submit(submission).await,
                };
                taken
                    .inspect_err(|error| tracing::debug!(%error, "the relayer did not take it; trying again"))
                    .ok()
                    .map(|()| key)
            }
        });
        let taken: Vec<B256> = join_all(sending).await.into_iter().flatten().collect();
        self.accepted.extend(taken.into_iter().map(|key| (key, now)));
    }

    /// Works on the round where blocking is allowed. A round that is lost on the way is opened again from the store.
    async fn with_round<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Round) -> Result<T, RoundError> + Send + 'static,
    ) -> Result<T, DriverError> {
        let mut round = self.round.take().ok_or(DriverError::Stopped)?;
        let task = tokio::task::spawn_blocking(move || {
            let done = work(&mut round);
            (round, done)
        });
        let (round, done) = task.await.map_err(|_| DriverError::Stopped)?;
        self.round = Some(round);
        Ok(done?)
    }
}
