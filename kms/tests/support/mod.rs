// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A node's release path with everything real but the chain, whose answers are scripted.

#![allow(dead_code, unreachable_pub)]

pub mod town;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use futures::future::BoxFuture;
use mandate_attestation::dev_pki::{DevGuest, DevPki};
use mandate_kms::{
    NodeKeys,
    ceremony::Context,
    chain::{CommitteeRules, Judge, Judgement, Pause},
    decide::Verdict,
    nonce::NonceLimits,
    receipts::ReceiptLog,
    release::{Releaser, ReleaserParts},
    revocation::Revocations,
    seat::Seat,
    shares::{Holding, Shares},
    store::{Owner, Store},
};
use mandate_model::{
    bindings::BootRequest,
    wire::{
        BlockRef,
        kms::{NodeNonce, ReleaseRequest, ReleaseResponse},
    },
};
use mandate_runtime::{Ambient, clock::ManualClock, entropy::SeededEntropy, net::TcpNet};
use mandate_threshold::{CeremonyInfo, DealerSession, DealingKey, Output, PlayerSession, SealingKey, Share};
use mandate_witness::{At, Freshness, HeaderError, Undecided};
use redb::{StorageBackend, backends::InMemoryBackend};

pub const CHAIN: u64 = 31_337;
pub const KMS_AUTH: Address = Address::repeat_byte(0xaa);
pub const COMMITTEE: Address = Address::repeat_byte(0xcc);
pub const APP: Address = Address::repeat_byte(0x0a);
pub const CODE: B256 = B256::repeat_byte(0x0c);
pub const NOW: u64 = 1_790_000_000;
pub const LEASE: Duration = Duration::from_secs(60);

/// What the contracts say, at will.
#[derive(Debug)]
pub struct Script {
    pub finalized: Result<Verdict, Undecided>,
    pub head: Result<Verdict, Undecided>,
    pub finalized_height: u64,
    pub head_height: u64,
    pub generation: u64,
    pub revoked: bool,
    pub paused_until: u64,
    /// At the head and at finality.
    pub rules: [Result<CommitteeRules, Undecided>; 2],
    pub asked: Vec<BootRequest>,
}

#[derive(Debug)]
pub struct Scripted(pub Mutex<Script>);

pub fn block(number: u64) -> BlockRef {
    BlockRef { number, hash: B256::from(alloy::primitives::U256::from(number)) }
}

pub fn no_header() -> Undecided {
    HeaderError::NoQuorum {
        what: "finalized",
        agreed: 0,
        needed: 1,
        reports: vec!["rpc 0: error sending request for url (https://rpc.example/token)".into()],
    }
    .into()
}

impl Judge for Scripted {
    fn finalized<'a>(&'a self, request: &'a BootRequest) -> BoxFuture<'a, Result<Judgement, Undecided>> {
        let mut script = self.0.lock().unwrap();
        script.asked.push(request.clone());
        let generation = if request.generation == 0 { script.generation } else { request.generation };
        let at = block(script.finalized_height);
        let answer = script.finalized.clone().map(|verdict| Judgement {
            verdict,
            block: at,
            timestamp: NOW + at.number,
            generation,
            witness: None,
        });
        Box::pin(async move { answer })
    }

    fn head<'a>(&'a self, request: &'a BootRequest) -> BoxFuture<'a, Result<Judgement, Undecided>> {
        let script = self.0.lock().unwrap();
        let (at, generation) = (block(script.head_height), request.generation);
        let timestamp = NOW + at.number;
        let answer = script.head.clone().map(|verdict| Judgement {
            verdict,
            block: at,
            timestamp,
            generation,
            witness: None,
        });
        Box::pin(async move { answer })
    }

    fn is_revoked(&self, _: Address, _: B256, at: At) -> BoxFuture<'_, Result<(bool, BlockRef), Undecided>> {
        let script = self.0.lock().unwrap();
        let height = if at == At::Head { script.head_height } else { script.finalized_height };
        let answer = (script.revoked, block(height));
        Box::pin(async move { Ok(answer) })
    }

    fn committee_rules(&self, _: Address, at: At) -> BoxFuture<'_, Result<CommitteeRules, Undecided>> {
        let rules = self.0.lock().unwrap().rules[usize::from(at == At::Finalized)].clone();
        Box::pin(async move { rules })
    }

    fn paused_until(&self, _: Address, at: At) -> BoxFuture<'_, Result<Pause, Undecided>> {
        let script = self.0.lock().unwrap();
        let height = if at == At::Head { script.head_height } else { script.finalized_height };
        let answer = Pause { until: script.paused_until, block: block(height), timestamp: NOW + height };
        Box::pin(async move { Ok(answer) })
    }
}

/// A node that holds the one share of a committee of one.
pub struct World {
    pub pki: DevPki,
    pub clock: Arc<ManualClock>,
    pub judge: Arc<Scripted>,
    pub keys: Arc<NodeKeys>,
    pub output: Output,
    pub shares: Shares,
    pub seat: Seat,
    pub revocations: Revocations,
    pub receipts: ReceiptLog,
    pub releaser: Releaser,
    pub context: Context,
}

impl World {
    pub fn new() -> Self {
        Self::with_backend(InMemoryBackend::new())
    }

    pub fn with_backend(backend: impl StorageBackend) -> Self {
        let pki = DevPki::from_seed([9; 32]);
        let keys = Arc::new(NodeKeys::from_seed([1; 32]).unwrap());
        let clock = Arc::new(ManualClock::new(NOW));
        let entropy = Arc::new(SeededEntropy::from_u64(7));
        let ambient = Ambient { clock: clock.clone(), entropy, net: Arc::new(TcpNet) };
        let owner = Owner { node: keys.address(), chain_id: CHAIN, kms_auth: KMS_AUTH, committee: COMMITTEE };
        let store = Store::with_backend(backend, &owner).unwrap();
        let context =
            Context { keys: keys.clone(), store: store.clone(), chain_id: CHAIN, committee: COMMITTEE };
        let judge = Arc::new(Scripted(Mutex::new(Script {
            finalized: Ok(Verdict::Allowed { valid_until: NOW + 1_000 }),
            head: Ok(Verdict::Allowed { valid_until: NOW + 1_000 }),
            finalized_height: 10,
            head_height: 12,
            generation: 1,
            revoked: false,
            paused_until: 0,
            rules: [const { Ok(CommitteeRules { kms_app: APP, demand: 0, is_replica: false }) }; 2],
            asked: Vec::new(),
        })));
        let mut lease = Freshness::new(LEASE);
        lease.note_published(B256::repeat_byte(1), Duration::ZERO);
        assert!(lease.observe_finalized(B256::repeat_byte(1), Duration::ZERO));
        let (output, share) = committee_of_one(5);
        let shares = Shares::default();
        shares.replace(Some(holding(1, output.clone(), Some(share), u64::MAX)), None);
        let seat = Seat::default();
        seat.set(u64::MAX);
        let receipts = ReceiptLog::open(store.clone(), keys.clone(), context.domain(), true).unwrap();
        let revocations = Revocations::open(store, judge.clone()).unwrap();
        let releaser = Releaser::new(ReleaserParts {
            node: keys.address(),
            chain_id: CHAIN,
            kms_auth: KMS_AUTH,
            verifier: pki.trust_anchors().into(),
            ambient,
            nonces: NonceLimits { ttl: Duration::from_secs(30), capacity: 100, per_peer: 100 },
            judge: judge.clone(),
            freshness: Arc::new(Mutex::new(lease)),
            shares: shares.clone(),
            seat: seat.clone(),
            keys: keys.clone(),
            domain: context.domain(),
            receipts: receipts.clone(),
            revocations: revocations.clone(),
        });
        Self { pki, clock, judge, keys, output, shares, seat, revocations, receipts, releaser, context }
    }

    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.judge.0.lock().unwrap());
    }

    /// A request that names a fresh nonce, without evidence.
    pub fn bare_request(&self) -> ReleaseRequest {
        let nonce = self.releaser.nonce("guest").unwrap();
        ReleaseRequest {
            chain_id: CHAIN,
            kms_auth: KMS_AUTH,
            generation: 0,
            epoch: 0,
            transport_key: transport().public().into(),
            nonces: vec![NodeNonce { node: nonce.node, nonce: nonce.nonce }],
            wish: Default::default(),
            evidence: Default::default(),
        }
    }

    /// The evidence that `guest` makes for `request`.
    pub fn attested(&self, mut request: ReleaseRequest, guest: &DevGuest) -> ReleaseRequest {
        request.evidence = self.pki.evidence(guest, request.report_data(), NOW).encode().into();
        request
    }

    /// A request in which everything is right.
    pub fn request(&self) -> ReleaseRequest {
        self.attested(self.bare_request(), &guest())
    }

    pub async fn release(&self, request: &ReleaseRequest) -> ReleaseResponse {
        self.releaser.release(request.clone()).await.unwrap()
    }
}

pub fn guest() -> DevGuest {
    DevGuest::new(APP, CODE)
}

pub fn transport() -> SealingKey {
    SealingKey::from_seed([0x77; 32])
}

/// What a node holds of an epoch whose number is that of its round.
pub fn holding(epoch: u64, output: Output, share: Option<Share>, valid_until: u64) -> Holding {
    Holding { epoch, round: epoch, output, share, valid_until }
}

/// The root and the one share of a committee of one, another one for each seed.
pub fn committee_of_one(seed: u8) -> (Output, Share) {
    let key = DealingKey::from_seed([seed; 32]);
    let info = CeremonyInfo {
        namespace: b"test".to_vec(),
        round: 1,
        previous: None,
        dealers: vec![key.public()],
        players: vec![key.public()],
    };
    let (mut dealer, dealings) = DealerSession::start(&info, &key, None, [6; 32]).unwrap();
    let mut player = PlayerSession::new(&info, &key).unwrap();
    let ack = player.deal(&key.public(), &dealings[0].body).unwrap();
    dealer.acknowledge(&key.public(), &ack).unwrap();
    player.finish(&[(key.public(), dealer.finish())]).unwrap()
}

/// A root shared by four.
pub fn committee_of_four() -> (Output, Vec<Share>) {
    let keys: Vec<DealingKey> = (1..=4).map(|n| DealingKey::from_seed([n; 32])).collect();
    let all: Vec<_> = keys.iter().map(DealingKey::public).collect();
    let info = CeremonyInfo {
        namespace: b"test".to_vec(),
        round: 1,
        previous: None,
        dealers: all.clone(),
        players: all,
    };
    let mut players: Vec<_> = keys.iter().map(|key| PlayerSession::new(&info, key).unwrap()).collect();
    let mut logs = Vec::new();
    for (n, key) in (1..).zip(&keys) {
        let (mut dealer, dealings) = DealerSession::start(&info, key, None, [n; 32]).unwrap();
        for dealing in dealings {
            let to = keys.iter().position(|key| key.public() == dealing.recipient).unwrap();
            let ack = players[to].deal(&key.public(), &dealing.body).unwrap();
            dealer.acknowledge(&keys[to].public(), &ack).unwrap();
        }
        logs.push((key.public(), dealer.finish()));
    }
    let finished: Vec<(Output, Share)> =
        players.into_iter().map(|player| player.finish(&logs).unwrap()).collect();
    (finished[0].0.clone(), finished.into_iter().map(|(_, share)| share).collect())
}

pub fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
