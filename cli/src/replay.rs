// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Judging a decision again, from its bundle alone (G-8).
//!
//! ```text
//! receipt ── signature ── node        evidence ── anchors, at the node's own time ── facts ── the question
//!    │ hashes of all the rest          block hash ── header ── witness ── KmsAuth.decide in revm ── verdict
//!    └──────────────────────────────── the outcome must be what both verdicts lead to
//! ```
//!
//! Everything here is a function of the bundle and of what is expected of it: no clock, no file, no network. What a bundle
//! cannot prove is said: that the block is the chain's (it is the node's word, unless its hash is given) and that the node is
//! a member.

mod error;

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    sol_types::{SolCall, SolValue},
};
use mandate_attestation::{Evidence, Verified, Verifier};
use mandate_model::{
    Outcome, Reason,
    bindings::{BootRequest, KmsAuth},
    boot,
    bundle::Bundle,
    deployment::Deployment,
    signed,
    wire::{BlockRef, ViewCall},
};
use mandate_witness::{ChainSpec, Witness};
use serde::Serialize;

pub use error::{Place, ReplayError};

/// What the bundle must be about, and what its evidence must lead to.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// The deployment.
    pub deployment: &'a Deployment,
    /// What the evidence is judged by: roots and known images.
    pub verifier: &'a Verifier,
    /// The node that must have decided; any otherwise.
    pub node: Option<Address>,
    /// The finalised block, known from elsewhere; the receipt's own word otherwise.
    pub block: Option<B256>,
}

/// What was found on the way, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub check: &'static str,
    /// What it showed.
    pub found: String,
}

/// A decision that was judged again.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// The same outcome as the receipt's; `Undecided` where the decision rests on what only its node knew.
    pub outcome: Outcome,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// The question that the contracts answered, when the evidence verified.
    pub request: Option<BootRequest>,
}

/// Judges `bundle` again.
///
/// # Errors
/// The first thing that does not hold.
pub fn replay(bundle: &Bundle, expected: &Expected<'_>) -> Result<Replayed, ReplayError> {
    let mut case = Case { bundle, expected, checks: Vec::new(), request: None };
    let outcome = case.judge()?;
    Ok(Replayed { outcome, checks: case.checks, request: case.request })
}

struct Case<'a> {
    bundle: &'a Bundle,
    expected: &'a Expected<'a>,
    checks: Vec<Check>,
    request: Option<BootRequest>,
}

impl Case<'_> {
    fn judge(&mut self) -> Result<Outcome, ReplayError> {
        self.check_deployment()?;
        self.check_receipt()?;
        let said = &self.bundle.receipt.outcome;
        if let Outcome::Denied { reason: Reason::Request(why) } = said {
            return Ok(own_word(&format!("the node refused the request itself ({why})")));
        }
        let replayed = match self.verify_evidence() {
            Err(why) => self.evidence_denied(why)?,
            Ok(verified) => {
                if let Outcome::Denied { reason: Reason::Evidence(why) } = said {
                    return Err(ReplayError::EvidenceHolds(why.clone()));
                }
                let named = self.check_question(&verified)?;
                self.request = Some(named.clone());
                match self.ask(&named)? {
                    Some(outcome) => outcome,
                    None => return Ok(own_word("it remembered a revocation that it had seen")),
                }
            }
        };
        if replayed != *said {
            return Err(ReplayError::Outcome { receipt: said.clone(), replayed });
        }
        self.note("outcome", format!("{replayed}, as the receipt says"));
        Ok(replayed)
    }

    fn check_deployment(&mut self) -> Result<(), ReplayError> {
        let (bundle, deployment) = (self.bundle, self.expected.deployment);
        let same = |what, expected: &dyn ToString, found: &dyn ToString| {
            let (expected, found) = (expected.to_string(), found.to_string());
            if expected == found { Ok(()) } else { Err(ReplayError::Deployment { what, expected, found }) }
        };
        same("chain", &deployment.chain_id, &bundle.request.chain_id)?;
        same("KmsAuth", &deployment.kms_auth, &bundle.request.kms_auth)?;
        same("KmsCommittee", &deployment.committee, &bundle.committee)?;
        self.note("deployment", format!("chain {}, KmsAuth {}", deployment.chain_id, deployment.kms_auth));
        Ok(())
    }

    fn check_receipt(&mut self) -> Result<(), ReplayError> {
        let (bundle, receipt) = (self.bundle, &self.bundle.receipt);
        let domain = signed::domain(bundle.request.chain_id, bundle.committee);
        if !receipt.is_signed(&domain) {
            return Err(ReplayError::Signature(receipt.node));
        }
        if let Some(expected) = self.expected.node.filter(|node| *node != receipt.node) {
            return Err(ReplayError::Node { expected, found: receipt.node });
        }
        if let Some(expected) = self.expected.block.filter(|block| *block != receipt.block_hash) {
            return Err(ReplayError::Block { expected, found: receipt.block_hash });
        }
        let kind = |development| if development { "development" } else { "production" };
        let (says, given) = (receipt.dev_anchors, self.expected.verifier.anchors().is_development());
        if says != given {
            return Err(ReplayError::Anchors { receipt: kind(says), given: kind(given) });
        }
        self.commits("evidence", receipt.evidence_hash == keccak256(&bundle.request.evidence))?;
        self.commits("request", receipt.binding_hash == keccak256(bundle.request.binding()))?;
        self.commits("transport key", receipt.transport_key_hash == keccak256(bundle.request.transport_key))?;
        self.commits("boot request", receipt.request_hash == hash_of(bundle.boot_request.as_ref()))?;
        self.note("receipt", format!("number {} of node {}, signed by it", receipt.sequence, receipt.node));
        Ok(())
    }

    fn commits(&self, part: &'static str, holds: bool) -> Result<(), ReplayError> {
        if holds { Ok(()) } else { Err(ReplayError::Commitment { part }) }
    }

    fn verify_evidence(&mut self) -> Result<Verified, String> {
        let request = &self.bundle.request;
        let at = self.bundle.receipt.judged_at;
        let evidence = Evidence::decode(&request.evidence).map_err(|e| e.to_string())?;
        let verifier = self.expected.verifier;
        let verified = verifier.verify(&evidence, at, &request.report_data()).map_err(|e| e.to_string())?;
        let anchors = if verified.is_development() { "DEVELOPMENT anchors" } else { "the vendors' anchors" };
        self.note("evidence", format!("verifies under {anchors} at {at}, and binds this request"));
        Ok(verified)
    }

    /// The node denied for the evidence, and nothing else may be in the bundle.
    fn evidence_denied(&mut self, why: String) -> Result<Outcome, ReplayError> {
        if !matches!(&self.bundle.receipt.outcome, Outcome::Denied { reason: Reason::Evidence(_) }) {
            return Err(ReplayError::Evidence(why));
        }
        self.absent("boot request", self.bundle.boot_request.as_ref())?;
        self.absent("witness at the finalised block", self.bundle.finalized.as_ref())?;
        self.absent("witness at the head", self.bundle.head.as_ref())?;
        self.note("evidence", format!("does not verify: {why}"));
        Ok(Outcome::Denied { reason: Reason::Evidence(why) })
    }

    /// What the node asked the contracts is what the evidence proves, for the generation that was asked for.
    fn check_question(&mut self, verified: &Verified) -> Result<BootRequest, ReplayError> {
        let Some(bytes) = &self.bundle.boot_request else {
            return Err(ReplayError::Presence { part: "boot request", missing: true });
        };
        let named =
            BootRequest::abi_decode_validate(bytes).map_err(|e| ReplayError::Malformed(e.to_string()))?;
        let proven = mandate_kms::boot::boot_request(verified, named.generation);
        let (p, n) = (&proven.info, &named.info);
        for (what, same) in [
            ("app", p.appId == n.appId),
            ("code", p.composeHash == n.composeHash),
            ("instance", p.instanceId == n.instanceId),
            ("device", p.deviceId == n.deviceId),
            ("OS image", p.osImageHash == n.osImageHash),
            ("measurement", (p.mrAggregated, p.mrSystem) == (n.mrAggregated, n.mrSystem)),
            ("TCB status", (&p.tcbStatus, &p.advisoryIds) == (&n.tcbStatus, &n.advisoryIds)),
            ("TEE kind", proven.tee == named.tee),
            ("launch ticket", proven.ticket == named.ticket),
            ("encoding", proven.abi_encode() == bytes.as_ref()),
        ] {
            if !same {
                return Err(ReplayError::Facts(what));
            }
        }
        let asked = self.bundle.request.generation;
        if asked != 0 && asked != named.generation {
            return Err(ReplayError::Facts("generation"));
        }
        self.note("question", format!("app {}, code {}, as the evidence proves", n.appId, n.composeHash));
        Ok(named)
    }

    /// What the contracts say at both blocks; nothing when the node did not ask them.
    fn ask(&mut self, named: &BootRequest) -> Result<Option<Outcome>, ReplayError> {
        let receipt = &self.bundle.receipt;
        if receipt.block_hash.is_zero() {
            self.absent("witness at the finalised block", self.bundle.finalized.as_ref())?;
            self.absent("witness at the head", self.bundle.head.as_ref())?;
            return Ok(None);
        }
        // At finality the node asked as the guest did, where 0 stands for the current generation.
        let asked = BootRequest { generation: self.bundle.request.generation, ..named.clone() };
        let block = BlockRef { number: receipt.block_number, hash: receipt.block_hash };
        let finalized = self.decide(Place::Finalized, block, self.bundle.finalized.as_ref(), &asked)?;
        let Outcome::Allowed { valid_until } = finalized else {
            self.absent("witness at the head", self.bundle.head.as_ref())?;
            return Ok(Some(finalized));
        };
        if receipt.head_number < receipt.block_number {
            let why = format!("block {} is below the finalised block", receipt.head_number);
            return Err(ReplayError::Answer { place: Place::Head, why });
        }
        let block = BlockRef { number: receipt.head_number, hash: receipt.head_hash };
        let head = self.decide(Place::Head, block, self.bundle.head.as_ref(), named)?;
        Ok(Some(match head {
            Outcome::Allowed { valid_until: at_head } => {
                Outcome::Allowed { valid_until: valid_until.min(at_head) }
            }
            other => other,
        }))
    }

    fn decide(
        &mut self,
        place: Place,
        block: BlockRef,
        witness: Option<&Bytes>,
        request: &BootRequest,
    ) -> Result<Outcome, ReplayError> {
        let part = match place {
            Place::Finalized => "witness at the finalised block",
            Place::Head => "witness at the head",
        };
        let bytes = witness.ok_or(ReplayError::Presence { part, missing: true })?;
        let witness = Witness::decode(bytes).map_err(|source| ReplayError::Codec { place, source })?;
        let call = KmsAuth::decideCall { request: request.clone() };
        let view = ViewCall { to: self.bundle.request.kms_auth, data: call.abi_encode().into() };
        let spec = rules(self.bundle.request.chain_id);
        let output = mandate_witness::execute(&witness, block, &spec, &view)
            .map_err(|source| ReplayError::Witness { place, source: Box::new(source) })?;
        let unclear = |why: String| ReplayError::Answer { place, why };
        let answer =
            KmsAuth::decideCall::abi_decode_returns_validate(&output).map_err(|e| unclear(e.to_string()))?;
        let outcome = boot::outcome(&answer);
        if let Outcome::Undecided { why } = outcome {
            return Err(unclear(why));
        }
        let proof = format!("{} trie nodes and {} codes", witness.nodes().len(), witness.codes().len());
        self.note(part, format!("block {} {}: {outcome}, by {proof}", block.number, block.hash));
        Ok(outcome)
    }

    fn absent(&self, part: &'static str, given: Option<&Bytes>) -> Result<(), ReplayError> {
        if given.is_some() { Err(ReplayError::Presence { part, missing: false }) } else { Ok(()) }
    }

    fn note(&mut self, check: &'static str, found: String) {
        self.checks.push(Check { check, found });
    }
}

/// The rules of the chain with this id: a public chain's, or those of a development chain.
pub fn rules(chain_id: u64) -> ChainSpec {
    ChainSpec::public(chain_id).unwrap_or_else(|| ChainSpec::dev(chain_id))
}

fn hash_of(part: Option<&Bytes>) -> B256 {
    part.map(keccak256).unwrap_or_default()
}

fn own_word(why: &str) -> Outcome {
    Outcome::Undecided {
        why: format!("a denial that is the node's own word, which nobody else can judge: {why}"),
    }
}
