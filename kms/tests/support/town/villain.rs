// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A node that does not keep the rules: its keys in the hands of whoever writes the test, and no code of a node's around
//! them. What it says is written down here once more, from the formats and not from the node's code.

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{B256, Bytes, U256, keccak256},
    providers::Provider,
    rpc::types::Filter,
    sol_types::{SolError, SolEvent},
};
use hkdf::Hkdf;
use mandate_kms::{
    NodeKeys,
    ceremony::{namespace, output_hash},
};
use mandate_model::{
    bindings::KmsCommittee::{self, DealerLogPosted},
    signed,
    wire::relayer::{Letter, LetterKind},
};
use mandate_threshold::{
    CeremonyInfo, DealerSession, Dealing, DealingKey, Output, PlayerSession, SealingKey,
};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Town;

/// The first keys of a node whose seed is known, for a first ceremony.
pub struct Villain<'a> {
    town: &'a Town,
    pub keys: NodeKeys,
    pub info: CeremonyInfo,
    dealing: DealingKey,
    sealing: SealingKey,
}

/// What `NodeKeys` makes of a seed under a label.
fn derived(n: u8, label: &str) -> [u8; 32] {
    let mut out = [0; 32];
    let info = [(label.len() as u64).to_be_bytes().as_slice(), label.as_bytes()].concat();
    Hkdf::<Sha256>::new(Some(b"mandate-kms-node-v1"), &[n; 32]).expand(&info, &mut out).unwrap();
    out
}

/// Among these, the node whose dealing key comes first: when more logs are good than are needed, the first ones count.
pub fn first_dealer(of: &[u8]) -> u8 {
    *of.iter().min_by_key(|n| Town::keys(**n).dealing_public()).unwrap()
}

impl Town {
    /// The keys of node `n` for round `round`, a first ceremony of `committee`.
    pub fn villain(&self, n: u8, round: u64, committee: &[u8]) -> Villain<'_> {
        let publics: Vec<[u8; 32]> = committee.iter().map(|n| Self::keys(*n).dealing_public().0).collect();
        let namespace = namespace(self.chain.chain_id(), self.committee);
        let (dealers, players) = (publics.clone(), publics);
        let villain = Villain {
            town: self,
            keys: Self::keys(n),
            info: CeremonyInfo { namespace, round, previous: None, dealers, players },
            dealing: DealingKey::from_seed(derived(n, "dealing")),
            sealing: SealingKey::from_seed(derived(n, "sealing")),
        };
        assert_eq!(villain.dealing.public(), villain.keys.dealing_public().0);
        assert_eq!(villain.sealing.public(), villain.keys.sealing_public().0);
        villain
    }

    /// The logs of `round` as the chain tells them, by dealing key.
    pub async fn dealer_logs(&self, round: u64, dealers: &[u8]) -> Vec<([u8; 32], Vec<u8>)> {
        let filter = Filter::new()
            .address(self.committee)
            .event_signature(DealerLogPosted::SIGNATURE_HASH)
            .topic1(B256::from(U256::from(round)))
            .from_block(BlockNumberOrTag::Earliest);
        let logs = self.provider.get_logs(&filter).await.unwrap();
        let event = |log: &alloy::rpc::types::Log| DealerLogPosted::decode_log(&log.inner).unwrap();
        let by = |dealer| dealers.iter().map(|n| Self::keys(*n)).find(|keys| keys.address() == dealer);
        logs.iter().map(event).map(|e| (by(e.dealer).unwrap().dealing_public().0, e.log.to_vec())).collect()
    }
}

impl Villain<'_> {
    /// Deals, differently for each seed; answers what the dealer keeps and what each of the others is to get.
    pub fn deal(&self, seed: u8) -> (DealerSession, Vec<Dealing>) {
        DealerSession::start(&self.info, &self.dealing, None, [seed; 32]).unwrap()
    }

    /// What node `n` is dealt.
    pub fn part<'d>(&self, n: u8, of: &'d [Dealing]) -> &'d Zeroizing<Vec<u8>> {
        let key = Town::keys(n).dealing_public().0;
        &of.iter().find(|dealing| dealing.recipient == key).unwrap().body
    }

    /// Acknowledges its own dealing.
    pub fn acknowledge_itself(&self, session: &mut DealerSession, dealings: &[Dealing]) {
        let me = self.dealing.public();
        let own = dealings.iter().find(|dealing| dealing.recipient == me).unwrap();
        let ack = PlayerSession::new(&self.info, &self.dealing).unwrap().deal(&me, &own.body).unwrap();
        session.acknowledge(&me, &ack).unwrap();
    }

    fn sealing_info(&self) -> Vec<u8> {
        let (chain, round) = (self.town.chain.chain_id().to_be_bytes(), self.info.round.to_be_bytes());
        [b"mandate-dealing-v1".as_slice(), &chain, self.town.committee.as_slice(), &round].concat()
    }

    /// Sends a dealing to node `to`.
    pub fn send_dealing(&self, to: u8, body: &[u8]) {
        let keys = Town::keys(to);
        let binding = [self.keys.address().as_slice(), keys.address().as_slice()].concat();
        let entropy = keccak256(body).0;
        let recipient = keys.sealing_public().0;
        let body =
            mandate_threshold::seal(&recipient, &self.sealing_info(), &binding, body, entropy).unwrap();
        self.send(to, LetterKind::Dealing, body);
    }

    fn send(&self, to: u8, kind: LetterKind, body: Vec<u8>) {
        let (to, round) = (Town::keys(to).address(), self.info.round);
        let body_hash = keccak256(&body);
        let message = signed::Letter { to, round, kind: kind.as_str().to_owned(), bodyHash: body_hash };
        let domain = signed::domain(self.town.chain.chain_id(), self.town.committee);
        let signature = self.keys.sign(&message, &domain).unwrap().into();
        let from = self.keys.address();
        self.town.carrier.put(Letter { from, to, round, kind, body: body.into(), signature });
    }

    fn received(&self, kind: LetterKind, from: u8) -> Option<Letter> {
        let (from, round) = (Town::keys(from).address(), self.info.round);
        let letters = self.town.carrier.letters_to(self.keys.address());
        letters.into_iter().find(|l| (l.kind, l.from, l.round) == (kind, from, round))
    }

    /// Whether node `from` acknowledged anything.
    pub fn has_ack_of(&self, from: u8) -> bool {
        self.received(LetterKind::Ack, from).is_some()
    }

    async fn wait_for(&self, kind: LetterKind, from: u8) -> Letter {
        self.town.patiently("letter to the villain", async || self.received(kind, from).is_some()).await;
        self.received(kind, from).unwrap()
    }

    /// Takes the acknowledgements of `players`.
    pub async fn take_acks(&self, session: &mut DealerSession, players: &[u8]) {
        for n in players {
            let ack = self.wait_for(LetterKind::Ack, *n).await;
            session.acknowledge(&Town::keys(*n).dealing_public().0, &ack.body).unwrap();
        }
    }

    /// Plays its part as a player: acknowledges what `dealers` deal to it, so that nobody waits for it.
    pub async fn acknowledge(&self, dealers: &[u8]) {
        let mut session = PlayerSession::new(&self.info, &self.dealing).unwrap();
        for n in dealers {
            let letter = self.wait_for(LetterKind::Dealing, *n).await;
            let dealing = self.open_letter(&letter).unwrap();
            let ack = session.deal(&Town::keys(*n).dealing_public().0, &dealing).unwrap();
            self.send(*n, LetterKind::Ack, ack);
        }
    }

    /// Opens a dealing with this node's key, whoever it is for.
    pub fn open_letter(&self, letter: &Letter) -> Option<Zeroizing<Vec<u8>>> {
        let binding = [letter.from.as_slice(), letter.to.as_slice()].concat();
        mandate_threshold::open(&self.sealing, &self.sealing_info(), &binding, &letter.body).ok()
    }

    /// Posts a log under this node's name; the selector of the contract's refusal when it is refused.
    pub async fn post(&self, log: Vec<u8>) -> Result<(), [u8; 4]> {
        let (town, round, log) = (self.town, self.info.round, Bytes::from(log));
        let message = signed::DealerLog { round, logHash: keccak256(&log) };
        let domain = signed::domain(town.chain.chain_id(), town.committee);
        let signature = self.keys.sign(&message, &domain).unwrap().into();
        let contract = KmsCommittee::new(town.committee, &town.provider);
        let call = contract.postDealerLog(round, self.keys.address(), log, signature);
        if let Err(refused) = call.call().await {
            let data = refused.as_revert_data().unwrap();
            return Err(data[..4].try_into().unwrap());
        }
        town.mined(call.into_transaction_request()).await;
        Ok(())
    }
}

impl Villain<'_> {
    /// Confirms an output of its own making, as loudly as an honest player confirms the true one.
    pub async fn confirm(&self, output: &Output) {
        let (town, round) = (self.town, self.info.round);
        let (group_key, polynomial) = (output.group_key(), output.polynomial());
        let message = signed::Confirmation { round, outputHash: output_hash(&group_key, &polynomial) };
        let domain = signed::domain(town.chain.chain_id(), town.committee);
        let signature = self.keys.sign(&message, &domain).unwrap().into();
        let contract = KmsCommittee::new(town.committee, &town.provider);
        let (node, group_key) = (self.keys.address(), Bytes::copy_from_slice(&group_key));
        let call = contract.confirmOutput(round, node, group_key, polynomial.into(), signature);
        town.mined(call.into_transaction_request()).await;
    }
}

/// What the contract says to a second log of one dealer.
pub const ALREADY_POSTED: [u8; 4] = KmsCommittee::AlreadyPosted::SELECTOR;

/// What it says to one that comes too late.
pub const TOO_LATE: [u8; 4] = KmsCommittee::WrongState::SELECTOR;
