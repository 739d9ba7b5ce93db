// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What developers, voters and auditors do from a shell, from the first command to the last.

use std::time::Duration;

use alloy::primitives::{Address, B256};
use mandate_devchain::JUNK_MNEMONIC;
use serde_json::{Value, json};

use crate::shell::Shell;

const CODE: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";
/// More than an hour: blocks that follow each other at once run ahead of the clock.
const HOUR: Duration = Duration::from_secs(3660);
/// The first account of the mnemonic that every development chain funds.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn is_sent(value: &Value) -> bool {
    value["block"].is_u64() && text(&value["transaction"]).parse::<B256>().is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn developer_registers_schedules_and_revokes() {
    let shell = Shell::deployed().await;
    let registered = shell.json(1, "app register --notice 1h").await;
    assert!(is_sent(&registered), "{registered}");
    assert_eq!(registered["owner"], json!(shell.chain.accounts()[1]));
    let app = text(&registered["app"]);

    let scheduled =
        shell.json(1, &format!("app schedule {app} {CODE} --source https://src.example/v1")).await;
    assert!(is_sent(&scheduled), "{scheduled}");
    assert_eq!(scheduled["state"], "Scheduled");
    shell.pass(HOUR);
    let shown = shell.json(1, &format!("app show {app}")).await;
    assert_eq!(shown["codes"][0]["state"], "Active", "{shown}");
    assert_eq!(shown["codes"][0]["source"], "https://src.example/v1");
    assert_eq!(shown["noticeSeconds"], 3600);

    let state = shell.json(1, &format!("query AppAuth.codeState {CODE} --at {app}")).await;
    assert_eq!(state["state"], "Active", "{state}");
    let revoked = shell.json(1, &format!("app revoke {app} {CODE} --rotate")).await;
    assert!(is_sent(&revoked) && revoked["state"] == "Revoked", "{revoked}");
    let shown = shell.json(1, &format!("app show {app}")).await;
    assert_eq!(
        (&shown["codes"][0]["state"], &shown["generation"]),
        (&json!("Revoked"), &json!(2)),
        "{shown}"
    );

    let refused = shell.run(1, &format!("app schedule {app} {CODE}")).await;
    assert!(refused.error(1).contains("Revoked("), "{refused:?}");
    let refused = shell.run(2, &format!("app revoke {app} {CODE}")).await;
    assert!(refused.error(1).contains("NotAuthorized"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_hash_is_that_of_the_file_as_it_is_booted() {
    let shell = Shell::deployed().await;
    let app = shell.json(0, "app register --notice 1h").await["app"].clone();
    let compose = shell.write("app-compose.json", "{\"name\": \"notes\"}\n");
    let scheduled = shell.json(0, &format!("app schedule {} --compose {compose}", text(&app))).await;
    // printf '{"name": "notes"}\n' | sha256sum
    let hash = "0xe4bfdc48629eeccb23284e3aa66729618c2922452b00c203b6725b137375460a";
    assert_eq!(scheduled["hash"], hash);
}

fn dao(holder: Address) -> String {
    format!(
        "[protocol]\nnotice = \"1day\"\nattestation_period = \"30days\"\nmotion_lifetime = \"14days\"\n\
         roles = [{{ name = \"core\", threshold = 1, members = [\"{holder}\"] }}]\n\
         [dao]\nname = \"Notes DAO\"\nvoting_delay = \"1h\"\nvoting_period = \"1h\"\nveto_window = \"1h\"\n\
         quorum_percent = 20\n[dao.holders]\n\"{holder}\" = 1000\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dao_votes_code_and_a_domain_in() {
    let shell = Shell::new().await;
    let parameters = shell.write("parameters.toml", &dao(shell.chain.accounts()[3]));
    let url = shell.server.http_url();
    let deployed =
        shell.json(0, &format!("deploy --rpc {url} --parameters {parameters} --chain-id 31337")).await;
    let contracts = deployed["deployed"].as_array().unwrap();
    assert!(contracts.iter().all(is_sent), "{deployed}");
    let governor = contracts.iter().find(|c| c["contract"] == "AppGovernor").unwrap();
    let governor = text(&governor["address"]);

    let delegated = shell.json(3, &format!("delegate --governor {governor}")).await;
    assert_eq!(delegated["votes"], "1000", "{delegated}");
    let app = shell.json(1, &format!("app register --notice 1h --owner {governor}")).await;
    let app = text(&app["app"]);

    let refused = shell.run(1, &format!("app schedule {app} {CODE}")).await;
    assert!(refused.error(1).contains("--propose GOVERNOR"), "{refused:?}");
    pass(&shell, governor, &format!("app schedule {app} {CODE} --propose {governor}")).await;
    shell.pass(HOUR);
    let shown = shell.json(1, &format!("app show {app}")).await;
    assert_eq!(shown["codes"][0]["state"], "Active", "{shown}");

    pass(&shell, governor, &format!("domain add notes.example {app} --propose {governor}")).await;
    let domain = shell.json(1, "domain show notes.example").await;
    assert_eq!(text(&domain["app"]).to_lowercase(), app.to_lowercase(), "{domain}");

    // The same by hand, as calldata: revokeCode(bytes32,bool).
    let data = format!("0x{}{}{:064x}", &hash_of("revokeCode(bytes32,bool)")[..8], &CODE[2..], 0);
    pass(
        &shell,
        governor,
        &format!("propose --governor {governor} --call {app}:{data} --description revoke"),
    )
    .await;
    let shown = shell.json(1, &format!("app show {app}")).await;
    assert_eq!(shown["codes"][0]["state"], "Revoked", "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_is_verified_and_drift_is_named() {
    let shell = Shell::new().await;
    let content = dao(shell.chain.accounts()[3]);
    let parameters = shell.write("parameters.toml", &content);
    let deployed =
        shell.json(0, &format!("deploy --rpc {} --parameters {parameters}", shell.server.http_url())).await;
    let contracts = deployed["deployed"].as_array().unwrap();
    let governor = contracts.iter().find(|c| c["contract"] == "AppGovernor").unwrap();
    let verify = format!("verify deployment --governor {} --json", text(&governor["address"]));

    let verified = shell.run_with(&format!("{verify} --parameters {parameters}"), &[]).await.json();
    assert_eq!(verified["drift"], json!([]), "{verified}");
    assert!(verified["compared"].as_u64().unwrap() > 40, "{verified}");

    let other =
        content.replace("\"1day\"", "\"2days\"").replace("quorum_percent = 20", "quorum_percent = 30");
    let other = shell.write("other.toml", &other);
    let ran = shell.run_with(&format!("{verify} --parameters {other}"), &[]).await;
    assert_eq!((ran.code, ran.stderr.lines().count()), (1, 1), "{ran:?}");
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    let drift: Vec<_> =
        shown["drift"].as_array().unwrap().iter().map(|f| (text(&f["what"]), text(&f["found"]))).collect();
    assert_eq!(drift, [("notice", "86400"), ("notice", "86400"), ("quorumNumerator", "20")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_of_other_code_is_found_out() {
    let shell = Shell::new().await;
    let content = dao(shell.chain.accounts()[3]);
    let parameters = shell.write("parameters.toml", content.split("[dao]").next().unwrap());
    shell.json(0, &format!("deploy --rpc {} --parameters {parameters}", shell.server.http_url())).await;
    let file = std::fs::read_to_string(shell.path("mandate.toml")).unwrap();
    let address = |name: &str| file.lines().find_map(|l| l.strip_prefix(&format!("{name} = "))).unwrap();
    let swapped = file.replace(address("committee"), address("domain_registry"));
    let config = shell.write("swapped.toml", &swapped);
    let ran =
        shell.run_with(&format!("verify deployment --parameters {parameters} --config {config}"), &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
}

fn hash_of(signature: &str) -> String {
    alloy::primitives::keccak256(signature).to_string()[2..].to_owned()
}

/// Proposes by `line`, votes for it, queues and executes it.
async fn pass(shell: &Shell, governor: &str, line: &str) {
    let proposed = shell.json(3, line).await;
    assert!(is_sent(&proposed), "{proposed}");
    let proposal = format!("--governor {governor} {}", text(&proposed["proposal"]));
    let early = shell.run(3, &format!("vote {proposal} for")).await;
    assert!(early.error(1).contains("the proposal is Pending"), "{early:?}");
    shell.pass(HOUR);
    let weightless = shell.run(4, &format!("vote {proposal} for")).await;
    assert!(weightless.error(1).contains("mandate delegate"), "{weightless:?}");
    let voted = shell.json(3, &format!("vote {proposal} for --reason reviewed")).await;
    assert_eq!((&voted["vote"], &voted["votesFor"]), (&json!("for"), &json!("1000")), "{voted}");
    shell.pass(HOUR);
    let queued = shell.json(3, &format!("queue {proposal}")).await;
    assert_eq!(queued["state"], "Queued", "{queued}");
    let early = shell.run(3, &format!("execute {proposal}")).await;
    assert!(early.error(1).contains("execute it after that time"), "{early:?}");
    shell.pass(HOUR);
    let executed = shell.json(3, &format!("execute {proposal}")).await;
    assert_eq!(executed["state"], "Executed", "{executed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_can_be_looked_at_without_a_key() {
    let shell = Shell::deployed().await;
    let status = shell.run_with("status --json", &[]).await.json();
    assert_eq!((&status["chainId"], &status["epoch"]), (&json!(31337), &json!(0)), "{status}");
    assert_eq!(status["head"], json!(shell.chain.head().number()));
    let committee = shell.run_with("committee show --json", &[]).await.json();
    assert_eq!(committee["nodes"], json!([]), "{committee}");
    let shown = shell.run_with("status", &[]).await;
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
    assert!(shown.stdout.contains("noticeSeconds   86400 (1day)"), "{}", shown.stdout);

    for (view, expected) in [
        ("KmsAuth.notice", json!(86400)),
        (
            "KmsAuth.isRegistered 0x0000000000000000000000000000000000000001",
            json!({"registered": false, "foreign": false}),
        ),
        ("RoleCouncil.motionLifetime --block latest", json!(1_209_600)),
    ] {
        assert_eq!(shell.run_with(&format!("query {view} --json"), &[]).await.json(), expected, "{view}");
    }
    let websocket = format!("status --json --rpc {}", shell.server.ws_url());
    assert_eq!(shell.run_with(&websocket, &[]).await.json()["chainId"], 31337);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_from_keystore_mnemonic_file_or_environment() {
    let shell = Shell::deployed().await;
    // Made by `cast wallet import`.
    let keystore = shell.write("key.json", include_str!("keystore.json"));
    let password = shell.write("password", "correct horse\n");
    let mnemonic = shell.write("mnemonic", JUNK_MNEMONIC);
    let register = "app register --notice 1h --json";
    for (flags, env) in [
        (format!("--keystore {keystore} --password-file {password}"), vec![]),
        (format!("--keystore {keystore}"), vec![("MANDATE_PASSWORD", "correct horse")]),
        (format!("--mnemonic-file {mnemonic}"), vec![]),
        (String::new(), vec![("MANDATE_MNEMONIC", JUNK_MNEMONIC)]),
        (String::new(), vec![("MANDATE_PRIVATE_KEY", KEY)]),
    ] {
        let registered = shell.run_with(&format!("{register} {flags}"), &env).await.json();
        assert_eq!(registered["owner"], json!(shell.chain.accounts()[0]), "{flags}");
    }
    let wrong = shell
        .run_with(&format!("{register} --keystore {keystore}"), &[("MANDATE_PASSWORD", "hunter2")])
        .await;
    assert!(!wrong.error(64).contains("hunter2"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shell_has_its_completions() {
    let shell = Shell::new().await;
    for name in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = shell.run_with(&format!("completions {name}"), &[]).await;
        assert_eq!((script.code, script.stderr.as_str()), (0, ""));
        assert!(script.stdout.contains("committee") && script.stdout.contains("schedule"), "{name}");
    }
}
