// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Four nodes, a mailbox and a bulletin board in one thread.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::Bytes;
use mandate_model::wire::relayer::LetterKind;
use mandate_runtime::entropy::SeededEntropy;
use mandate_threshold::{Output, Share};
use redb::backends::InMemoryBackend;

use super::*;
use crate::{
    committee::{Ceremony, Kind, Member, State},
    keys::KeySealing,
    store::Owner,
};

const CHAIN: u64 = 31_337;
const COMMITTEE: Address = Address::repeat_byte(0xcc);
const ROUND: u64 = 1;
const DEAL_UNTIL: u64 = 1_000;

struct Node {
    keys: Arc<NodeKeys>,
    /// Survives a crash: every write to it is durable when it returns.
    store: Store,
    entropy: SeededEntropy,
    round: Option<Round>,
    online: bool,
}

impl Node {
    fn new(n: u8) -> Self {
        Self::with_store(n, |owner| Store::with_backend(InMemoryBackend::new(), owner).unwrap())
    }

    fn with_store(n: u8, store: impl FnOnce(&Owner) -> Store) -> Self {
        let keys = Arc::new(NodeKeys::from_seed([n; 32]).unwrap());
        let owner =
            Owner { node: keys.address(), chain_id: CHAIN, kms_auth: Address::ZERO, committee: COMMITTEE };
        Self {
            store: store(&owner),
            keys,
            entropy: SeededEntropy::from_u64(u64::from(n)),
            round: None,
            online: true,
        }
    }

    fn address(&self) -> Address {
        self.keys.address()
    }

    fn context(&self) -> Context {
        Context { keys: self.keys.clone(), store: self.store.clone(), chain_id: CHAIN, committee: COMMITTEE }
    }

    fn member(&self) -> Member {
        Member {
            node: self.address(),
            dealing_key: self.keys.dealing_public().0,
            sealing_key: self.keys.sealing_public().0,
            url: String::new(),
        }
    }
}

/// The chain and the relayer: what was sent stays there.
struct World {
    nodes: Vec<Node>,
    ceremony: Ceremony,
    previous: Option<Output>,
    letters: Vec<Letter>,
    logs: BTreeMap<Address, Bytes>,
    confirmed: BTreeMap<Address, (Bytes, Bytes)>,
    timestamp: u64,
    /// Who took which step so far, and the step after which its taker loses its memory.
    steps: Vec<usize>,
    crash: Option<usize>,
}

impl World {
    fn new(size: u8) -> Self {
        let nodes: Vec<Node> = (1..=size).map(Node::new).collect();
        let all: Vec<Address> = nodes.iter().map(Node::address).collect();
        let ceremony = Ceremony {
            kind: Kind::Genesis,
            state: State::Dealing,
            round: ROUND,
            deal_until: DEAL_UNTIL,
            dealers: all.clone(),
            players: all,
        };
        let (letters, logs, confirmed) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            nodes,
            ceremony,
            previous: None,
            letters,
            logs,
            confirmed,
            timestamp: 0,
            steps: Vec::new(),
            crash: None,
        }
    }

    fn board(&self) -> Board {
        let posted: Vec<Address> = self.logs.keys().copied().collect();
        let fixed = posted.len() == self.ceremony.dealers.len() || self.timestamp > DEAL_UNTIL;
        let logs = fixed.then(|| self.logs.iter().map(|(dealer, log)| (*dealer, log.clone())).collect());
        Board { timestamp: self.timestamp, posted, logs }
    }

    /// Every step that a node takes passes here; at the chosen one it forgets everything that is not on disk.
    fn event(&mut self, node: usize) {
        if self.crash == Some(self.steps.len()) {
            self.nodes[node].round = None;
        }
        self.steps.push(node);
    }

    fn round(&mut self, at: usize) -> &mut Round {
        if self.nodes[at].round.is_none() {
            let members: Vec<Member> = self.nodes.iter().map(Node::member).collect();
            let node = &self.nodes[at];
            let context = node.context();
            let holds = self.previous.is_some() && node.store.output(ROUND).unwrap().is_some();
            let share = holds.then(|| share_of(node, ROUND));
            let opening = Opening {
                ceremony: &self.ceremony,
                members: &members,
                previous: self.previous.clone(),
                share,
                timestamp: self.timestamp,
            };
            let round = Round::open(context, opening, &node.entropy).unwrap();
            self.nodes[at].round = Some(round);
        }
        self.nodes[at].round.as_mut().unwrap()
    }

    /// One tick of one node.
    fn tick(&mut self, at: usize) {
        let board = self.board();
        let me = self.nodes[at].address();
        for letter in self.letters.clone().iter().filter(|l| l.to == me) {
            self.round(at).receive(letter).unwrap().unwrap();
            self.event(at);
        }
        self.round(at);
        let Node { round, entropy, .. } = &mut self.nodes[at];
        round.as_mut().unwrap().advance(&board, entropy).unwrap();
        self.event(at);
        for effect in self.round(at).wanted(&board) {
            self.send(effect);
            self.event(at);
        }
    }

    fn send(&mut self, effect: Effect) {
        match effect {
            Effect::Letter(letter) if !self.letters.contains(&letter) => self.letters.push(letter),
            Effect::Submission(Submission::DealerLog { node, log, .. }) => {
                assert!(self.logs.get(&node).is_none_or(|posted| *posted == log), "a dealer changed its log");
                self.logs.insert(node, log);
            }
            Effect::Submission(Submission::Confirmation { node, group_key, polynomial, .. }) => {
                self.confirmed.insert(node, (group_key, polynomial));
            }
            Effect::Letter(_) | Effect::Submission(_) => {}
        }
    }

    fn run(&mut self) {
        for _ in 0..5 {
            for at in 0..self.nodes.len() {
                if self.nodes[at].online {
                    self.tick(at);
                }
            }
        }
    }

    fn one_output(&self, confirmations: usize) -> Output {
        assert_eq!(self.confirmed.len(), confirmations);
        let outputs: BTreeSet<_> = self.confirmed.values().collect();
        assert_eq!(outputs.len(), 1, "nodes computed different outputs");
        Output::decode(&outputs.first().unwrap().1).unwrap()
    }
}

fn share_of(node: &Node, round: u64) -> Share {
    let sealed = node.store.output(round).unwrap().unwrap().sealed_share.unwrap();
    Share::decode(&node.keys.unseal("share", &round.to_be_bytes(), &sealed).unwrap()).unwrap()
}

/// The shares fit the output: a quorum of them signs for the group.
fn assert_shares_sign(world: &World, output: &Output, round: u64) {
    let partials: Vec<_> = world.nodes.iter().map(|n| share_of(n, round).sign(b"ns", b"message")).collect();
    output.public().combine(b"ns", b"message", &partials).unwrap();
}

#[test]
fn four_nodes_confirm_one_output_with_shares_that_sign() {
    let mut world = World::new(4);
    world.run();
    let output = world.one_output(4);
    assert_eq!(output.quorum(), 3);
    assert_shares_sign(&world, &output, ROUND);
}

#[test]
fn committee_of_one_works_alone() {
    let mut world = World::new(1);
    world.run();
    world.one_output(1);
}

#[test]
fn g10_crash_at_any_step_resumes_to_the_same_confirmation() {
    let mut undisturbed = World::new(4);
    undisturbed.run();
    let output = undisturbed.one_output(4);
    for (step, node) in undisturbed.steps.iter().enumerate().filter(|(_, node)| [0, 3].contains(*node)) {
        let mut world = World::new(4);
        world.crash = Some(step);
        world.run();
        assert_eq!(world.one_output(4).encode(), output.encode(), "crash of node {node} after step {step}");
    }
}

#[test]
fn absent_minority_delays_until_half_the_window_and_no_longer() {
    let mut world = World::new(4);
    world.nodes[2].online = false;
    world.run();
    assert!(world.logs.is_empty(), "dealers still wait for the absent player");
    world.timestamp = DEAL_UNTIL / 2;
    world.run();
    assert_eq!(world.logs.len(), 3);
    world.timestamp = DEAL_UNTIL + 1;
    world.run();
    world.one_output(3);
}

#[test]
fn node_that_comes_back_after_the_window_still_gets_its_share() {
    let mut world = World::new(4);
    world.nodes[2].online = false;
    world.run();
    world.timestamp = DEAL_UNTIL / 2;
    world.run();
    world.timestamp = DEAL_UNTIL + 1;
    world.nodes[2].online = true;
    world.run();
    let output = world.one_output(4);
    assert_shares_sign(&world, &output, ROUND);
}

#[test]
fn refresh_keeps_the_group_key_and_changes_the_shares() {
    let mut world = World::new(4);
    world.run();
    let first = world.one_output(4);
    for node in &mut world.nodes {
        node.round = None;
    }
    world.ceremony.round = 2;
    world.ceremony.kind = Kind::Refresh;
    world.previous = Some(first.clone());
    (world.letters, world.logs, world.confirmed) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    world.run();
    let second = world.one_output(4);
    assert_eq!(first.group_key(), second.group_key());
    assert_ne!(first.encode(), second.encode());
    assert_shares_sign(&world, &second, 2);
}

/// Its address is among the dealers, as that of a member of the epoch; its key is of no player of the last round.
#[test]
fn member_that_came_back_with_another_key_does_not_stop_the_others_from_resharing() {
    let mut world = World::new(4);
    world.run();
    let first = world.one_output(4);
    world.nodes[3] = Node::new(9);
    world.nodes.iter_mut().for_each(|node| node.round = None);
    let all: Vec<Address> = world.nodes.iter().map(Node::address).collect();
    (world.ceremony.dealers, world.ceremony.players) = (all.clone(), all);
    (world.ceremony.round, world.ceremony.kind) = (2, Kind::Reshare);
    world.previous = Some(first.clone());
    (world.letters, world.logs, world.confirmed) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    world.run();
    world.timestamp = DEAL_UNTIL + 1;
    world.run();
    let second = world.one_output(4);
    assert_eq!(first.group_key(), second.group_key());
    assert_shares_sign(&world, &second, 2);
}

fn dealing_to(world: &mut World, to: usize) -> Letter {
    world.tick(0);
    let to = world.nodes[to].address();
    world.letters.iter().find(|l| l.to == to && l.kind == LetterKind::Dealing).unwrap().clone()
}

#[test]
fn forged_misdelivered_and_foreign_letters_are_dropped() {
    let mut world = World::new(4);
    let good = dealing_to(&mut world, 1);
    let refused = |world: &mut World, letter: &Letter| world.round(1).receive(letter).unwrap().unwrap_err();

    let mut other_body = good.clone();
    other_body.body = vec![1, 2, 3].into();
    assert!(matches!(refused(&mut world, &other_body), LetterError::Signature(_)));

    let mut other_sender = good.clone();
    other_sender.from = world.nodes[2].address();
    assert!(matches!(refused(&mut world, &other_sender), LetterError::Signature(_)));

    let mut other_round = good.clone();
    other_round.round = 2;
    assert_eq!(refused(&mut world, &other_round), LetterError::Misdelivered);

    let mut long = good.clone();
    long.body = vec![0; letters::MAX_LETTER + 1].into();
    assert!(matches!(refused(&mut world, &long), LetterError::TooLong(_)));

    let to_third = dealing_to(&mut world, 2);
    assert_eq!(refused(&mut world, &to_third), LetterError::Misdelivered);

    let stranger = Node::new(99);
    let me = world.nodes[1].address();
    let letter = stranger.context().write(me, ROUND, LetterKind::Ack, vec![1]).unwrap();
    assert_eq!(refused(&mut world, &letter), LetterError::WrongSender(stranger.address()));

    // Sealed to somebody else, but signed by the dealer: it does not open.
    let body = good.body.to_vec();
    let dealer =
        world.nodes[0].context().write(world.nodes[3].address(), ROUND, LetterKind::Dealing, body).unwrap();
    let e = world.round(3).receive(&dealer).unwrap().unwrap_err();
    assert!(matches!(e, LetterError::Sealed(_)));
    world.round(1).receive(&good).unwrap().unwrap();
}

#[test]
fn second_and_different_dealing_changes_nothing() {
    let mut world = World::new(4);
    let good = dealing_to(&mut world, 1);
    world.round(1).receive(&good).unwrap().unwrap();
    // The dealer lost its disk and deals again.
    world.nodes[0].round = None;
    world.nodes[0].store = Node::new(1).store;
    world.letters.clear();
    let again = dealing_to(&mut world, 1);
    assert_ne!(good.body, again.body);
    assert!(matches!(world.round(1).receive(&again).unwrap(), Err(LetterError::Refused { .. })));
    assert_eq!(world.nodes[1].store.letters(ROUND).unwrap(), vec![good]);
}

#[test]
fn g12_neither_seed_nor_share_is_in_the_database_in_plaintext() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(4);
    world.nodes[3] = Node::with_store(4, |owner| Store::open(dir.path(), owner).unwrap());
    world.run();
    {
        let node = &world.nodes[3];
        let sealed = node.store.dealer_seed(ROUND).unwrap().unwrap();
        let seed = node.keys.unseal("dealer seed", &ROUND.to_be_bytes(), &sealed).unwrap();
        let share = share_of(node, ROUND).encode();
        let file = std::fs::read(dir.path().join("node.redb")).unwrap();
        let holds = |secret: &[u8]| file.windows(secret.len()).any(|window| window == secret);
        assert!(holds(&sealed), "the file is the one that is searched");
        assert!(!holds(&seed) && !holds(&share));
        // Nor the scalar alone, without the index before it.
        assert!(!holds(&share[share.len() - 32..]));
        let digits = hex::encode(&share[share.len() - 32..]);
        assert!(!holds(digits.as_bytes()));
    }
}
