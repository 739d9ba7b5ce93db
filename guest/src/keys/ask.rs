// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asking all nodes at once, and judging each answer by itself.

use std::time::Duration;

use alloy::primitives::{Address, keccak256};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use mandate_model::{
    outcome::Outcome,
    receipt::Receipt,
    wire::kms::{
        Given, InstancePartial, NodeNonce, NonceResponse, ReleaseRequest, ReleaseResponse, SealedPartial,
        StatementPartial, Wish,
    },
};
use mandate_runtime::http::HttpError;
use mandate_threshold::{
    Partial, SealingKey,
    derive::APP_NAMESPACE,
    open,
    statement::{INSTANCE_NAMESPACE, STATEMENT_NAMESPACE},
};
use zeroize::Zeroizing;

use super::{
    About, Combined, Gathered, Haste, KeyClient, KeyError, Pinned,
    committee::{Committee, Seat},
    report::{NodeOutcome, NodeReport},
    stated,
};

/// Binds the sealed part to its purpose; the request's report data is the associated data.
const SEAL_INFO: &[u8] = b"mandate-release-v1";

/// What is known of every node so far.
pub(super) struct Answers {
    pub(super) reports: Vec<NodeReport>,
    /// Whether somebody was not waited for.
    pub(super) left_out: bool,
    needed: usize,
}

impl Answers {
    pub(super) fn new(committee: &Committee) -> Self {
        let report = |seat: &Seat| NodeReport {
            node: seat.node,
            url: seat.url.clone(),
            outcome: NodeOutcome::NotAwaited,
        };
        let reports = committee.members().iter().map(report).collect();
        Self { reports, left_out: false, needed: committee.quorum() }
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

impl Asked<'_> {
    /// What a node has to sign about this, and in which namespace.
    fn message(&self, committee: &Committee, about: &About) -> (&'static [u8], Vec<u8>) {
        match (&self.request.wish, about) {
            (Wish::Statement(keys), About::Generation(generation)) => {
                let statement = stated::statement(self.pinned, self.app, *generation, keys);
                (STATEMENT_NAMESPACE, statement.message())
            }
            (Wish::Instance(route), About::Instance(boot_request)) => {
                (INSTANCE_NAMESPACE, stated::instance(self.pinned, route, boot_request).message())
            }
            // A guest wishes nothing else; whatever a part is about, it has to be the secret's.
            (_, About::Generation(generation)) => {
                (APP_NAMESPACE, committee.message(self.pinned, self.app, *generation))
            }
            (_, About::Instance(_)) => (INSTANCE_NAMESPACE, Vec::new()),
        }
    }
}

/// A part as it came, before anything of it is believed.
struct Part {
    epoch: u64,
    about: About,
    encoded: Zeroizing<Vec<u8>>,
}

/// The least grace: loopback answers come in bursts.
const LEAST_GRACE: Duration = Duration::from_millis(2);

/// Collects nonces: from all who answer before the grace that begins with the quorum-th is over.
pub(super) async fn nonces(
    client: &KeyClient,
    committee: &Committee,
    haste: Haste,
    answers: &mut Answers,
) -> Vec<NodeNonce> {
    let begin = client.ambient.clock.monotonic();
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
            let taken = client.ambient.clock.monotonic().saturating_sub(begin);
            let hurried = (taken / 2).max(LEAST_GRACE).min(client.grace);
            grace = client.ambient.clock.sleep(if haste == Haste::Hurried { hurried } else { client.grace });
        }
    }
    let silent = |seat: &&Seat| nonces.iter().all(|nonce| nonce.node != seat.node);
    for seat in committee.members().iter().filter(silent) {
        let known =
            answers.reports.iter().any(|r| r.node == seat.node && r.outcome != NodeOutcome::NotAwaited);
        if !known {
            let error = format!("{}: gave no nonce while a quorum of others did", seat.url);
            answers.set(seat.node, NodeOutcome::Unreachable { error });
            answers.left_out = true;
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
        if let Some((partial, about)) = part {
            let (namespace, message) = asked.message(committee, &about);
            if let Some(combined) = gathered.add(committee, (namespace, &message), about, partial) {
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
) -> (NodeOutcome, Option<(Partial, About)>) {
    let bad = |why: String| (NodeOutcome::BadAnswer { why }, None);
    if let Some(receipt) = &answer.receipt
        && let Err(why) = check_receipt(committee, asked, seat, &answer.outcome, receipt)
    {
        return bad(why);
    }
    let part = match (&asked.request.wish, answer.given) {
        (_, None) => None,
        (Wish::Secret, Some(Given::Partial(sealed))) => Some(open_part(asked, sealed)),
        (Wish::Statement(_), Some(Given::Statement(stated))) => Some(Ok(public_part(stated))),
        (Wish::Instance(_), Some(Given::Instance(instance))) => Some(Ok(instance_part(instance))),
        _ => return bad(format!("{}, but with a part that was not asked for", answer.outcome)),
    };
    match (answer.outcome, part, answer.receipt.map(Box::new)) {
        (Outcome::Undecided { why }, None, _) => (NodeOutcome::Undecided { why }, None),
        (Outcome::Denied { reason }, None, Some(receipt)) => (NodeOutcome::Denied { reason, receipt }, None),
        (Outcome::Allowed { valid_until }, Some(part), Some(receipt)) => {
            match part.and_then(|part| check_part(committee, asked, seat, part)) {
                Ok(part) => (NodeOutcome::Allowed { valid_until, receipt }, Some(part)),
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

/// Opens a part of the secret.
fn open_part(asked: &Asked<'_>, sealed: SealedPartial) -> Result<Part, String> {
    let SealedPartial { epoch, generation, sealed } = sealed;
    let encoded = open(asked.transport, SEAL_INFO, &asked.request.report_data(), &sealed)
        .map_err(|error| error.to_string())?;
    Ok(Part { epoch, about: About::Generation(generation), encoded })
}

/// A part of a statement, which is nobody's secret.
fn public_part(stated: StatementPartial) -> Part {
    let StatementPartial { epoch, generation, partial } = stated;
    Part { epoch, about: About::Generation(generation), encoded: Zeroizing::new(partial.to_vec()) }
}

/// A part of a statement about this instance.
fn instance_part(InstancePartial { epoch, boot_request, partial }: InstancePartial) -> Part {
    Part { epoch, about: About::Instance(boot_request), encoded: Zeroizing::new(partial.to_vec()) }
}

/// Verifies that a part is the one which this node had to give.
fn check_part(
    committee: &Committee,
    asked: &Asked<'_>,
    seat: &Seat,
    part: Part,
) -> Result<(Partial, About), String> {
    if part.epoch != committee.epoch() {
        return Err(format!(
            "it signed with its share of epoch {}, asked was {}",
            part.epoch,
            committee.epoch()
        ));
    }
    let wanted = asked.request.generation;
    match part.about {
        About::Generation(given) if given == 0 || (wanted != 0 && given != wanted) => {
            return Err(format!("it signed for generation {given}, asked was {wanted}"));
        }
        _ => {}
    }
    let partial = Partial::decode(&part.encoded).map_err(|error| error.to_string())?;
    if partial.index() != seat.index {
        return Err(format!("it claims index {}, its own is {}", partial.index(), seat.index));
    }
    let (namespace, message) = asked.message(committee, &part.about);
    if !committee.polynomial().verify_partial(namespace, &message, &partial) {
        return Err(format!("the signature of index {} does not verify", seat.index));
    }
    Ok((partial, part.about))
}
