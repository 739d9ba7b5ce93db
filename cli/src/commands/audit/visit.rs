// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The audit of one node over its API.

use std::{
    collections::HashMap,
    io::IsTerminal,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256},
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::{Eip712Domain, SolEvent},
};
use futures::{StreamExt, stream};
use mandate_attestation::{TrustAnchors, Verifier};
use mandate_model::{
    Outcome,
    bindings::ReceiptAnchor,
    bundle::{Bundle, MAX_BUNDLE},
    deployment::Deployment,
    receipt::Receipt,
    signed,
    wire::kms::NodeStatus,
};
use mandate_runtime::{
    http::{Client, HttpError},
    net::TcpNet,
};
use serde_json::{Value, json};

use super::archive::Archive;
use crate::{
    args::AuditArgs,
    audit::{AnchoredRoot, Finding, FindingKind, Held, LogAudit, LogReport},
    connection::{failed, logs},
    error::{CliError, Result},
    replay::{Expected, replay},
};

/// How long a node may take for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bundles that are asked of a node at a time.
const AT_ONCE: usize = 8;

/// Receipts between two lines of progress.
const TELL_EVERY: u64 = 1_000;

/// What all nodes are audited with.
pub(super) struct Visitor<'a> {
    provider: DynProvider,
    deployment: Arc<Deployment>,
    verifier: Arc<Verifier>,
    domain: Eip712Domain,
    http: Client,
    /// Hashes of the chain's blocks, as far as they were asked for; nothing where it has none.
    blocks: Mutex<HashMap<u64, Option<B256>>>,
    archive: Option<&'a PathBuf>,
    replays: bool,
}

/// What came of the audit of one node.
#[derive(Debug, Default)]
pub(super) struct Visit {
    node: Address,
    url: Option<String>,
    /// Of the log, and with the findings of everything else.
    pub(super) log: LogReport,
    judged: Judged,
    /// Why not everything could be asked.
    missing: Option<String>,
}

/// Decisions that were judged again.
#[derive(Debug, Default)]
struct Judged {
    allowed: u64,
    denied: u64,
    own_word: u64,
    not_kept: u64,
}

impl Visit {
    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_none()
    }

    pub(super) fn shown(&self) -> Value {
        let (log, judged) = (&self.log, &self.judged);
        json!({
            "node": self.node,
            "url": self.url,
            "missing": self.missing,
            "receipts": log.receipts,
            "anchored": log.anchored,
            "roots": log.roots,
            "held": log.held,
            "development": log.development,
            "judgedAgain": {
                "allowed": judged.allowed,
                "denied": judged.denied,
                "ownWord": judged.own_word,
                "notKept": judged.not_kept,
            },
            "findings": log.findings,
        })
    }

    fn miss(&mut self, why: impl ToString) {
        self.missing.get_or_insert_with(|| why.to_string());
    }

    fn find(&mut self, kind: FindingKind, receipt: u64, text: String) {
        self.log.findings.push(Finding { kind, receipt, text });
    }
}

impl<'a> Visitor<'a> {
    pub(super) fn new(
        provider: DynProvider,
        deployment: Deployment,
        verifier: Verifier,
        args: &'a AuditArgs,
    ) -> Self {
        Self {
            domain: signed::domain(deployment.chain_id, deployment.committee),
            provider,
            deployment: Arc::new(deployment),
            verifier: Arc::new(verifier),
            http: Client::new(Arc::new(TcpNet)).timeout(PATIENCE).max_body(MAX_BUNDLE),
            blocks: Mutex::default(),
            archive: args.archive.as_ref(),
            replays: !args.no_replay,
        }
    }

    pub(super) fn anchors(&self) -> &TrustAnchors {
        self.verifier.anchors()
    }

    /// Audits `node`. What it does wrong or does not say is in the visit; an error is the auditor's own trouble.
    pub(super) async fn visit(
        &self,
        node: Address,
        url: Option<String>,
        mut held: Vec<Held>,
    ) -> Result<Visit> {
        let mut visit = Visit { node, url: url.clone(), ..Visit::default() };
        let Some(url) = url.map(|url| url.trim_end_matches('/').to_owned()) else {
            visit.miss("the chain names no URL for it: --node ADDRESS=URL does");
            return Ok(visit);
        };
        // Before the log, which may grow meanwhile and must not be found to be too short.
        let roots = self.roots(node).await?;
        let mut archive = None;
        if let Some(directory) = self.archive {
            let (opened, known) = Archive::open(directory, node, &self.domain)?;
            held.extend(known);
            archive = Some(opened);
        }
        let count = match self.count(node, &url).await {
            Ok(count) => count.max(roots.last().map_or(0, |root| root.count)),
            Err(why) => {
                visit.miss(why);
                return Ok(visit);
            }
        };
        let mut audit = LogAudit::new(node, self.domain.clone(), roots, held);
        self.read_log(&url, count, &mut audit, &mut visit, &mut archive).await?;
        // A log that could not be read to its end has withheld nothing.
        let mut log = match visit.is_complete() {
            true => audit.finish(),
            false => audit.so_far(),
        };
        log.findings.append(&mut visit.log.findings);
        visit.log = log;
        Ok(visit)
    }

    /// How many receipts the node says that it has.
    async fn count(&self, node: Address, url: &str) -> std::result::Result<u64, String> {
        let status: NodeStatus =
            self.http.get_json(&format!("{url}/v1/node")).await.map_err(|e| e.to_string())?;
        if status.node != node {
            return Err(format!("node {} answers there", status.node));
        }
        Ok(status.receipts)
    }

    async fn read_log(
        &self,
        url: &str,
        count: u64,
        audit: &mut LogAudit,
        visit: &mut Visit,
        archive: &mut Option<Archive>,
    ) -> Result<()> {
        let mut told = 0;
        while audit.next() < count {
            let after = audit.next().checked_sub(1).map_or(String::new(), |last| format!("?after={last}"));
            let page: Vec<Receipt> = match self.http.get_json(&format!("{url}/v1/receipts{after}")).await {
                Ok(page) => page,
                Err(error) => {
                    visit.miss(error);
                    return Ok(());
                }
            };
            let following = page.iter().take_while(|receipt| audit.take(receipt)).count();
            let receipts = page.get(..following).unwrap_or_default();
            if let Some(archive) = archive.as_mut().filter(|_| !audit.has_findings()) {
                archive.extend(receipts)?;
            }
            self.judge(url, receipts, visit).await?;
            if following < page.len() || page.is_empty() {
                return Ok(());
            }
            if audit.next() / TELL_EVERY > told && std::io::stderr().is_terminal() {
                told = audit.next() / TELL_EVERY;
                eprintln!("{}: {} of {count} receipts", visit.node, audit.next());
            }
        }
        Ok(())
    }

    /// Holds the blocks of decisions against the chain, and judges the decisions again.
    async fn judge(&self, url: &str, receipts: &[Receipt], visit: &mut Visit) -> Result<()> {
        for receipt in receipts.iter().filter(|receipt| !receipt.block_hash.is_zero()) {
            match self.block(receipt.block_number).await? {
                Some(hash) if hash == receipt.block_hash => {}
                Some(hash) => {
                    let (number, judged) = (receipt.block_number, receipt.block_hash);
                    let text =
                        format!("judged at finalised block {number} of hash {judged}, the chain's is {hash}");
                    visit.find(FindingKind::Block, receipt.sequence, text);
                }
                None => visit.miss(format!("the RPC endpoint has no block {}", receipt.block_number)),
            }
        }
        if !self.replays {
            return Ok(());
        }
        let mut bundles = stream::iter(receipts)
            .map(|receipt| async move {
                let url = format!("{url}/v1/bundles/{}", receipt.sequence);
                (receipt, self.http.get_json::<Bundle>(&url).await)
            })
            .buffered(AT_ONCE);
        while let Some((receipt, answer)) = bundles.next().await {
            self.judge_again(receipt, answer, visit).await?;
        }
        Ok(())
    }

    async fn judge_again(
        &self,
        receipt: &Receipt,
        answer: std::result::Result<Bundle, HttpError>,
        visit: &mut Visit,
    ) -> Result<()> {
        let bundle = match answer {
            Ok(bundle) => bundle,
            Err(error) if error.status() == Some(404) => {
                visit.judged.not_kept += 1;
                return Ok(());
            }
            Err(error) => {
                visit.miss(error);
                return Ok(());
            }
        };
        if bundle.receipt.hash(&self.domain) != receipt.hash(&self.domain) {
            let text = "what it rests on is given with another receipt".to_owned();
            visit.find(FindingKind::Verdict, receipt.sequence, text);
            return Ok(());
        }
        let (deployment, verifier) = (self.deployment.clone(), self.verifier.clone());
        let again = move || {
            let node = Some(bundle.receipt.node);
            replay(&bundle, &Expected { deployment: &deployment, verifier: &verifier, node, block: None })
        };
        match tokio::task::spawn_blocking(again).await.map_err(CliError::unavailable)? {
            Ok(replayed) => match replayed.outcome {
                Outcome::Allowed { .. } => visit.judged.allowed += 1,
                Outcome::Denied { .. } => visit.judged.denied += 1,
                Outcome::Undecided { .. } => visit.judged.own_word += 1,
            },
            Err(error) => visit.find(
                FindingKind::Verdict,
                receipt.sequence,
                crate::commands::judged::with_causes(&error),
            ),
        }
        Ok(())
    }

    async fn block(&self, number: u64) -> Result<Option<B256>> {
        if let Some(known) = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return Ok(*known);
        }
        let block = self.provider.get_block_by_number(number.into()).await.map_err(|e| failed(&e))?;
        let hash = block.map(|block| block.header.hash);
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).insert(number, hash);
        Ok(hash)
    }

    /// The roots of `node` on chain, in their order.
    async fn roots(&self, node: Address) -> Result<Vec<AnchoredRoot>> {
        let Some(contract) = self.deployment.receipt_anchor else { return Ok(Vec::new()) };
        let filter = Filter::new()
            .address(contract)
            .event_signature(ReceiptAnchor::RootPosted::SIGNATURE_HASH)
            .topic1(node.into_word());
        let mut roots = Vec::new();
        for log in logs(&self.provider, &filter, self.deployment.genesis_block).await? {
            let posted = ReceiptAnchor::RootPosted::decode_log(&log.inner).map_err(|e| {
                CliError::unavailable(format!("the RPC endpoint gives a log that is none: {e}"))
            })?;
            if posted.index != roots.len() as u64 {
                let text = format!(
                    "the RPC endpoint gives root {} of {node} where {} is due",
                    posted.index,
                    roots.len()
                );
                return Err(CliError::unavailable(text));
            }
            roots.push(AnchoredRoot { index: posted.index, root: posted.root, count: posted.count });
        }
        Ok(roots)
    }
}
