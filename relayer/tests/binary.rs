// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program's exit codes and last words.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    path::Path,
    process::{Command, Output},
};

const KEY: &str = "0x0101010101010101010101010101010101010101010101010101010101010101";

fn run(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mandate-relayer"));
    command.args(arguments).envs(env.iter().copied()).output().unwrap()
}

fn words(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Complete but for the database and the signer.
const CONFIG: &str = r#"
listen = "127.0.0.1:8700"
[[chain.endpoints]]
url = "http://127.0.0.1:1/access-token"
[deployment]
chain_id = 31337
genesis_block = 0
kms_auth = "0x1111111111111111111111111111111111111111"
committee = "0x2222222222222222222222222222222222222222"
domain_registry = "0x3333333333333333333333333333333333333333"
app_implementation = "0x4444444444444444444444444444444444444444"
role_council = "0x5555555555555555555555555555555555555555"
"#;

/// A configuration with a database in `dir` and an endpoint where nobody listens.
fn config(dir: &Path) -> String {
    let text = format!("{CONFIG}[store]\npath = \"{}\"\n", dir.join("db").display());
    let path = dir.join("relayer.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn bad_flags_and_bad_configuration_end_in_64() {
    let (code, said) = words(&run(&["--colour"], &[]));
    assert_eq!(code, Some(64), "{said}");
    let (code, said) = words(&run(&["--config", "/nowhere/relayer.toml"], &[]));
    assert_eq!((code, said.lines().count()), (Some(64), 1), "{said}");
    assert!(said.contains("/nowhere/relayer.toml: cannot be read"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let file = config(dir.path());
    let (code, said) = words(&run(&["--config", &file], &[]));
    assert_eq!((code, said.lines().count()), (Some(64), 1), "{said}");
    assert!(said.contains("signer"), "{said}");
}

#[test]
fn a_good_configuration_passes_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let file = config(dir.path());
    let output = run(&["--config", &file, "--check"], &[("MANDATE_RELAYER_SIGNER__KEY", KEY)]);
    assert_eq!(words(&output), (Some(0), String::new()));
    assert!(!dir.path().join("db").exists(), "a check leaves nothing behind");
}

#[test]
fn g12_a_missing_endpoint_ends_in_69_without_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = config(dir.path());
    let (code, said) = words(&run(&["--config", &file], &[("MANDATE_RELAYER_SIGNER__KEY", KEY)]));
    assert_eq!((code, said.lines().count()), (Some(69), 1), "{said}");
    assert!(said.contains("chain.endpoints") && !said.contains("access-token"), "{said}");
}
