// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asking all nodes at once, and judging each answer by itself.

use alloy::primitives::{Address, keccak256};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use mandate_model::{
    outcome::Outcome,
    receipt::Receipt,
    wire::kms::{NodeNonce, NonceResponse, ReleaseRequest, ReleaseResponse, SealedPartial},
};
use mandate_runtime::http::HttpError;
use mandate_threshold::{Partial, SealingKey, derive::APP_NAMESPACE, open};

use super::{
    Combined, Gathered, KeyClient, KeyError, Pinned,
    committee::{Committee, Seat},
    report::{NodeOutcome, NodeReport},
};

/// Binds the sealed part to its purpose; the request's report data is the associated data.
const SEAL_INFO: &[u8] = b"mandate-release-v1";

/// What is known of every node so far.
pub(super) struct Answers {
    pub(super) reports: Vec<NodeReport>,
    needed: usize,
}

impl Answers {
    pub(super) fn new(committee: &Committee) -> Self {
        let report = |seat: &Seat| NodeReport {
            node: seat.node,
            url: seat.url.clone(),
            outcome: NodeOutcome::NotAwaited,
        };
        Self { reports: committee.members().iter().map(report).collect(), needed: committee.quorum() }
    }

    fn set(&mut self, node: Address, outcome: NodeOutcome) {
        tracing::debug!(%node, %outcome, "node answered");
        if let Some(report) = self.reports.iter_mut().find(|report| report.node == node) {
            report.outcome = outcome;
        }
    }

    pub(super) fn not_enough(self) -> KeyError {
        let allowed = |report: &&NodeReport| matches!(report.outcome, NodeOutcome::Allowed { .. });
        KeyError::NotEnough {
            needed: self.needed,
            allowed: self.reports.iter().filter(allowed).count(),
            reports: self.reports,
        }
    }
}

/// What all nodes are asked.
pub(super) struct Asked<'a> {
    pub(super) pinned: &'a Pinned,
    pub(super) request: &'a ReleaseRequest,
    pub(super) transport: &'a SealingKey,
    pub(super) app: Address,
}

/// Collects nonces: from all who answer before the grace that begins with the quorum-th is over.
pub(super) async fn nonces(
    client: &KeyClient,
    committee: &Committee,
    answers: &mut Answers,
) -> Vec<NodeNonce> {
    let mut pending: FuturesUnordered<_> = committee
        .members()
        .iter()
        .map(|seat| async move {
            let url = format!("{}/v1/nonce", seat.url);
            (seat, client.http.post_json::<_, NonceResponse>(&url, &serde_json::json!({})).await)
        })
        .collect();
    let mut nonces = Vec::new();
    let (mut grace, mut quorum) = (futures::future::pending().boxed(), false);
    loop {
        let (seat, answer) = tokio::select! {
            answered = pending.next() => match answered {
                Some(answered) => answered,
                None => break,
            },
            () = &mut grace => break,
        };
        match nonce_of(seat, answer) {
            Ok(nonce) => nonces.push(nonce),
            Err(outcome) => answers.set(seat.node, outcome),
        }
        if !quorum && nonces.len() >= committee.quorum() {
            quorum = true;
            grace = client.ambient.clock.sleep(client.grace);
        }
    }
    let silent = |seat: &&Seat| nonces.iter().all(|nonce| nonce.node != seat.node);
    for seat in committee.members().iter().filter(silent) {
        let known =
            answers.reports.iter().any(|r| r.node == seat.node && r.outcome != NodeOutcome::NotAwaited);
        if !known {
            let error = format!("{}: gave no nonce while a quorum of others did", seat.url);
            answers.set(seat.node, NodeOutcome::Unreachable { error });
        }
    }
    nonces
}

fn nonce_of(seat: &Seat, answer: Result<NonceResponse, HttpError>) -> Result<NodeNonce, NodeOutcome> {
    let answer = answer.map_err(|error| failed(&error))?;
    if answer.node != seat.node {
        let why = format!("it says that it is node {}", answer.node);
        return Err(NodeOutcome::BadAnswer { why });
    }
    Ok(NodeNonce { node: seat.node, nonce: answer.nonce })
}

fn failed(error: &HttpError) -> NodeOutcome {
    if error.is_transient() {
        NodeOutcome::Unreachable { error: error.to_string() }
    } else {
        NodeOutcome::BadAnswer { why: error.to_string() }
    }
}

/// Asks everybody whose nonce is bound, and stops with the part that makes a quorum.
pub(super) async fn partials(
    client: &KeyClient,
    committee: &Committee,
    asked: &Asked<'_>,
    answers: &mut Answers,
) -> Option<Combined> {
    let bound = |seat: &&Seat| asked.request.nonces.iter().any(|nonce| nonce.node == seat.node);
    let mut pending: FuturesUnordered<_> = committee
        .members()
        .iter()
        .filter(bound)
        .map(|seat| async move {
            let url = format!("{}/v1/release", seat.url);
            (seat, client.http.post_json::<_, ReleaseResponse>(&url, asked.request).await)
        })
        .collect();
    let mut gathered = Gathered::default();
    while let Some((seat, answer)) = pending.next().await {
        let (outcome, part) = match answer {
            Ok(answer) => judge(committee, asked, seat, answer),
            Err(error) => (failed(&error), None),
        };
        answers.set(seat.node, outcome);
        if let Some((partial, generation)) = part {
            let message = committee.message(asked.pinned, asked.app, generation);
            if let Some(combined) = gathered.add(committee, &message, generation, partial) {
                return Some(combined);
            }
        }
    }
    None
}

/// Judges one node's answer by the receipt that it signed and the part that it gave.
fn judge(
    committee: &Committee,
    asked: &Asked<'_>,
    seat: &Seat,
    answer: ReleaseResponse,
) -> (NodeOutcome, Option<(Partial, u64)>) {
    let bad = |why: String| (NodeOutcome::BadAnswer { why }, None);
    if let Some(receipt) = &answer.receipt
        && let Err(why) = check_receipt(committee, asked, seat, &answer.outcome, receipt)
    {
        return bad(why);
    }
    match (answer.outcome, answer.partial, answer.receipt.map(Box::new)) {
        (Outcome::Undecided { why }, None, _) => (NodeOutcome::Undecided { why }, None),
        (Outcome::Denied { reason }, None, Some(receipt)) => (NodeOutcome::Denied { reason, receipt }, None),
        (Outcome::Allowed { valid_until }, Some(sealed), Some(receipt)) => {
            match open_part(committee, asked, seat, &sealed) {
                Ok(partial) => {
                    (NodeOutcome::Allowed { valid_until, receipt }, Some((partial, sealed.generation)))
                }
                Err(why) => (NodeOutcome::BadPartial { why, receipt }, None),
            }
        }
        (outcome, _, None) => bad(format!("{outcome}, but without a receipt")),
        (outcome, Some(_), _) => bad(format!("{outcome}, but with a partial signature")),
        (outcome, None, _) => bad(format!("{outcome}, but without a partial signature")),
    }
}

/// A receipt counts when this node signed it, about this request and this outcome.
fn check_receipt(
    committee: &Committee,
    asked: &Asked<'_>,
    seat: &Seat,
    outcome: &Outcome,
    receipt: &Receipt,
) -> Result<(), String> {
    if receipt.node != seat.node || !receipt.is_signed(committee.domain()) {
        return Err("its receipt is not signed with its key".to_owned());
    }
    if receipt.outcome != *outcome {
        return Err(format!("it answers \"{outcome}\" and signs \"{}\"", receipt.outcome));
    }
    let about = (receipt.transport_key_hash, receipt.binding_hash);
    if about != (keccak256(asked.request.transport_key), keccak256(asked.request.binding())) {
        return Err("its receipt is about another request".to_owned());
    }
    Ok(())
}

/// Opens a part and verifies that it is the one which this node had to give.
fn open_part(
    committee: &Committee,
    asked: &Asked<'_>,
    seat: &Seat,
    sealed: &SealedPartial,
) -> Result<Partial, String> {
    if sealed.epoch != committee.epoch() {
        return Err(format!(
            "it signed with its share of epoch {}, asked was {}",
            sealed.epoch,
            committee.epoch()
        ));
    }
    let wanted = asked.request.generation;
    if sealed.generation == 0 || (wanted != 0 && sealed.generation != wanted) {
        return Err(format!("it signed for generation {}, asked was {wanted}", sealed.generation));
    }
    let opened = open(asked.transport, SEAL_INFO, &asked.request.report_data(), &sealed.sealed)
        .map_err(|error| error.to_string())?;
    let partial = Partial::decode(&opened).map_err(|error| error.to_string())?;
    if partial.index() != seat.index {
        return Err(format!("it claims index {}, its own is {}", partial.index(), seat.index));
    }
    let message = committee.message(asked.pinned, asked.app, sealed.generation);
    if !committee.polynomial().verify_partial(APP_NAMESPACE, &message, &partial) {
        return Err(format!("the signature of index {} does not verify", seat.index));
    }
    Ok(partial)
}
