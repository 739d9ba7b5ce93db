// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Feeds a [`Round`] from the chain and the mailbox, and sends what it wants sent.

use std::{collections::HashMap, sync::Arc, time::Duration};

use alloy::primitives::B256;
use futures::future::join_all;
use mandate_model::wire::relayer::Delivered;
use mandate_runtime::Ambient;
use mandate_threshold::Output;
use mandate_witness::{BlockRef, Undecided};
use thiserror::Error;

use super::{Board, Context, Effect, LetterError, Opening, Round, RoundError, past::Past};
use crate::{
    chain::{Chain, board::BoardError},
    committee::{Ceremony, Epoch, Member, State},
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
        self.end_handover(timestamp).await?;
        let is_news = match &self.ceremony {
            Some(known) => known.round != number || known.state.is_running(),
            None => number != 0,
        };
        if !is_news {
            return Ok(());
        }
        let ceremony = self.chain.ceremony(block, number).await?;
        if let Some(ceremony) = ceremony.as_ref().filter(|c| c.state.is_running() && self.takes_part(c)) {
            self.run_round(block, timestamp, ceremony).await?;
        }
        self.adopt_epoch(block, timestamp).await?;
        if let Some(over) = ceremony.as_ref().filter(|c| !c.state.is_running()) {
            self.end_round(block, over).await?;
        }
        // Last, so that whatever failed above is tried again at the next tick.
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

    /// Lets go of a round that is over. One that came to nothing may have shared out the very root that is in force, to nodes
    /// of no epoch: what is left of it is destroyed now, for the next epoch may be far away.
    async fn end_round(&mut self, block: BlockRef, ceremony: &Ceremony) -> Result<(), DriverError> {
        if self.round.take().is_some() {
            tracing::info!(round = ceremony.round, state = ?ceremony.state, "the ceremony is over");
            self.accepted.clear();
        }
        if ceremony.state == State::Aborted {
            let current = self.chain.epoch(block).await?.map(|epoch| epoch.round);
            self.forget(current, ceremony.round).await?;
        }
        Ok(())
    }

    /// Takes over the epoch in force, with this node's share of it.
    async fn adopt_epoch(&mut self, block: BlockRef, timestamp: u64) -> Result<(), DriverError> {
        let Some(epoch) = self.chain.epoch(block).await? else { return Ok(()) };
        if self.epoch.as_ref() == Some(&epoch) {
            return Ok(());
        }
        let Some(ceremony) = self.chain.ceremony(block, epoch.round).await? else { return Ok(()) };
        self.recover_output(block, timestamp, &ceremony, &epoch).await?;
        let holding = self.load(&epoch).await.inspect_err(|_| self.shares.replace(None, None))?;
        let outgoing = self.outgoing(block, timestamp).await?;
        tracing::info!(
            epoch = epoch.number,
            round = epoch.round,
            share = holding.share.is_some(),
            outgoing = outgoing.as_ref().map(|outgoing| outgoing.epoch),
            "an epoch is in force"
        );
        holding.tell_revealed(self.context.keys.address());
        self.shares.replace(Some(holding), outgoing);
        self.forget(Some(epoch.round), epoch.round).await?;
        self.epoch = Some(epoch);
        Ok(())
    }

    /// The root before the present one, while its handover lasts (G-11).
    async fn outgoing(&self, block: BlockRef, timestamp: u64) -> Result<Option<Holding>, DriverError> {
        let valid = self.chain.outgoing_epoch(block).await?.filter(|epoch| timestamp < epoch.valid_until);
        let Some(epoch) = valid else { return Ok(None) };
        match self.load(&epoch).await {
            Ok(holding) => Ok(Some(holding)),
            // The epoch in force must not wait for one that is on its way out.
            Err(DriverError::Share(error)) => {
                tracing::error!(epoch = epoch.number, %error, "no share of the root that is on its way out");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Destroys what is held of the root before the present one when its handover is over, for good.
    async fn end_handover(&self, timestamp: u64) -> Result<(), DriverError> {
        let over = |holding: &Arc<Holding>| timestamp >= holding.valid_until;
        let (Some(outgoing), Some(current)) = (self.shares.outgoing().filter(over), self.shares.current())
        else {
            return Ok(());
        };
        self.shares.end_outgoing();
        self.forget(Some(current.round), current.round).await?;
        tracing::info!(epoch = outgoing.epoch, "the handover is over: its shares are destroyed");
        Ok(())
    }

    /// Of all rounds up to `over`, nothing of their making is needed any more, nor are shares of what is not valid now:
    /// those of the round of the epoch in force stay, and those of the root before it.
    async fn forget(&self, current: Option<u64>, over: u64) -> Result<(), DriverError> {
        let outgoing = self.shares.outgoing().map(|outgoing| outgoing.round);
        let kept: Vec<u64> = current.into_iter().chain(outgoing).collect();
        Ok(self.context.store.run(move |store| store.forget_secrets(&kept, over)).await?)
    }

    /// Computes the output of a round that ended while this node was not looking: the logs are still on chain.
    async fn recover_output(
        &mut self,
        block: BlockRef,
        timestamp: u64,
        ceremony: &Ceremony,
        epoch: &Epoch,
    ) -> Result<(), DriverError> {
        let number = ceremony.round;
        let is_player = ceremony.players.contains(&self.context.keys.address());
        if !is_player || self.context.store.run(move |store| store.output(number)).await?.is_some() {
            return Ok(());
        }
        let board = self.chain.board(block, timestamp, ceremony).await?;
        let mut round = match self.round.take_if(|round| round.number() == number) {
            Some(round) => round,
            None => self.reopen(block, timestamp, ceremony, epoch, &board).await?,
        };
        let entropy = self.ambient.entropy.clone();
        let finish = move || round.advance(&board, &*entropy);
        Ok(tokio::task::spawn_blocking(finish).await.map_err(|_| DriverError::Stopped)??)
    }

    /// Takes up a round that made an epoch, some of whose players may have been evicted since.
    async fn reopen(
        &self,
        block: BlockRef,
        timestamp: u64,
        ceremony: &Ceremony,
        epoch: &Epoch,
        board: &Board,
    ) -> Result<Round, DriverError> {
        let (listed, base) = (self.chain.members(block).await?, self.base(block, ceremony).await?);
        // An epoch that does not decode is refused where it is loaded.
        let members = match Output::decode(&epoch.polynomial) {
            Ok(output) => {
                let previous = base.as_ref().map(|base| base.output.clone());
                let (namespace, logs) = (self.context.namespace(), board.logs.clone().unwrap_or_default());
                let past = Past { namespace, output, previous, logs };
                let ceremony = ceremony.clone();
                tokio::task::spawn_blocking(move || past.members(&ceremony, listed))
                    .await
                    .map_err(|_| DriverError::Stopped)?
            }
            Err(_) => listed,
        };
        self.open(timestamp, ceremony, members, base).await
    }

    async fn load(&self, epoch: &Epoch) -> Result<Holding, DriverError> {
        let (context, epoch) = (self.context.clone(), epoch.clone());
        let load = tokio::task::spawn_blocking(move || Holding::load(&context, &epoch));
        Ok(load.await.map_err(|_| DriverError::Stopped)??)
    }

    async fn run_round(
        &mut self,
        block: BlockRef,
        timestamp: u64,
        ceremony: &Ceremony,
    ) -> Result<(), DriverError> {
        if self.round.as_ref().is_none_or(|round| round.number() != ceremony.round) {
            let (members, base) = (self.chain.members(block).await?, self.base(block, ceremony).await?);
            let round = self.open(timestamp, ceremony, members, base).await?;
            tracing::info!(
                round = round.number(),
                stage = round.stage(),
                block = block.number,
                "taking part in a ceremony"
            );
            self.round = Some(round);
            self.cursor = 0;
            self.accepted.clear();
        }
        self.board = self.chain.board(block, timestamp, ceremony).await?;
        let (board, entropy) = (self.board.clone(), self.ambient.entropy.clone());
        self.with_round(move |round| round.advance(&board, &*entropy)).await
    }

    async fn open(
        &self,
        timestamp: u64,
        ceremony: &Ceremony,
        members: Vec<Member>,
        base: Option<Holding>,
    ) -> Result<Round, DriverError> {
        let (context, entropy, ceremony) =
            (self.context.clone(), self.ambient.entropy.clone(), ceremony.clone());
        let open = move || {
            let (previous, share) = base.map(|base| (base.output, base.share)).unzip();
            let opening = Opening {
                ceremony: &ceremony,
                members: &members,
                previous,
                share: share.flatten(),
                timestamp,
            };
            Round::open(context, opening, &*entropy)
        };
        Ok(tokio::task::spawn_blocking(open).await.map_err(|_| DriverError::Stopped)??)
    }

    /// The epoch whose key `ceremony` keeps, if it keeps one.
    async fn base(&self, block: BlockRef, ceremony: &Ceremony) -> Result<Option<Holding>, DriverError> {
        if !ceremony.kind.keeps_key() {
            return Ok(None);
        }
        let base = match self.chain.epoch(block).await? {
            Some(epoch) if epoch.round == ceremony.round => {
                self.chain.epoch_of(block, epoch.number - 1).await?
            }
            current => current,
        };
        Ok(match base {
            Some(epoch) => Some(self.load(&epoch).await?),
            None => None,
        })
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
