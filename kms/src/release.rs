// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The release protocol: gathers verified facts one after another, has [`decide`] judge them, and answers with a receipt.
//!
//! Nothing of the share is touched before the outcome is `Allowed`, and nothing is answered before the receipt is durable.

use std::sync::{Arc, Mutex, PoisonError};

use alloy::{
    primitives::{Address, B256, aliases::U40},
    sol_types::Eip712Domain,
};
use mandate_attestation::{Evidence, Verified, Verifier};
use mandate_model::{
    Outcome, Reason,
    bindings::BootRequest,
    signed,
    wire::{
        BlockRef,
        kms::{Candidate, Given, MAX_STATEMENT_LIFE, NonceResponse, ReleaseRequest, ReleaseResponse, Wish},
    },
};
use mandate_runtime::{Ambient, entropy, redact::without_urls};
use mandate_threshold::SealError;
use mandate_witness::{At, Freshness};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tracing::Instrument;

use crate::{
    boot,
    chain::Judge,
    decide::{Facts, Standing, decide},
    keys::NodeKeys,
    nonce::{NonceFull, NonceLimits, NonceTable},
    receipts::{Decision, ReceiptError, ReceiptLog, Witnesses},
    revocation::Revocations,
    seat::Seat,
    shares::{Holding, Shares, Signer},
};

/// The most nodes that one request may name: the largest committee.
pub const MAX_NONCES: usize = mandate_threshold::MAX_NODES;

/// Why no answer could be given at all.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// The receipt could not be kept, so nothing was released.
    #[error("the receipt could not be kept, so nothing is released: {0}")]
    Receipt(#[from] ReceiptError),
    /// The task that verifies evidence was stopped.
    #[error("the node is stopping")]
    Stopped,
}

/// What a [`Releaser`] is made of.
#[derive(Debug)]
pub struct ReleaserParts {
    /// The node's address.
    pub node: Address,
    /// Chain id.
    pub chain_id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// Who believes evidence.
    pub verifier: Verifier,
    /// Clock and entropy.
    pub ambient: Ambient,
    /// Limits of nonces.
    pub nonces: NonceLimits,
    /// Executes the contracts.
    pub judge: Arc<dyn Judge>,
    /// The lease.
    pub freshness: Arc<Mutex<Freshness>>,
    /// The share in force.
    pub shares: Shares,
    /// Until when this node is one of the committee's.
    pub seat: Seat,
    /// What it vouches with, under the committee's domain.
    pub keys: Arc<NodeKeys>,
    /// Of what nodes sign for the committee.
    pub domain: Eip712Domain,
    /// Where receipts go.
    pub receipts: ReceiptLog,
    /// What is denied whatever an endpoint says.
    pub revocations: Revocations,
}

/// Answers `POST /v1/nonce` and `POST /v1/release`.
#[derive(Debug)]
pub struct Releaser {
    parts: ReleaserParts,
    nonces: Mutex<NonceTable>,
}

/// What is known of a request so far.
#[derive(Debug, Default)]
struct Case {
    facts: Facts,
    judged_at: u64,
    boot: Option<BootRequest>,
    block: Option<BlockRef>,
    head: Option<BlockRef>,
    /// The head's block time.
    time: u64,
    witnesses: Witnesses,
}

impl Releaser {
    /// From its parts.
    pub fn new(parts: ReleaserParts) -> Self {
        let nonces = Mutex::new(NonceTable::new(parts.nonces));
        Self { parts, nonces }
    }

    /// Gives `peer` a nonce.
    pub fn nonce(&self, peer: &str) -> Result<NonceResponse, NonceFull> {
        let nonce = B256::from(entropy::bytes::<32>(&*self.parts.ambient.entropy));
        let now = self.parts.ambient.clock.monotonic();
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).issue(nonce, peer, now)?;
        Ok(NonceResponse { node: self.parts.node, nonce, ttl: self.parts.nonces.ttl.as_secs() })
    }

    /// Decides on `request`, and releases what the decision allows.
    pub async fn release(&self, request: ReleaseRequest) -> Result<ReleaseResponse, ReleaseError> {
        let span = tracing::info_span!("release", node = %self.parts.node);
        self.decided(request).instrument(span).await
    }

    async fn decided(&self, request: ReleaseRequest) -> Result<ReleaseResponse, ReleaseError> {
        let case = self.gather(&request).await?;
        let (outcome, given) = self.conclude(&case, &request);
        log_decision(&case, &outcome);
        if let Outcome::Undecided { .. } = outcome {
            return Ok(ReleaseResponse { outcome, given: None, receipt: None });
        }
        let decision = Decision {
            asked: request,
            judged_at: case.judged_at,
            block: case.block,
            head: case.head,
            witnesses: case.witnesses,
            request: case.boot.as_ref().map(boot::encode),
            outcome: outcome.clone(),
        };
        let receipt = self.parts.receipts.append(decision).await?;
        Ok(ReleaseResponse { outcome, given, receipt: Some(receipt) })
    }

    /// Asks one question after the other, and no further one once the outcome is settled.
    async fn gather(&self, request: &ReleaseRequest) -> Result<Case, ReleaseError> {
        let mut case = Case { judged_at: self.parts.ambient.clock.unix(), ..Case::default() };
        case.facts.of_committee = matches!(request.wish, Wish::Vouch(_) | Wish::Copy(_));
        case.facts.request = Some(self.check_request(request, case.judged_at));
        if case.facts.settled() {
            return Ok(case);
        }
        let verified = match self.verify(request, case.judged_at).await? {
            Ok(verified) => verified,
            Err(why) => {
                case.facts.evidence = Some(Err(why));
                return Ok(case);
            }
        };
        case.facts.evidence = Some(Ok(()));
        self.recall(&mut case, verified.app_id(), verified.compose_hash());
        case.facts.fresh = Some(self.is_fresh());
        let mut boot = boot::boot_request(&verified, request.generation);
        if !case.facts.settled() {
            self.ask_chain(&mut case, &mut boot).await;
        }
        if case.facts.of_committee && case.facts.is_allowed_as_an_app() {
            case.facts.standing = Some(self.standing(request, verified.app_id()).await);
        }
        case.boot = Some(boot);
        Ok(case)
    }

    /// The contracts' word at finality, and then at the head.
    async fn ask_chain(&self, case: &mut Case, boot: &mut BootRequest) {
        let finalized = match self.parts.judge.finalized(boot).await {
            Ok(judgement) => judgement,
            Err(error) => {
                case.facts.finalized = Some(Err(without_urls(&error.to_string()).into_owned()));
                return;
            }
        };
        case.block = Some(finalized.block);
        case.witnesses.finalized = finalized.witness;
        case.facts.finalized = Some(Ok(finalized.verdict));
        boot.generation = finalized.generation;
        if case.facts.settled() {
            return;
        }
        case.facts.head = Some(match self.parts.judge.head(boot).await {
            Ok(head) if head.block.number < finalized.block.number => Err(format!(
                "head {} is below the finalised block {}",
                head.block.number, finalized.block.number
            )),
            Ok(head) => {
                (case.head, case.time, case.witnesses.head) =
                    (Some(head.block), head.timestamp, head.witness);
                Ok(head.verdict)
            }
            Err(error) => Err(without_urls(&error.to_string()).into_owned()),
        });
        // The reads took time, in which the lease may have ended and a revocation may have come in.
        case.facts.fresh = Some(self.is_fresh());
        self.recall(case, boot.info.appId, boot.info.composeHash);
    }

    /// A revocation that this node saw. It decides alone, so that nothing else is what the receipt rests on.
    fn recall(&self, case: &mut Case, app: Address, code: B256) {
        let Some((reason, seen)) = self.parts.revocations.remembered(app, code) else { return };
        case.facts.remembered = Some(reason);
        (case.block, case.head, case.witnesses) = (None, Some(seen), Witnesses::default());
    }

    /// Whether the committee's contracts let this node of theirs have what it wishes.
    async fn standing(&self, request: &ReleaseRequest, app: Address) -> Standing {
        let judge = &self.parts.judge;
        let (finalized, head) = match request.wish {
            Wish::Secret | Wish::Statement(_) | Wish::Instance(_) => {
                return Standing::Refused("this is no node's wish".to_owned());
            }
            Wish::Vouch(candidate) => match judge.committee_rules(candidate.node, At::Finalized).await {
                Ok(rules) => (rules.may_be_vouched_for(app, &candidate), Ok(())),
                Err(error) => return Standing::unread(&error),
            },
            Wish::Copy(replica) => match (
                judge.committee_rules(replica, At::Finalized).await,
                judge.committee_rules(replica, At::Head).await,
            ) {
                (Ok(finalized), Ok(head)) => (finalized.may_have_a_copy(app), head.may_have_a_copy(app)),
                (Err(error), _) | (_, Err(error)) => return Standing::unread(&error),
            },
        };
        finalized.and(head).map_or_else(Standing::Refused, |()| Standing::Good)
    }

    /// The outcome, and what goes with `Allowed`.
    fn conclude(&self, case: &Case, request: &ReleaseRequest) -> (Outcome, Option<Given>) {
        let outcome = decide(&case.facts);
        let (Outcome::Allowed { .. }, Some(boot)) = (&outcome, &case.boot) else { return (outcome, None) };
        match self.give(case.time, boot, request) {
            Ok(given) => (outcome, Some(given)),
            Err(no) => (no, None),
        }
    }

    /// A member vouches also when its own attestation has ended: else a committee that missed the date could not go on.
    fn give(&self, time: u64, boot: &BootRequest, request: &ReleaseRequest) -> Result<Given, Outcome> {
        let ReleaserParts { chain_id, kms_auth, ambient, .. } = &self.parts;
        if let Wish::Vouch(candidate) = &request.wish {
            return self.vouch(candidate, request);
        }
        self.parts.seat.check(time).map_err(|why| Outcome::Undecided { why })?;
        let held = self.holding(request.epoch, time)?;
        let signer = Signer { chain_id: *chain_id, kms_auth: *kms_auth, entropy: &*ambient.entropy };
        let (app, generation) = (boot.info.appId, boot.generation);
        let sealing = |error: SealError| refused(format!("transport key: {error}"));
        let given = match &request.wish {
            Wish::Secret => {
                signer.sign(&held, app, generation, request).map_err(sealing)?.map(Given::Partial)
            }
            Wish::Statement(keys) => {
                signer.sign_statement(&held, app, generation, keys).map(Given::Statement)
            }
            Wish::Instance(route) => signer.sign_instance(&held, boot, route).map(Given::Instance),
            Wish::Copy(_) if held.output.players().len() != 1 => {
                return Err(refused("copies are of a single member's share only".to_owned()));
            }
            Wish::Copy(_) => signer.copy(&held, request).map_err(sealing)?.map(Given::Copy),
            Wish::Vouch(_) => None,
        };
        given.ok_or_else(|| Outcome::Undecided {
            why: format!("this node holds no share of epoch {}", held.epoch),
        })
    }

    fn vouch(&self, candidate: &Candidate, request: &ReleaseRequest) -> Result<Given, Outcome> {
        let message = vouch_message(candidate, request);
        let signature = self.parts.keys.sign(&message, &self.parts.domain);
        let signature = signature.map_err(|error| Outcome::Undecided { why: error.to_string() })?;
        Ok(Given::Vouch(signature.into()))
    }

    /// The shares of the epoch that is asked for, if it is valid at `time` (G-11).
    fn holding(&self, epoch: u64, time: u64) -> Result<Arc<Holding>, Outcome> {
        let undecided = |why: String| Outcome::Undecided { why };
        let shares = &self.parts.shares;
        let Some(current) = shares.current() else {
            return Err(undecided("the committee has no epoch yet that this node knows of".to_owned()));
        };
        match shares.of(epoch) {
            Some(holding) if time < holding.valid_until => Ok(holding),
            None if epoch > current.epoch => {
                Err(undecided(format!("this node does not know of epoch {epoch} yet")))
            }
            _ => Err(refused(format!("epoch {epoch} is over, epoch {} is in force", current.epoch))),
        }
    }

    /// Whether the request is for this deployment and holds a nonce of ours, which is spent with this.
    fn check_request(&self, request: &ReleaseRequest, unix: u64) -> Result<(), String> {
        let ReleaserParts { node, chain_id, kms_auth, .. } = &self.parts;
        if request.chain_id != *chain_id {
            return Err(format!("chain id {} asked, this node serves {chain_id}", request.chain_id));
        }
        if request.kms_auth != *kms_auth {
            return Err(format!("KmsAuth {} asked, this node serves {kms_auth}", request.kms_auth));
        }
        if request.nonces.len() > MAX_NONCES {
            return Err(format!("{} nonces, at most {MAX_NONCES} are accepted", request.nonces.len()));
        }
        if !request.nonces.is_sorted_by(|a, b| a.node < b.node) {
            return Err("nonces must be in ascending order of node, each node once".to_owned());
        }
        if let Wish::Instance(route) = &request.wish {
            check_life(route.until, unix)?;
        }
        let ours = request.nonces.iter().find(|n| n.node == *node).ok_or("it holds no nonce of this node")?;
        let now = self.parts.ambient.clock.monotonic();
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.spend(&ours.nonce, now).map_err(|e| e.to_string())
    }

    /// Verifies the evidence, off the threads that serve.
    async fn verify(
        &self,
        request: &ReleaseRequest,
        now: u64,
    ) -> Result<Result<Verified, String>, ReleaseError> {
        let verifier = self.parts.verifier.clone();
        let (bytes, report_data) = (request.evidence.clone(), request.report_data());
        let verify = move || {
            let evidence = Evidence::decode(&bytes).map_err(|e| e.to_string())?;
            verifier.verify(&evidence, now, &report_data).map_err(|e| e.to_string())
        };
        tokio::task::spawn_blocking(verify).await.map_err(|_| ReleaseError::Stopped)
    }

    fn is_fresh(&self) -> bool {
        let now = self.parts.ambient.clock.monotonic();
        self.parts.freshness.lock().unwrap_or_else(PoisonError::into_inner).is_fresh(now)
    }
}

/// A statement must end, and soon: nobody can take it back.
fn check_life(until: u64, now: u64) -> Result<(), String> {
    match until.checked_sub(now) {
        Some(1..=MAX_STATEMENT_LIFE) => Ok(()),
        _ => Err(format!(
            "a statement until {until} is asked, between {now} and {MAX_STATEMENT_LIFE} s later is possible"
        )),
    }
}

/// What a member signs for `candidate`, and what that checks.
pub(crate) fn vouch_message(candidate: &Candidate, request: &ReleaseRequest) -> signed::Vouch {
    signed::Vouch {
        nodeKey: candidate.node,
        dealingKey: candidate.dealing_key,
        sealingKey: candidate.sealing_key,
        evidenceDigest: evidence_digest(&request.evidence),
        demand: candidate.demand,
        until: U40::saturating_from(candidate.until),
    }
}

/// What a vouch names: SHA-256 of the evidence as it came.
pub(crate) fn evidence_digest(evidence: &[u8]) -> B256 {
    B256::from_slice(&Sha256::digest(evidence))
}

fn refused(why: String) -> Outcome {
    Outcome::Denied { reason: Reason::Request(why) }
}

fn log_decision(case: &Case, outcome: &Outcome) {
    let label = match outcome {
        Outcome::Allowed { .. } => "allowed",
        Outcome::Denied { .. } => "denied",
        Outcome::Undecided { .. } => "undecided",
    };
    metrics::counter!("mandate_kms_releases_total", "outcome" => label).increment(1);
    let info = case.boot.as_ref().map(|boot| &boot.info);
    tracing::info!(
        app = info.map(|i| i.appId.to_string()),
        code = info.map(|i| i.composeHash.to_string()),
        block = case.block.map(|b| b.number),
        %outcome,
        "decided on a release"
    );
}
