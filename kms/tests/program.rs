// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program: what it says and how it ends when it cannot start.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{path::Path, process::Command};

const GOOD: &str = r#"
    listen = "127.0.0.1:0"
    data_dir = "data"
    relayer = "http://127.0.0.1:9"
    [chain]
    chain_id = 31337
    rpc = ["http://127.0.0.1:9/token"]
    kms_auth = "0x00000000000000000000000000000000000000aa"
    committee = "0x00000000000000000000000000000000000000bb"
    rules = "dev"
    [log]
    filter = "error"
"#;

/// Runs it with this configuration; exit code, standard output, standard error.
fn run(config: Option<&str>, flags: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().unwrap();
    if let Some(text) = config {
        std::fs::write(dir.path().join("kms.toml"), text).unwrap();
    }
    let program = Path::new(env!("CARGO_BIN_EXE_mandate-kms"));
    let done = Command::new(program).args(flags).current_dir(dir.path()).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

#[test]
fn check_accepts_a_good_configuration_and_starts_nothing() {
    let (code, out, err) = run(Some(GOOD), &["--config", "kms.toml", "--check"]);
    assert_eq!((code, out.trim(), err.as_str()), (0, "kms.toml: ok", ""));
}

#[test]
fn unreadable_and_bad_configurations_end_with_64() {
    let (code, _, err) = run(None, &["--config", "kms.toml"]);
    assert_eq!((code, err.lines().count()), (64, 1), "{err}");
    assert!(err.contains("kms.toml"));
    let bad = GOOD.replace("listen = \"127.0.0.1:0\"", "listen = \"nowhere\"").replace("chain_id", "chain");
    let (code, _, err) = run(Some(&bad), &["--config", "kms.toml"]);
    assert_eq!(code, 64);
    assert!(err.contains("listen") && err.contains("chain.chain_id"), "{err}");
}

#[test]
fn unknown_flags_end_with_64() {
    assert_eq!(run(None, &["--confi"]).0, 64);
}

#[test]
fn g12_silent_endpoints_and_missing_trust_anchors_end_with_one_line_without_tokens() {
    let (code, _, err) = run(Some(GOOD), &["--config", "kms.toml"]);
    assert_eq!((code, err.lines().count()), (69, 1), "{err}");
    assert!(err.contains("none of the 1 RPC endpoints answers") && !err.contains("token"), "{err}");
    let anchored = format!("trust_anchors = {{ tdx_root = \"root.der\" }}\n{GOOD}");
    let (code, _, err) = run(Some(&anchored), &["--config", "kms.toml", "--check"]);
    assert_eq!(code, 64);
    assert!(err.contains("root.der"), "{err}");
}

#[test]
fn latch_is_cleared_by_an_operator_and_by_nothing_else() {
    use mandate_kms::{
        NodeKeys,
        store::{Owner, Store},
    };
    use mandate_runtime::entropy::SeededEntropy;
    use mandate_witness::Contradiction;

    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let text = GOOD.replace("\"data\"", &format!("{data:?}"));
    std::fs::write(dir.path().join("kms.toml"), text).unwrap();
    let keys = NodeKeys::load_or_create(&data.join("development.key"), &SeededEntropy::from_u64(1)).unwrap();
    let address = |byte| alloy::primitives::Address::with_last_byte(byte);
    let owner =
        Owner { node: keys.address(), chain_id: 31337, kms_auth: address(0xaa), committee: address(0xbb) };
    let (first, second) = (alloy::primitives::B256::ZERO, alloy::primitives::B256::repeat_byte(1));
    let seen =
        Contradiction { height: 7, first, first_from: "rpc 0".into(), second, second_from: "rpc 1".into() };
    Store::open(&data, &owner).unwrap().put_latch(&seen).unwrap();
    let run = |flag: &str| {
        let program = Path::new(env!("CARGO_BIN_EXE_mandate-kms"));
        let args = ["--config", "kms.toml", flag];
        let done = Command::new(program).args(args).current_dir(dir.path()).env_clear().output().unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
    };
    let clear = || run("--clear-latch");
    let (code, said) = clear();
    assert!(code == 0 && said.contains("cleared: at height 7") && said.contains("rpc 1"), "{said}");
    assert_eq!(clear(), (0, "nothing to clear\n".into()));
    let (code, shown) = run("--keys");
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let own = [keys.dealing_public(), keys.sealing_public()].map(|key| key.to_string());
    let address: alloy::primitives::Address = shown["node"].as_str().unwrap().parse().unwrap();
    assert_eq!((code, address), (0, keys.address()));
    assert_eq!([&shown["dealingKey"], &shown["sealingKey"]], [&own[0], &own[1]]);
    // A path that is wrong must not make a new node of this one.
    std::fs::remove_file(data.join("development.key")).unwrap();
    assert_eq!(clear().0, 69);
    assert!(!data.join("development.key").exists());
}
