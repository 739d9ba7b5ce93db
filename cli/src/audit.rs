// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Auditing the receipts of one node (G-8): that the log is whole, that it is the one that was anchored on chain, and that it
//! is the same for everybody.
//!
//! ```text
//! log as the node serves it ── signatures, numbers, links ── one unbroken chain
//!     ├─ Merkle root over the first n ── root that the node signed and a relayer anchored
//!     └─ receipt n ── receipts n that guests and earlier auditors hold
//! ```
//!
//! Nothing here asks anybody: see `commands/audit.rs` for where all this comes from.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256},
    sol_types::Eip712Domain,
};
use mandate_model::{receipt::Receipt, receipt_chain::ReceiptChain, receipt_tree::ReceiptTree};
use serde::Serialize;

/// What a node did that it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FindingKind {
    /// The log is not one chain: a receipt is missing, out of order, not linked or not signed.
    Gap,
    /// Receipts that the node signed are not in the log that it serves.
    Withheld,
    /// Two histories under one key: the log is not what the node anchored or what somebody holds.
    Equivocation,
    /// Judged again, a decision comes out otherwise than the receipt says, or what it rests on does not hold.
    Verdict,
    /// A decision at a finalised block that is not the chain's.
    Block,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which kind.
    pub kind: FindingKind,
    /// The receipt's number.
    pub receipt: u64,
    /// What is wrong.
    pub text: String,
}

/// A root that the node signed and that the chain has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchoredRoot {
    /// 0, 1, 2 …
    pub index: u64,
    /// Over the first `count` receipts.
    pub root: B256,
    /// How many.
    pub count: u64,
}

/// A receipt that somebody holds, signed by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub sequence: u64,
    /// Its hash.
    pub hash: B256,
    /// Who holds it, for the finding.
    pub by: String,
}

/// The audit of one node's log, receipt by receipt.
#[derive(Debug)]
pub struct LogAudit {
    chain: ReceiptChain,
    tree: ReceiptTree,
    roots: std::vec::IntoIter<AnchoredRoot>,
    due: Option<AnchoredRoot>,
    held: BTreeMap<u64, Vec<Held>>,
    is_broken: bool,
    report: LogReport,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogReport {
    /// Receipts that form the chain.
    pub receipts: u64,
    /// How many of them a root on chain covers.
    pub anchored: u64,
    /// Roots that were found to be of this log.
    pub roots: u64,
    /// Held receipts that were found in this log.
    pub held: u64,
    /// Receipts about development evidence.
    pub development: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl LogAudit {
    /// Of `node`'s log, which the roots (in their order) and what is held must agree with.
    pub fn new(node: Address, domain: Eip712Domain, roots: Vec<AnchoredRoot>, held: Vec<Held>) -> Self {
        let mut by_number = BTreeMap::<u64, Vec<Held>>::new();
        held.into_iter().for_each(|one| by_number.entry(one.sequence).or_default().push(one));
        let mut roots = roots.into_iter();
        Self {
            chain: ReceiptChain::whole(node, domain),
            tree: ReceiptTree::default(),
            due: roots.next(),
            roots,
            held: by_number,
            is_broken: false,
            report: LogReport::default(),
        }
    }

    /// The number of the receipt that comes next.
    pub fn next(&self) -> u64 {
        self.tree.count()
    }

    /// Takes the next receipt that the node serves. Whether it follows: after one that does not, nothing is judged any more.
    pub fn take(&mut self, receipt: &Receipt) -> bool {
        if self.is_broken {
            return false;
        }
        match self.chain.push(receipt) {
            Ok(hash) => {
                self.count(receipt, hash);
                true
            }
            Err(error) => {
                self.is_broken = true;
                self.find(FindingKind::Gap, self.next(), error.to_string());
                false
            }
        }
    }

    /// Whether anything was found so far.
    pub fn has_findings(&self) -> bool {
        !self.report.findings.is_empty()
    }

    /// When the rest of the log could not be read.
    pub fn so_far(self) -> LogReport {
        self.report
    }

    /// When the node serves no more.
    pub fn finish(mut self) -> LogReport {
        if self.is_broken {
            return self.report;
        }
        let count = self.next();
        if let Some(root) = self.due {
            let text = format!(
                "root {} on chain is over {} receipts, the log ends after {count}",
                root.index, root.count
            );
            self.find(FindingKind::Withheld, count, text);
        }
        for one in std::mem::take(&mut self.held).into_values().flatten() {
            let text = format!("{} has it, the log ends after {count}", one.by);
            self.find(FindingKind::Withheld, one.sequence, text);
        }
        self.report
    }

    fn count(&mut self, receipt: &Receipt, hash: B256) {
        self.tree.push(hash);
        self.report.receipts += 1;
        self.report.development += u64::from(receipt.dev_anchors);
        for one in self.held.remove(&receipt.sequence).unwrap_or_default() {
            if one.hash == hash {
                self.report.held += 1;
                continue;
            }
            let text = format!("the log has {hash}, {} has {}, both signed by the node", one.by, one.hash);
            self.find(FindingKind::Equivocation, receipt.sequence, text);
        }
        while let Some(root) = self.due.filter(|root| root.count == self.tree.count()) {
            self.due = self.roots.next();
            if root.root == self.tree.root() {
                (self.report.anchored, self.report.roots) = (root.count, self.report.roots + 1);
                continue;
            }
            let (index, given, own) = (root.index, root.root, self.tree.root());
            let text =
                format!("root {index} on chain is {given}, that of the log's first {} is {own}", root.count);
            self.find(FindingKind::Equivocation, receipt.sequence, text);
        }
    }

    fn find(&mut self, kind: FindingKind, receipt: u64, text: String) {
        self.report.findings.push(Finding { kind, receipt, text });
    }
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::Bytes,
        signers::{SignerSync, local::PrivateKeySigner},
    };
    use mandate_model::{Outcome, signed};

    use super::*;

    struct Log {
        signer: PrivateKeySigner,
        domain: Eip712Domain,
        receipts: Vec<Receipt>,
    }

    impl Log {
        fn of(outcomes: &[u64]) -> Self {
            let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
            let domain = signed::domain(1, Address::repeat_byte(2));
            let mut log = Self { signer, domain, receipts: Vec::new() };
            outcomes.iter().for_each(|valid_until| log.append(*valid_until));
            log
        }

        fn append(&mut self, valid_until: u64) {
            let mut receipt = Receipt {
                node: self.signer.address(),
                sequence: self.receipts.len() as u64,
                previous: self.receipts.last().map_or(B256::ZERO, |last| last.hash(&self.domain)),
                judged_at: 1,
                block_number: 1,
                block_hash: B256::repeat_byte(1),
                head_number: 1,
                head_hash: B256::repeat_byte(1),
                request_hash: B256::ZERO,
                evidence_hash: B256::ZERO,
                binding_hash: B256::ZERO,
                outcome: Outcome::Allowed { valid_until },
                transport_key_hash: B256::ZERO,
                dev_anchors: true,
                signature: Bytes::new(),
            };
            let signature = self.signer.sign_hash_sync(&receipt.hash(&self.domain)).unwrap();
            receipt.signature = signature.as_bytes().to_vec().into();
            self.receipts.push(receipt);
        }

        fn root(&self, index: u64, count: usize) -> AnchoredRoot {
            let tree: ReceiptTree = self.receipts.iter().take(count).map(|r| r.hash(&self.domain)).collect();
            AnchoredRoot { index, root: tree.root(), count: count as u64 }
        }

        fn held(&self, sequence: usize) -> Held {
            let hash = self.receipts[sequence].hash(&self.domain);
            Held { sequence: sequence as u64, hash, by: "a guest".into() }
        }

        fn audit(&self, roots: Vec<AnchoredRoot>, held: Vec<Held>) -> LogReport {
            let mut audit = LogAudit::new(self.signer.address(), self.domain.clone(), roots, held);
            for receipt in &self.receipts {
                audit.take(receipt);
            }
            audit.finish()
        }
    }

    fn kinds(report: &LogReport) -> Vec<(FindingKind, u64)> {
        report.findings.iter().map(|finding| (finding.kind, finding.receipt)).collect()
    }

    #[test]
    fn g8_honest_log_agrees_with_its_roots_and_with_what_guests_hold() {
        let log = Log::of(&[1, 2, 3, 4, 5]);
        let report = log.audit(vec![log.root(0, 2), log.root(1, 4)], vec![log.held(0), log.held(4)]);
        let expected =
            LogReport { receipts: 5, anchored: 4, roots: 2, held: 2, development: 5, findings: vec![] };
        assert_eq!(report, expected);
        assert_eq!(Log::of(&[]).audit(vec![], vec![]), LogReport::default());
    }

    #[test]
    fn g8_receipt_that_is_missing_or_forged_ends_the_chain_there() {
        for damage in [
            (|log: &mut Log| drop(log.receipts.remove(1))) as fn(&mut Log),
            |log| log.receipts.swap(1, 2),
            |log| log.receipts[1].outcome = Outcome::Allowed { valid_until: 9 },
        ] {
            let mut log = Log::of(&[1, 2, 3]);
            let root = log.root(0, 3);
            damage(&mut log);
            let report = log.audit(vec![root], vec![]);
            assert_eq!((report.receipts, kinds(&report)), (1, vec![(FindingKind::Gap, 1)]), "{report:?}");
        }
        let mut log = Log::of(&[1, 2, 3]);
        log.receipts.remove(0);
        assert_eq!(kinds(&log.audit(vec![], vec![])), [(FindingKind::Gap, 0)]);
    }

    #[test]
    fn g8_log_that_was_rewritten_after_it_was_anchored_is_an_equivocation() {
        let (anchored, shown) = (Log::of(&[1, 2, 3]), Log::of(&[1, 9, 3, 4]));
        let report = shown.audit(vec![anchored.root(0, 1), anchored.root(1, 3)], vec![]);
        assert_eq!(kinds(&report), [(FindingKind::Equivocation, 2)]);
        assert_eq!((report.anchored, report.roots), (1, 1));
    }

    #[test]
    fn g8_receipt_that_a_guest_has_and_the_log_has_not_is_an_equivocation() {
        let (given, shown) = (Log::of(&[1, 2, 3]), Log::of(&[1, 9]));
        let report = shown.audit(vec![], vec![given.held(0), given.held(1), given.held(2)]);
        assert_eq!(kinds(&report), [(FindingKind::Equivocation, 1), (FindingKind::Withheld, 2)]);
    }

    #[test]
    fn g8_log_that_is_cut_short_of_its_newest_root_is_withheld() {
        let mut log = Log::of(&[1, 2, 3]);
        let root = log.root(0, 3);
        log.receipts.pop();
        assert_eq!(kinds(&log.audit(vec![root], vec![])), [(FindingKind::Withheld, 2)]);
    }
}
