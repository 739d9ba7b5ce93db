// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The operator's commands as a shell runs them, on a database that a relayer has filled.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use common::{World, code, settle, world};
use mandate_relayer::store::{Latch, Lock, SignedTx, Store};
use serde_json::Value;

struct Shell {
    config: String,
}

impl Shell {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mandate-relayer"));
        // No key in sight: the commands need none.
        command.args(["--config", &self.config]).args(arguments).env_clear().output().unwrap()
    }

    /// What a command that succeeds says.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", err(&output));
        assert!(output.stderr.is_empty(), "{}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(output.stdout.is_empty());
        (output.status.code().unwrap(), err(&output))
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A configuration file for the database in `dir`, and a store beside it.
async fn shell(world: &World, dir: &Path) -> (Shell, Arc<dyn Store>) {
    let d = &world.deployment;
    let database = dir.join("relayer.sqlite");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[[chain.endpoints]]\nurl = \"http://127.0.0.1:1\"\n[store]\npath = \"{}\"\n[deployment]\nchain_id = {}\n\
         genesis_block = 1\nkms_auth = \"{}\"\ncommittee = \"{}\"\ndomain_registry = \"{}\"\napp_implementation = \"{}\"\n\
         role_council = \"{}\"\n",
        database.display(),
        d.chain_id,
        d.kms_auth,
        d.committee,
        d.domain_registry,
        d.app_implementation,
        d.role_council
    );
    let config = dir.join("relayer.toml");
    std::fs::write(&config, text).unwrap();
    (Shell { config: config.display().to_string() }, world.store(&database).await)
}

/// Two pushes that wait and a nonce that waits.
async fn filled(world: &World, store: &Arc<dyn Store>) {
    let mut follower = world.follower(Arc::clone(store));
    settle(&mut follower).await;
    world.revoke(world.app, code(1)).await;
    settle(&mut follower).await;
    let submission = world.nonce(&world.nodes[0], 1);
    let node = world.nodes[0].address();
    let new = mandate_relayer::effects::NewEffect::of_submission(&world.contracts(), node, submission);
    store.enqueue(vec![new]).await.unwrap();
}

fn keys(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|e| e["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn outbox_is_listed_shown_cancelled_and_tried_again_beside_a_relayer() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(4, ["http://node-1:1", "http://node-2:1"]).await;
    let (shell, store) = shell(&world, dir.path()).await;
    filled(&world, &store).await;

    let all = shell.json(&["outbox", "list"]);
    assert_eq!(keys(&all).len(), 4, "{all}");
    let nonces = shell.json(&["outbox", "list", "--kind", "nonce", "--state", "pending"]);
    let nonce = keys(&nonces).remove(0);
    assert!(keys(&shell.json(&["outbox", "list", "--state", "done"])).is_empty());
    assert_eq!(keys(&shell.json(&["outbox", "list", "--limit", "2"])).len(), 2);
    assert!(shell.says(&["outbox", "list"]).lines().any(|line| line.contains("revocation_push")));

    let shown = shell.json(&["outbox", "show", &nonce]);
    assert_eq!((shown["state"].as_str(), shown["kind"].as_str()), (Some("pending"), Some("nonce")));
    assert!(shell.says(&["outbox", "show", &nonce]).contains(&nonce));

    let said = shell.says(&["outbox", "cancel", &nonce]);
    assert!(said.contains("cancelled") && said.contains("outbox retry"), "{said}");
    assert_eq!(store.effect_state(nonce.clone()).await.unwrap().as_deref(), Some("cancelled"));
    assert!(shell.says(&["outbox", "retry", &nonce]).contains("tries it again"));
    assert_eq!(store.effect_state(nonce.clone()).await.unwrap().as_deref(), Some("pending"));

    // Once it was sent, cancelling says that it may still be mined.
    let signer = common::payer().address();
    assert!(store.hold(Lock::Signer(signer)).await.unwrap());
    let claimed = store.claim(mandate_relayer::store::Lane::Chain, 1).await;
    assert_eq!(claimed.unwrap()[0].key, nonce);
    let hash = alloy::primitives::B256::repeat_byte(7);
    let tx = SignedTx { hash, signer, nonce: 0, max_fee: 1, priority_fee: 1, raw: Default::default() };
    assert!(store.keep_transaction(nonce.clone(), tx).await.unwrap());
    let said = shell.says(&["outbox", "cancel", &nonce]);
    assert!(said.contains(&hash.to_string()) && said.contains("may still be mined"), "{said}");

    store.complete(nonce.clone(), Vec::new()).await.unwrap();
    let (code, said) = shell.fails(&["outbox", "cancel", &nonce]);
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert_eq!(shell.fails(&["outbox", "retry", &nonce]).0, 1);
    for command in ["show", "cancel", "retry"] {
        let (code, said) = shell.fails(&["outbox", command, "no-such-key"]);
        assert_eq!((code, said.contains("no effect has the key")), (1, true), "{said}");
    }
    assert_eq!(shell.fails(&["outbox", "list", "--state", "lost"]).0, 64);
}

#[tokio::test]
async fn latches_are_listed_and_cleared_and_the_status_tells_all() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(4, ["http://node-1:1", "http://node-2:1"]).await;
    let (shell, store) = shell(&world, dir.path()).await;
    filled(&world, &store).await;
    assert_eq!(shell.json(&["latch", "list"]), Value::Array(Vec::new()));
    assert_eq!(shell.says(&["latch", "list"]), "");
    let detail = "block 7 was two blocks".to_owned();
    let latch = Latch { kind: "finality".to_owned(), detail, block: None, since: 1_700_000_000 };
    store.set_latch(latch).await.unwrap();
    assert!(shell.says(&["latch", "list"]).contains("block 7 was two blocks"));

    let status = shell.json(&["status"]);
    assert_eq!(status["chainId"], 31_337);
    assert_eq!(status["head"]["number"].as_u64(), Some(world.chain.head().number()));
    assert_eq!(status["latches"][0]["kind"], "finality");
    let pushes =
        status["outbox"].as_array().unwrap().iter().find(|d| d["kind"] == "revocation_push").unwrap();
    assert_eq!((pushes["state"].as_str(), pushes["count"].as_u64()), (Some("pending"), Some(3)));
    assert!(shell.says(&["status"]).contains("finality"));

    assert!(shell.says(&["latch", "clear", "finality"]).contains("grants go on"));
    assert_eq!(shell.fails(&["latch", "clear", "finality"]).0, 1);
    assert!(store.latches().await.unwrap().is_empty());
}

#[tokio::test]
async fn commands_without_a_database_or_configuration_end_in_69_and_64() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(4, ["http://node-1:1", "http://node-2:1"]).await;
    let (shell, store) = shell(&world, dir.path()).await;
    drop(store);
    std::fs::remove_file(dir.path().join("relayer.sqlite")).unwrap();
    let (code, said) = shell.fails(&["status"]);
    assert_eq!((code, said.contains("has the relayer run yet")), (69, true), "{said}");
    assert!(!dir.path().join("relayer.sqlite").exists(), "a question makes no database");
    for rest in ["relayer.sqlite-wal", "relayer.sqlite-shm"] {
        let _ = std::fs::remove_file(dir.path().join(rest));
    }
    std::fs::write(dir.path().join("relayer.sqlite"), "not a database at all ".repeat(100)).unwrap();
    assert_eq!(shell.fails(&["status"]).0, 69);
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_mandate-relayer")).args(arguments).env_clear().output().unwrap()
    };
    let missing = run(&["status"]);
    assert_eq!((missing.status.code(), err(&missing).contains("--config")), (Some(64), true));
    let completions = run(&["completions", "bash"]);
    assert_eq!(completions.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&completions.stdout).contains("mandate-relayer"));
}
