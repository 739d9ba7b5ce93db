// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A committee of real shares behind real sockets, whose members can be made to misbehave, and a guest with real evidence.
#![allow(dead_code, unreachable_pub)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{Eip712Domain, SolStruct},
};
mod instances;

use axum::{Json, Router, extract::State, routing::get, routing::post};
use futures::{FutureExt, future::BoxFuture};
use mandate_attestation::{
    Evidence, TrustAnchors,
    dev_pki::{DevGuest, DevPki},
    verify,
};
use mandate_guest::{Pinned, Quoter, QuoterError};
use mandate_model::{
    outcome::{Outcome, PolicyReason, Reason},
    receipt::Receipt,
    signed,
    wire::{
        BlockRef,
        kms::{
            AppKeys, Given, NonceResponse, ReleaseRequest, ReleaseResponse, SealedPartial, StatementPartial,
            Wish,
        },
        relayer::{CommitteeView, Member},
    },
};
use mandate_runtime::{
    Ambient,
    http::{ApiError, serve},
    net::{Net, TcpNet},
};
use mandate_threshold::{
    AppStatement, CeremonyInfo, DealerSession, DealingKey, Output, PlayerSession, Share,
    derive::{APP_NAMESPACE, app_message},
    seal,
};
use tokio_util::sync::CancellationToken;

pub const CHAIN: u64 = 31_337;
pub const EPOCH: u64 = 4;
pub const GENERATION: u64 = 2;
pub const KMS_AUTH: Address = Address::repeat_byte(0xb1);
pub const COMMITTEE: Address = Address::repeat_byte(0xb2);
pub const APP: Address = Address::repeat_byte(0xaa);
const NOW: u64 = 1_790_000_000;

/// How a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Nothing listens.
    Down,
    /// Takes the connection and never answers a release.
    Silent,
    /// Takes the connection and never answers a nonce.
    Mute,
    /// Gives its nonce late.
    Slow,
    Denies,
    Undecided,
    /// Signs another message.
    WrongMessage,
    /// Signs with the share of another node.
    WrongShare,
    /// Seals to the wrong binding.
    WrongBinding,
    OldEpoch,
    OtherGeneration,
    /// Allows without a receipt.
    NoReceipt,
    /// Signs the receipt with another key.
    ForgedReceipt,
    /// Answers one thing and signs another.
    TwoFaced,
    /// The receipt is about another transport key.
    StaleReceipt,
    /// Sends a partial along with a denial.
    DeniesAndGives,
    /// Gives a part of the secret when it is asked for a statement.
    GivesSecret,
    /// Says that it found something else in the evidence.
    OtherFindings,
    /// Calls itself another node.
    Impostor,
    /// An error with control characters in its text.
    Fails,
}

/// How late [`Manner::Slow`] is.
pub const SLOW: Duration = Duration::from_secs(2);

/// Evidence by the development PKI.
#[derive(Debug)]
pub struct DevQuoter {
    pub pki: DevPki,
    pub guest: DevGuest,
}

impl Quoter for DevQuoter {
    fn evidence(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Evidence, QuoterError>> {
        let evidence = self.pki.evidence(&self.guest, report_data, NOW);
        async move { Ok(evidence) }.boxed()
    }
}

pub fn quoter() -> DevQuoter {
    DevQuoter { pki: DevPki::from_seed([3; 32]), guest: DevGuest::new(APP, B256::repeat_byte(0xcc)) }
}

/// Shares of one genesis, in the order of the keys' bytes.
fn genesis(keys: &[DealingKey]) -> (Output, Vec<Share>) {
    let publics: Vec<_> = keys.iter().map(DealingKey::public).collect();
    let info = CeremonyInfo {
        namespace: b"guest test".to_vec(),
        round: 1,
        previous: None,
        dealers: publics.clone(),
        players: publics.clone(),
    };
    let mut players: Vec<_> = keys.iter().map(|key| PlayerSession::new(&info, key).unwrap()).collect();
    let mut logs = Vec::new();
    for key in keys {
        let (mut dealer, dealings) = DealerSession::start(&info, key, None, [9; 32]).unwrap();
        for dealing in dealings {
            let at = publics.iter().position(|public| *public == dealing.recipient).unwrap();
            let ack = players[at].deal(&key.public(), &dealing.body).unwrap();
            dealer.acknowledge(&dealing.recipient, &ack).unwrap();
        }
        logs.push((key.public(), dealer.finish()));
    }
    let (mut outputs, shares): (Vec<_>, Vec<_>) =
        players.into_iter().map(|player| player.finish(&logs).unwrap()).unzip();
    (outputs.remove(0), shares)
}

pub struct Node {
    manner: Mutex<Manner>,
    signer: PrivateKeySigner,
    share: Share,
    others: Share,
    group_key: [u8; 48],
    anchors: TrustAnchors,
    nonces: Mutex<Vec<B256>>,
}

pub struct World {
    pub pinned: Pinned,
    pub view: CommitteeView,
    pub relayer: String,
    nodes: Vec<Arc<Node>>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    pub async fn start(manners: &[Manner]) -> Self {
        Self::with_replicas(manners, 0).await
    }

    /// The last `replicas` of the nodes have copies of the first one's share.
    pub async fn with_replicas(manners: &[Manner], replicas: usize) -> Self {
        let several = manners.len() - replicas;
        let keys: Vec<_> = (0..several).map(|i| DealingKey::from_seed([i as u8 + 1; 32])).collect();
        let (output, shares) = genesis(&keys);
        let stop = CancellationToken::new();
        let (mut members, mut nodes) = (Vec::new(), Vec::new());
        for (i, manner) in manners.iter().enumerate() {
            let node = Arc::new(Node {
                manner: Mutex::new(*manner),
                signer: PrivateKeySigner::from_bytes(&B256::repeat_byte(i as u8 + 1)).unwrap(),
                share: shares[i % several].clone(),
                others: shares[(i + 1) % several].clone(),
                group_key: output.group_key(),
                anchors: quoter().pki.trust_anchors(),
                nonces: Mutex::default(),
            });
            let signer = node.signer.address();
            let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            nodes.push(Arc::clone(&node));
            match manner {
                Manner::Down => drop(listener),
                _ => drop(tokio::spawn(serve(listener, router(node), stop.clone()))),
            }
            members.push(Member { node: signer, dealing_key: keys[i % several].public().into(), url });
        }
        let replicas = members.split_off(several);
        let view = CommitteeView {
            block: BlockRef { number: 1, hash: B256::repeat_byte(1) },
            chain_id: CHAIN,
            kms_auth: KMS_AUTH,
            committee: COMMITTEE,
            epoch: EPOCH,
            outgoing: None,
            quorum: output.quorum(),
            group_key: output.group_key().into(),
            polynomial: output.polynomial().into(),
            members,
            replicas,
        };
        let pinned = Pinned {
            chain_id: CHAIN,
            kms_auth: KMS_AUTH,
            committee: COMMITTEE,
            group_key: output.group_key(),
        };
        let shown = view.clone();
        let show = move || std::future::ready(Json(shown.clone()));
        let relayer = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let url = format!("http://{}", relayer.local_addr().unwrap());
        tokio::spawn(serve(relayer, Router::new().route("/v1/committee", get(show)), stop.clone()));
        Self { pinned, view, relayer: url, nodes, stop }
    }
}

impl World {
    /// From now on every node behaves like this.
    pub fn behave(&self, manner: Manner) {
        self.nodes.iter().for_each(|node| *node.manner.lock().unwrap() = manner);
    }
}

pub fn ambient() -> Ambient {
    Ambient::system()
}

fn router(node: Arc<Node>) -> Router {
    Router::new().route("/v1/nonce", post(nonce)).route("/v1/release", post(release)).with_state(node)
}

async fn nonce(State(node): State<Arc<Node>>) -> Json<NonceResponse> {
    if node.manner() == Manner::Mute {
        std::future::pending::<()>().await;
    }
    if node.manner() == Manner::Slow {
        tokio::time::sleep(SLOW).await;
    }
    let nonce = B256::random();
    node.nonces.lock().unwrap().push(nonce);
    let address = match node.manner() {
        Manner::Impostor => Address::repeat_byte(0xee),
        _ => node.signer.address(),
    };
    Json(NonceResponse { node: address, nonce, ttl: 60 })
}

async fn release(
    State(node): State<Arc<Node>>,
    Json(request): Json<ReleaseRequest>,
) -> Result<Json<ReleaseResponse>, ApiError> {
    match node.manner() {
        Manner::Silent => std::future::pending().await,
        Manner::Fails => Err(ApiError::unavailable("the store\nis \u{1b}[31mgone")),
        _ => Ok(Json(node.answer(&request))),
    }
}

impl Node {
    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }

    fn answer(&self, request: &ReleaseRequest) -> ReleaseResponse {
        let evidence = Evidence::decode(&request.evidence).unwrap();
        let verified = verify(&evidence, &self.anchors, NOW, &request.report_data()).unwrap();
        let mine = request.nonces.iter().find(|nonce| nonce.node == self.signer.address()).unwrap();
        assert!(self.nonces.lock().unwrap().contains(&mine.nonce));
        assert!(request.nonces.is_sorted_by_key(|nonce| nonce.node));

        let outcome = match self.manner() {
            Manner::Denies | Manner::DeniesAndGives => {
                Outcome::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked) }
            }
            Manner::Undecided => Outcome::Undecided { why: "no fresh header".to_owned() },
            _ => Outcome::Allowed { valid_until: 1_800_000_000 },
        };
        let receipt = self.receipt(request, &outcome);
        let gives = matches!(outcome, Outcome::Allowed { .. }) || self.manner() == Manner::DeniesAndGives;
        let given = match &request.wish {
            Wish::Statement(keys) if self.manner() != Manner::GivesSecret => {
                Given::Statement(self.statement(request, keys, verified.app_id()))
            }
            Wish::Instance(route) if self.manner() != Manner::GivesSecret => {
                Given::Instance(self.instance(request, route, &verified))
            }
            _ => Given::Partial(self.partial(request, verified.app_id())),
        };
        let receipt = match self.manner() {
            Manner::NoReceipt | Manner::Undecided => None,
            _ => Some(receipt),
        };
        ReleaseResponse { outcome, given: gives.then_some(given), receipt }
    }

    fn partial(&self, request: &ReleaseRequest, app: Address) -> SealedPartial {
        let generation = if self.manner() == Manner::OtherGeneration { 0 } else { GENERATION };
        let app = if self.manner() == Manner::WrongMessage { Address::ZERO } else { app };
        let message = app_message(CHAIN, KMS_AUTH.into(), app.into(), generation, &self.group_key);
        let share = if self.manner() == Manner::WrongShare { &self.others } else { &self.share };
        let mut binding = request.report_data();
        if self.manner() == Manner::WrongBinding {
            binding[0] ^= 1;
        }
        let partial = share.sign(APP_NAMESPACE, &message).encode();
        let sealed =
            seal(&request.transport_key, b"mandate-release-v1", &binding, &partial, B256::random().0);
        let epoch = if self.manner() == Manner::OldEpoch { EPOCH - 1 } else { EPOCH };
        SealedPartial { epoch, generation, sealed: sealed.unwrap().into() }
    }

    fn statement(&self, request: &ReleaseRequest, keys: &AppKeys, app: Address) -> StatementPartial {
        let generation = if self.manner() == Manner::OtherGeneration { 0 } else { GENERATION };
        let app = if self.manner() == Manner::WrongMessage { Address::ZERO } else { app };
        let statement = AppStatement {
            chain_id: CHAIN,
            kms_auth: KMS_AUTH.into(),
            app: app.into(),
            generation,
            ca_spki_sha256: keys.ca_spki_sha256.into(),
            ethereum: keys.ethereum.into(),
        };
        let share = if self.manner() == Manner::WrongShare { &self.others } else { &self.share };
        let epoch = if self.manner() == Manner::OldEpoch { EPOCH - 1 } else { request.epoch };
        StatementPartial {
            epoch,
            generation,
            partial: share.sign_statement(&statement).encode().to_vec().into(),
        }
    }

    fn receipt(&self, request: &ReleaseRequest, outcome: &Outcome) -> Receipt {
        let transport = match self.manner() {
            Manner::StaleReceipt => B256::ZERO,
            _ => keccak256(request.transport_key),
        };
        let said = if self.manner() == Manner::TwoFaced {
            Outcome::Denied { reason: Reason::Policy(PolicyReason::AppPaused) }
        } else {
            outcome.clone()
        };
        let mut receipt = Receipt {
            node: self.signer.address(),
            sequence: 0,
            previous: B256::ZERO,
            block_number: 7,
            block_hash: B256::repeat_byte(7),
            judged_at: 1,
            head_number: 7,
            head_hash: B256::repeat_byte(7),
            evidence_hash: keccak256(&request.evidence),
            binding_hash: keccak256(request.binding()),
            request_hash: B256::repeat_byte(8),
            outcome: said,
            transport_key_hash: transport,
            dev_anchors: true,
            signature: Default::default(),
        };
        let domain: Eip712Domain = signed::domain(CHAIN, COMMITTEE);
        let signer = match self.manner() {
            Manner::ForgedReceipt => PrivateKeySigner::from_bytes(&B256::repeat_byte(0x77)).unwrap(),
            _ => self.signer.clone(),
        };
        let signature = signer.sign_hash_sync(&receipt.body().eip712_signing_hash(&domain)).unwrap();
        receipt.signature = signature.as_bytes().to_vec().into();
        receipt
    }
}
