// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The state machine of one round.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, keccak256};
use mandate_model::{
    signed,
    wire::relayer::{Letter, LetterKind, Submission},
};
use mandate_runtime::{Entropy, entropy};
use mandate_threshold::{CeremonyInfo, DealerSession, Dealing, Output, PlayerSession, Share, quorum};
use zeroize::Zeroizing;

use super::{Board, Context, Effect, LetterError, RoundError, output_hash};
use crate::{
    committee::{Ceremony, Member, State},
    keys::{KeySealing, fresh_seed},
};

/// What a round is opened with.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The ceremony as the finalised chain has it.
    pub ceremony: &'a Ceremony,
    /// All registered nodes.
    pub members: &'a [Member],
    /// The output of the epoch in force, when its key is kept.
    pub previous: Option<Output>,
    /// This node's share of it, if it holds one.
    pub share: Option<Share>,
    /// Block time.
    pub timestamp: u64,
}

/// One round as this node takes part in it. Dropping it at any time loses nothing: [`Round::open`] takes up from the store.
#[derive(Debug)]
pub struct Round {
    context: Context,
    ceremony: Ceremony,
    info: CeremonyInfo,
    members: BTreeMap<Address, Member>,
    opened_at: u64,
    dealer: Dealer,
    player: Player,
}

/// This node as a dealer.
#[derive(Debug)]
enum Dealer {
    /// It does not deal, or came too late to.
    Absent,
    /// Waits for acknowledgements.
    Dealing { session: Box<DealerSession>, letters: Vec<Letter> },
    /// The log is fixed and kept.
    Finished { submission: Submission },
}

/// This node as a player.
#[derive(Debug)]
enum Player {
    /// It gets no share.
    Absent,
    /// Collects dealings; the acknowledgements it owes, by dealer.
    Playing { session: Box<PlayerSession>, acks: BTreeMap<Address, Letter> },
    /// Output and share are kept.
    Confirming { submission: Submission },
    /// The logs gave no output: this round is lost for it.
    Failed,
}

impl Round {
    /// Takes the round up: from its beginning, or from where the store says that this node was.
    pub fn open(context: Context, opening: Opening<'_>, source: &dyn Entropy) -> Result<Self, RoundError> {
        let ceremony = opening.ceremony.clone();
        let members = participants(&ceremony, opening.members)?;
        let info = ceremony_info(&context, &ceremony, &members, opening.previous)?;
        info.check()?;
        let player = open_player(&context, &ceremony, &info)?;
        let opened_at = opening.timestamp;
        let mut round = Self { context, ceremony, info, members, opened_at, dealer: Dealer::Absent, player };
        round.open_dealer(opening.share.as_ref(), source)?;
        for letter in round.context.store.letters(round.ceremony.round)? {
            // What was accepted once is accepted again; anything else is a damaged record and stays out.
            if let Err(error) = round.apply(&letter) {
                tracing::warn!(round = round.ceremony.round, %error, "a kept letter does not apply");
            }
        }
        Ok(round)
    }

    /// The round's number.
    pub fn number(&self) -> u64 {
        self.ceremony.round
    }

    /// Where this node stands, for logs and metrics.
    pub fn stage(&self) -> &'static str {
        match (&self.dealer, &self.player) {
            (_, Player::Confirming { .. }) => "confirming",
            (_, Player::Failed) => "failed",
            (Dealer::Dealing { .. }, _) => "dealing",
            (Dealer::Finished { .. }, _) => "dealt",
            (Dealer::Absent, _) => "waiting",
        }
    }

    /// Takes a letter from the mailbox. Kept before it has any effect outside.
    pub fn receive(&mut self, letter: &Letter) -> Result<Result<(), LetterError>, RoundError> {
        if let Err(error) = self.context.check(letter, self.ceremony.round).and_then(|()| self.apply(letter))
        {
            return Ok(Err(error));
        }
        self.context.store.put_letter(letter)?;
        Ok(Ok(()))
    }

    /// Moves on as far as `board` allows.
    pub fn advance(&mut self, board: &Board, source: &dyn Entropy) -> Result<(), RoundError> {
        if self.should_finish_dealing(board.timestamp) {
            self.finish_dealing()?;
        }
        if let Some(logs) = &board.logs {
            let logs: Vec<([u8; 32], Vec<u8>)> = logs
                .iter()
                .filter_map(|(dealer, log)| Some((self.members.get(dealer)?.dealing_key, log.to_vec())))
                .collect();
            self.finish_playing(&logs, source)?;
        }
        Ok(())
    }

    /// Everything that should be out there by now and may not be yet.
    pub fn wanted(&self, board: &Board) -> Vec<Effect> {
        let mut effects = Vec::new();
        let me = self.context.keys.address();
        match &self.dealer {
            Dealer::Dealing { session, letters } => {
                let waiting: BTreeSet<Address> = self.waiting(session).collect();
                effects
                    .extend(letters.iter().filter(|l| waiting.contains(&l.to)).cloned().map(Effect::Letter));
            }
            Dealer::Finished { submission } if !board.posted.contains(&me) && board.logs.is_none() => {
                effects.push(Effect::Submission(submission.clone()));
            }
            Dealer::Finished { .. } | Dealer::Absent => {}
        }
        match &self.player {
            Player::Playing { acks, .. } => {
                let open = acks.iter().filter(|(dealer, _)| !board.posted.contains(dealer));
                effects.extend(open.map(|(_, letter)| Effect::Letter(letter.clone())));
            }
            Player::Confirming { submission } => effects.push(Effect::Submission(submission.clone())),
            Player::Absent | Player::Failed => {}
        }
        effects
    }

    fn open_dealer(&mut self, share: Option<&Share>, source: &dyn Entropy) -> Result<(), RoundError> {
        if !self.ceremony.dealers.contains(&self.context.keys.address()) {
            return Ok(());
        }
        let Some(seed) = self.dealer_seed(source)? else { return Ok(()) };
        if self.info.previous.is_some() && share.is_none() {
            tracing::warn!(
                round = self.ceremony.round,
                "this node holds no share of the epoch in force and cannot deal"
            );
            return Ok(());
        }
        let (mut session, dealings) =
            DealerSession::start(&self.info, self.context.keys.dealing(), share, *seed)?;
        let letters = self.address_dealings(&mut session, &dealings, &seed)?;
        self.dealer = match self.context.store.dealer_log(self.ceremony.round)? {
            Some(log) => Dealer::Finished { submission: self.sign_log(log)? },
            None => Dealer::Dealing { session: Box::new(session), letters },
        };
        Ok(())
    }

    /// The seed that is kept, or a new one while the window is open.
    fn dealer_seed(&self, source: &dyn Entropy) -> Result<Option<Zeroizing<[u8; 32]>>, RoundError> {
        let (keys, store, round) = (&self.context.keys, &self.context.store, self.ceremony.round);
        let binding = round.to_be_bytes();
        if let Some(sealed) = store.dealer_seed(round)? {
            let seed = keys.unseal("dealer seed", &binding, &sealed)?;
            let seed = <[u8; 32]>::try_from(seed.as_slice());
            return seed
                .map(|seed| Some(Zeroizing::new(seed)))
                .map_err(|_| RoundError::Damaged { round, what: "dealer seed" });
        }
        if self.ceremony.state != State::Dealing || self.opened_at >= self.ceremony.deal_until {
            return Ok(None);
        }
        let seed = fresh_seed(source);
        let sealed = keys.seal("dealer seed", &binding, seed.as_slice(), entropy::bytes(source))?;
        store.put_dealer_seed(round, &sealed)?;
        Ok(Some(seed))
    }

    /// One letter per other player, while letters are of use; the own dealing is acknowledged on the spot.
    fn address_dealings(
        &mut self,
        session: &mut DealerSession,
        dealings: &[Dealing],
        seed: &[u8; 32],
    ) -> Result<Vec<Letter>, RoundError> {
        let (me, round) = (self.context.keys.dealing_public(), self.ceremony.round);
        let mut letters = Vec::new();
        for dealing in dealings {
            if dealing.recipient == me.0 {
                if let Player::Playing { session: player, .. } = &mut self.player {
                    let ack = player.deal(&me.0, &dealing.body)?;
                    session.acknowledge(&me.0, &ack)?;
                }
                continue;
            }
            let recipient = self.members.values().find(|m| m.dealing_key == dealing.recipient);
            let Some(to) = recipient.filter(|_| self.ceremony.state == State::Dealing) else { continue };
            let body = self.context.seal_dealing(seed, round, to.node, &to.sealing_key, &dealing.body)?;
            letters.push(self.context.write(to.node, round, LetterKind::Dealing, body)?);
        }
        Ok(letters)
    }

    /// The effect of a letter whose address and signature are right.
    fn apply(&mut self, letter: &Letter) -> Result<(), LetterError> {
        let refused = |why: String| LetterError::Refused { from: letter.from, why };
        let wrong = LetterError::WrongSender(letter.from);
        let sender = self.members.get(&letter.from).map(|m| m.dealing_key).ok_or(wrong.clone())?;
        match letter.kind {
            LetterKind::Dealing if self.ceremony.dealers.contains(&letter.from) => {
                let Player::Playing { session, acks } = &mut self.player else { return Ok(()) };
                let dealing = self.context.open_dealing(letter)?;
                let ack = session.deal(&sender, &dealing).map_err(|e| refused(e.to_string()))?;
                let reply = self.context.write(letter.from, self.ceremony.round, LetterKind::Ack, ack);
                acks.insert(letter.from, reply.map_err(|e| refused(e.to_string()))?);
                Ok(())
            }
            LetterKind::Ack if self.ceremony.players.contains(&letter.from) => {
                let Dealer::Dealing { session, .. } = &mut self.dealer else { return Ok(()) };
                session.acknowledge(&sender, &letter.body).map_err(|e| refused(e.to_string()))
            }
            LetterKind::Dealing | LetterKind::Ack => Err(wrong),
        }
    }

    fn waiting<'a>(&'a self, session: &'a DealerSession) -> impl Iterator<Item = Address> + 'a {
        let waiting = session.waiting();
        self.members.values().filter(move |m| waiting.contains(&m.dealing_key)).map(|m| m.node)
    }

    /// With all acknowledgements at once; with enough of them when half the window is over. A log with fewer would not
    /// count, so waiting on costs nothing.
    fn should_finish_dealing(&self, now: u64) -> bool {
        let Dealer::Dealing { session, .. } = &self.dealer else { return false };
        let players = self.info.players.len();
        let faults = players.saturating_sub(quorum(u32::try_from(players).unwrap_or(u32::MAX)) as usize);
        let half = self.opened_at + self.ceremony.deal_until.saturating_sub(self.opened_at) / 2;
        match session.waiting().len() {
            0 => true,
            missing => now >= half && missing <= faults,
        }
    }

    fn finish_dealing(&mut self) -> Result<(), RoundError> {
        let Dealer::Dealing { session, .. } = std::mem::replace(&mut self.dealer, Dealer::Absent) else {
            return Ok(());
        };
        let missing = session.waiting().len();
        let log = session.finish();
        self.context.store.put_dealer_log(self.ceremony.round, &log)?;
        tracing::info!(round = self.ceremony.round, missing, bytes = log.len(), "dealer log is ready");
        self.dealer = Dealer::Finished { submission: self.sign_log(log)? };
        Ok(())
    }

    fn sign_log(&self, log: Vec<u8>) -> Result<Submission, RoundError> {
        let round = self.ceremony.round;
        let message = signed::DealerLog { round, logHash: keccak256(&log) };
        let signature = self.context.keys.sign(&message, &self.context.domain())?.into();
        Ok(Submission::DealerLog { round, node: self.context.keys.address(), log: log.into(), signature })
    }

    fn finish_playing(
        &mut self,
        logs: &[([u8; 32], Vec<u8>)],
        source: &dyn Entropy,
    ) -> Result<(), RoundError> {
        let Player::Playing { session, .. } = &mut self.player else { return Ok(()) };
        let round = self.ceremony.round;
        // The session is used up by finishing; on failure the round is lost for this node whatever it does.
        let session =
            std::mem::replace(&mut **session, PlayerSession::new(&self.info, self.context.keys.dealing())?);
        let (output, share) = match session.finish(logs) {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(round, %error, "the dealer logs give this node no share");
                self.player = Player::Failed;
                return Ok(());
            }
        };
        let sealed =
            self.context.keys.seal("share", &round.to_be_bytes(), &share.encode(), entropy::bytes(source))?;
        self.context.store.put_output(round, &output.encode(), &sealed)?;
        tracing::info!(round, group_key = %hex::encode(output.group_key()), "computed the output of the ceremony");
        self.player = Player::Confirming { submission: sign_output(&self.context, round, &output)? };
        Ok(())
    }
}

fn open_player(context: &Context, ceremony: &Ceremony, info: &CeremonyInfo) -> Result<Player, RoundError> {
    if !ceremony.players.contains(&context.keys.address()) {
        return Ok(Player::Absent);
    }
    let round = ceremony.round;
    match context.store.output(round)? {
        Some(stored) => {
            let output =
                Output::decode(&stored.output).map_err(|_| RoundError::Damaged { round, what: "output" })?;
            Ok(Player::Confirming { submission: sign_output(context, round, &output)? })
        }
        None => {
            let session = Box::new(PlayerSession::new(info, context.keys.dealing())?);
            Ok(Player::Playing { session, acks: BTreeMap::new() })
        }
    }
}

fn sign_output(context: &Context, round: u64, output: &Output) -> Result<Submission, RoundError> {
    let (group_key, polynomial) = (output.group_key().to_vec(), output.polynomial());
    let message = signed::Confirmation { round, outputHash: output_hash(&group_key, &polynomial) };
    let signature = context.keys.sign(&message, &context.domain())?.into();
    let node = context.keys.address();
    Ok(Submission::Confirmation {
        round,
        node,
        group_key: group_key.into(),
        polynomial: polynomial.into(),
        signature,
    })
}

fn participants(ceremony: &Ceremony, members: &[Member]) -> Result<BTreeMap<Address, Member>, RoundError> {
    let unknown = |node: Address| RoundError::UnknownNode { round: ceremony.round, node };
    let both = ceremony.dealers.iter().chain(&ceremony.players);
    both.map(|node| {
        let member = members.iter().find(|m| m.node == *node).ok_or_else(|| unknown(*node))?;
        Ok((*node, member.clone()))
    })
    .collect()
}

fn ceremony_info(
    context: &Context,
    ceremony: &Ceremony,
    members: &BTreeMap<Address, Member>,
    previous: Option<Output>,
) -> Result<CeremonyInfo, RoundError> {
    let keys =
        |nodes: &[Address]| nodes.iter().filter_map(|n| members.get(n)).map(|m| m.dealing_key).collect();
    let (mut dealers, players): (Vec<[u8; 32]>, _) = (keys(&ceremony.dealers), keys(&ceremony.players));
    // Who was evicted and came back with another key has no share to deal, which is no reason for the others not to.
    if let Some(previous) = &previous {
        let holders = previous.players();
        dealers.retain(|key| holders.contains(key));
    }
    Ok(CeremonyInfo { namespace: context.namespace(), round: ceremony.round, previous, dealers, players })
}
