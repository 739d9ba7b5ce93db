// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands in the relayer's place, and can be told to misbehave.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use alloy::{
    primitives::{Address, aliases::U40},
    providers::{DynProvider, Provider},
};
use axum::{
    Router,
    extract::{Path, State},
    routing::{get, post},
};
use mandate_devchain::DevChain;
use mandate_model::{
    bindings::{self, KmsCommittee},
    wire::relayer::{Delivered, Letter, Submission, Vouch, WitnessRequest, WitnessResponse},
};
use mandate_runtime::http::{ApiError, ApiJson};
use mandate_witness::{ChainSpec, build};
use tokio::sync::Notify;

/// Carries what nodes send, as a relayer would.
pub struct Carrier {
    chain: DevChain,
    provider: DynProvider,
    committee: Address,
    letters: Mutex<HashMap<Address, Vec<Letter>>>,
    /// One transaction at a time, from an account that nobody else uses.
    sending: tokio::sync::Mutex<Address>,
    /// Serves witnesses with a changed byte.
    pub lies: AtomicBool,
    /// Takes submissions and drops them.
    pub drops: AtomicBool,
    /// Takes confirmations and drops them.
    pub drops_confirmations: AtomicBool,
    /// How many.
    pub dropped: AtomicUsize,
    gate: Mutex<Option<Gate>>,
}

/// Holds up one node at one of the things that it sends for a ceremony.
struct Gate {
    node: Address,
    /// What still passes.
    left: usize,
    /// Whether what is held up has had its effect.
    after: bool,
    reached: Arc<Notify>,
}

impl Carrier {
    pub fn new(chain: DevChain, provider: DynProvider, committee: Address) -> Self {
        Self {
            sending: tokio::sync::Mutex::new(chain.accounts()[1]),
            chain,
            provider,
            committee,
            letters: Mutex::default(),
            lies: AtomicBool::new(false),
            drops: AtomicBool::new(false),
            drops_confirmations: AtomicBool::new(false),
            dropped: AtomicUsize::new(0),
            gate: Mutex::default(),
        }
    }

    /// Every letter so far.
    pub fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap().values().flatten().cloned().collect()
    }

    /// Those to this node.
    pub fn letters_to(&self, node: Address) -> Vec<Letter> {
        self.letters.lock().unwrap().get(&node).cloned().unwrap_or_default()
    }

    /// From now on `node` gets no answer any more after `passing` of its letters and submissions: the next one has its
    /// effect, or has it not. Tells when that happens.
    pub fn hold_up(&self, node: Address, passing: usize, after: bool) -> Arc<Notify> {
        let reached = Arc::<Notify>::default();
        *self.gate.lock().unwrap() = Some(Gate { node, left: passing, after, reached: reached.clone() });
        reached
    }

    /// Holds up nobody any more.
    pub fn let_go(&self) {
        *self.gate.lock().unwrap() = None;
    }

    /// Whether what `node` sends now is held up, and then whether after its effect.
    fn gate(&self, node: Address) -> Option<bool> {
        let mut gate = self.gate.lock().unwrap();
        let gate = gate.as_mut().filter(|gate| gate.node == node)?;
        match gate.left {
            0 => Some(gate.after),
            _ => {
                gate.left -= 1;
                None
            }
        }
    }

    async fn hang(&self) {
        if let Some(gate) = &*self.gate.lock().unwrap() {
            gate.reached.notify_one();
        }
        std::future::pending().await
    }

    async fn submit(&self, submission: Submission) -> Result<(), ApiError> {
        let gate = match &submission {
            Submission::DealerLog { node, .. } | Submission::Confirmation { node, .. } => self.gate(*node),
            Submission::Nonce { .. } | Submission::Attestation { .. } => None,
        };
        if gate == Some(false) {
            self.hang().await;
        }
        self.send(submission).await?;
        if gate == Some(true) {
            self.hang().await;
        }
        Ok(())
    }

    async fn send(&self, submission: Submission) -> Result<(), ApiError> {
        let confirms = matches!(submission, Submission::Confirmation { .. });
        if self.drops.load(Ordering::SeqCst) || confirms && self.drops_confirmations.load(Ordering::SeqCst) {
            self.dropped.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        let committee = KmsCommittee::new(self.committee, &self.provider);
        let call = match submission {
            Submission::DealerLog { round, node, log, signature } => {
                committee.postDealerLog(round, node, log, signature).into_transaction_request()
            }
            Submission::Confirmation { round, node, group_key, polynomial, signature } => committee
                .confirmOutput(round, node, group_key, polynomial, signature)
                .into_transaction_request(),
            Submission::Attestation { node, evidence_digest, until, vouches, .. } => {
                let vouch = |vouch: Vouch| bindings::Vouch { voter: vouch.voter, signature: vouch.signature };
                let vouches = vouches.into_iter().map(vouch).collect();
                committee
                    .attestNode(node, evidence_digest, U40::from(until), vouches)
                    .into_transaction_request()
            }
            Submission::Nonce { node, nonce, signature } => {
                committee.publishNonce(node, nonce, signature).into_transaction_request()
            }
        };
        let account = self.sending.lock().await;
        let sent = self.provider.send_transaction(call.from(*account)).await;
        sent.map(|_| ()).map_err(ApiError::bad_gateway)
    }

    async fn take(&self, letter: Letter) {
        let gate = self.gate(letter.from);
        if gate == Some(false) {
            self.hang().await;
        }
        self.put(letter);
        if gate == Some(true) {
            self.hang().await;
        }
    }

    /// Puts a letter into its recipient's mailbox.
    pub fn put(&self, letter: Letter) {
        self.letters.lock().unwrap().entry(letter.to).or_default().push(letter);
    }
}

pub fn routes(carrier: Arc<Carrier>) -> Router {
    async fn witness(
        State(carrier): State<Arc<Carrier>>,
        ApiJson(request): ApiJson<WitnessRequest>,
    ) -> Result<ApiJson<WitnessResponse>, ApiError> {
        let spec = ChainSpec::dev(carrier.chain.chain_id());
        let witness = build(&carrier.provider, &spec, request.block_hash, &request.call).await;
        let mut witness = witness.map_err(ApiError::bad_gateway)?.encode();
        if carrier.lies.load(Ordering::SeqCst)
            && let Some(byte) = witness.last_mut()
        {
            *byte ^= 1;
        }
        Ok(ApiJson(WitnessResponse { witness: witness.into() }))
    }

    async fn submit(
        State(carrier): State<Arc<Carrier>>,
        ApiJson(submission): ApiJson<Submission>,
    ) -> Result<(), ApiError> {
        carrier.submit(submission).await
    }

    async fn post_letter(State(carrier): State<Arc<Carrier>>, ApiJson(letter): ApiJson<Letter>) {
        carrier.take(letter).await;
    }

    async fn letters(
        State(carrier): State<Arc<Carrier>>,
        Path(node): Path<Address>,
    ) -> ApiJson<Vec<Delivered>> {
        let letters = carrier.letters_to(node);
        ApiJson(letters.into_iter().zip(1..).map(|(letter, cursor)| Delivered { cursor, letter }).collect())
    }

    Router::new()
        .route("/v1/witness", post(witness))
        .route("/v1/submissions", post(submit))
        .route("/v1/mailbox", post(post_letter))
        .route("/v1/mailbox/{node}", get(letters))
        .with_state(carrier)
}
