// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate audit` of real nodes, and of nodes that lie.

use std::{collections::HashMap, net::Ipv4Addr, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, Bytes};
use axum::{Json, Router, extract::Query, routing::get};
use mandate_kms::NodeKeys;
use mandate_model::{Outcome, deployment::Deployment, receipt::Receipt, signed, wire::kms::NodeStatus};
use serde_json::Value;

use crate::{shell::Ran, town::Town};

/// A node with keys that the test has, which serves what it is told to.
struct Liar {
    keys: NodeKeys,
    deployment: Deployment,
}

impl Liar {
    fn new(seed: u8, deployment: &Deployment) -> Self {
        Self { keys: NodeKeys::from_seed([seed; 32]).unwrap(), deployment: deployment.clone() }
    }

    /// A log with one receipt for each of these, judged at these blocks.
    fn log(&self, decisions: &[(u64, (u64, B256))]) -> Vec<Receipt> {
        let domain = signed::domain(self.deployment.chain_id, self.deployment.committee);
        let mut log = Vec::<Receipt>::new();
        for (valid_until, (block_number, block_hash)) in decisions {
            let mut receipt = Receipt {
                node: self.keys.address(),
                sequence: log.len() as u64,
                previous: log.last().map_or(B256::ZERO, |last| last.hash(&domain)),
                judged_at: 1,
                block_number: *block_number,
                block_hash: *block_hash,
                head_number: 0,
                head_hash: B256::ZERO,
                request_hash: B256::ZERO,
                evidence_hash: B256::ZERO,
                binding_hash: B256::ZERO,
                outcome: Outcome::Allowed { valid_until: *valid_until },
                transport_key_hash: B256::ZERO,
                dev_anchors: true,
                signature: Bytes::new(),
            };
            receipt.signature = self.keys.sign(&receipt.body(), &domain).unwrap().into();
            log.push(receipt);
        }
        log
    }

    /// Serves `log`. What `--node` is to be told.
    async fn serve(&self, log: Vec<Receipt>) -> String {
        let node = self.keys.address();
        let log = Arc::new(log);
        let status = NodeStatus { node, epoch: 1, receipts: log.len() as u64, ..NodeStatus::default() };
        let page = move |Query(query): Query<HashMap<String, usize>>| async move {
            let after = query.get("after").map_or(0, |after| after + 1);
            Json(log.iter().skip(after).take(100).cloned().collect::<Vec<_>>())
        };
        let router = Router::new()
            .route("/v1/node", get(move || async move { Json(status) }))
            .route("/v1/receipts", get(page));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("{node}=http://{addr}")
    }
}

fn told(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

/// Kind and number of each finding about the one node that was audited.
fn findings(ran: &Ran) -> Vec<(String, u64)> {
    let told = told(ran);
    let list = told["nodes"][0]["findings"].as_array().unwrap().clone();
    list.iter().map(|f| (f["kind"].as_str().unwrap().to_owned(), f["receipt"].as_u64().unwrap())).collect()
}

fn sum(told: &Value, pointer: &str) -> u64 {
    told["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node.pointer(pointer).unwrap().as_u64().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g8_committee_is_audited_and_who_lies_is_found() {
    let town = Town::found().await;
    assert!(town.world.lets_in(mandate_cli::demo::bench::v1()).await.unwrap());
    let bundle = town.bundle("allowed.json", "allowed").await;

    committee_holds(&town).await;
    log_that_forgets_is_found(&town, bundle.receipt.node).await;

    let liar = Liar::new(9, &town.config.deployment);
    let here = (0, B256::ZERO);
    two_histories_are_found(&town, &liar, here).await;
    other_block_is_found(&town, &liar).await;
    what_cannot_be_asked_is_no_finding(&town, &liar, here).await;
    bad_input_is_refused(&town, &liar, here).await;
    town.world.shutdown().await;
}

/// Everything holds, with roots on chain, and a second audit continues the first.
async fn committee_holds(town: &Town) {
    let line = "audit --anchor root.der --archive logs --held allowed.json --json";
    let all = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let ran = town.run(line).await;
            let told = ran.json();
            if sum(&told, "/roots") >= 1 {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let told = all.await.expect("a root on chain");
    assert_eq!((&told["audited"], &told["findings"], &told["incomplete"]), (&4.into(), &0.into(), &0.into()));
    // A guest is served by three of four; the slowest may not have been needed.
    assert!(sum(&told, "/judgedAgain/allowed") >= 3, "{told}");
    assert!(sum(&told, "/anchored") >= 1 && sum(&told, "/held") >= 1, "{told}");
    assert!(town.run("audit --anchor root.der --no-replay").await.stdout.contains("notProven"));
    // Without the development root the node's evidence proves nothing, and a production auditor is told so.
    let ran = town.run("audit --json").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("anchors: the receipt says development"), "{ran:?}");
}

/// What the node anchored, what a guest was given, and what an earlier audit saw: a shorter log has none of it.
async fn log_that_forgets_is_found(town: &Town, node: Address) {
    let forgetful = {
        let status = NodeStatus { node, epoch: 1, ..NodeStatus::default() };
        let router = Router::new()
            .route("/v1/node", get(move || async move { Json(status) }))
            .route("/v1/receipts", get(|| async { Json(Vec::<Receipt>::new()) }));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("{node}=http://{addr}")
    };
    for known_by in ["--held allowed.json", "--archive logs"] {
        let ran = town.run(&format!("audit --node {forgetful} --anchor root.der {known_by} --json")).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(findings(&ran).iter().all(|(kind, _)| kind == "withheld"), "{ran:?}");
        assert!(!findings(&ran).is_empty() && ran.stderr.contains("findings about 1 of 1 nodes"), "{ran:?}");
    }
}

async fn two_histories_are_found(town: &Town, liar: &Liar, here: (u64, B256)) {
    let (told, shown) = (liar.log(&[(1, here), (2, here)]), liar.log(&[(1, here), (3, here), (4, here)]));
    town.write("guest.json", &serde_json::to_vec(&told).unwrap());
    let node = liar.serve(shown.clone()).await;
    let ran = town.run(&format!("audit --node {node} --anchor root.der --held guest.json --json")).await;
    assert_eq!((ran.code, findings(&ran)), (1, vec![("equivocation".to_owned(), 1)]), "{ran:?}");
    // The same by an archive, which keeps what it saw first.
    let first = liar.serve(told).await;
    assert_eq!(told_of(town, &first).await, Vec::new());
    assert_eq!(told_of(town, &node).await, [("equivocation".to_owned(), 1)]);
    assert_eq!(told_of(town, &node).await, [("equivocation".to_owned(), 1)]);
    assert_eq!(told_of(town, &first).await, Vec::new());
    // A log with a hole.
    let holed = liar.serve([&shown[..1], &shown[2..]].concat()).await;
    let ran = town.run(&format!("audit --node {holed} --anchor root.der --json")).await;
    assert_eq!((ran.code, findings(&ran)), (1, vec![("gap".to_owned(), 1)]), "{ran:?}");
}

async fn told_of(town: &Town, node: &str) -> Vec<(String, u64)> {
    findings(&town.run(&format!("audit --node {node} --anchor root.der --archive liar --json")).await)
}

async fn other_block_is_found(town: &Town, liar: &Liar) {
    let block = town.world.chain().block(1u64).unwrap();
    let (right, wrong) = ((1, block.hash()), (1, B256::repeat_byte(7)));
    let node = liar.serve(liar.log(&[(1, right), (1, wrong)])).await;
    let ran = town.run(&format!("audit --node {node} --anchor root.der --json")).await;
    assert_eq!((ran.code, findings(&ran)), (1, vec![("block".to_owned(), 1)]), "{ran:?}");
}

async fn what_cannot_be_asked_is_no_finding(town: &Town, liar: &Liar, here: (u64, B256)) {
    let node = liar.keys.address();
    let somebody_else = Liar::new(10, &town.config.deployment);
    let other =
        somebody_else.serve(somebody_else.log(&[(1, here)])).await.split_once('=').unwrap().1.to_owned();
    let far = liar.serve(liar.log(&[(1, (1 << 40, B256::repeat_byte(7)))])).await;
    for (given, why) in [
        (format!("{node}"), "--node ADDRESS=URL"),
        (format!("{node}=http://127.0.0.1:1"), "unreachable"),
        (format!("{node}={other}"), "answers there"),
        (far, "has no block"),
    ] {
        let ran = town.run(&format!("audit --node {given} --anchor root.der --json")).await;
        assert_eq!((ran.code, findings(&ran)), (75, Vec::new()), "{ran:?}");
        assert!(told(&ran)["nodes"][0]["missing"].as_str().unwrap().contains(why), "{ran:?}");
    }
}

async fn bad_input_is_refused(town: &Town, liar: &Liar, here: (u64, B256)) {
    let node = liar.serve(liar.log(&[(1, here)])).await;
    let mut forged = liar.log(&[(1, here)]);
    forged[0].judged_at += 1;
    town.write("forged.json", &serde_json::to_vec(&forged).unwrap());
    town.write("garbage.json", b"{}");
    let run = async |rest: &str| town.run(&format!("audit --node {node} --anchor root.der {rest}")).await;
    assert!(run("--held forged.json").await.error(65).contains("not signed"));
    assert!(run("--held garbage.json").await.error(65).contains("no receipt"));
    assert!(run("--held nowhere.json").await.error(65).contains("cannot read"));
    assert!(run("--held allowed.json").await.error(65).contains("which is not audited"));
    std::fs::create_dir_all(town.dir.path().join("damaged")).unwrap();
    town.write(&format!("damaged/{:#x}.jsonl", liar.keys.address()), b"{}\n");
    assert!(run("--archive damaged").await.error(65).contains("line 1"));
    // What an audit was stopped at is written again.
    std::fs::create_dir_all(town.dir.path().join("cut")).unwrap();
    town.write(&format!("cut/{:#x}.jsonl", liar.keys.address()), b"{\"node\":");
    assert_eq!(run("--archive cut").await.code, 0);
    assert_eq!(run("--archive cut").await.code, 0);
    assert_eq!(town.run("audit --node nonsense").await.code, 2);
}
