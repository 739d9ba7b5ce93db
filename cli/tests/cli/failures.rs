// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whatever goes wrong ends in one line on stderr and in the exit code that `mandate --help` lists for it.

use std::net::TcpListener;

use alloy::primitives::B256;
use mandate_devchain::JUNK_MNEMONIC;

use crate::shell::Shell;

const SECRET: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

#[tokio::test]
async fn bad_flags_end_in_2() {
    let shell = Shell::new().await;
    for (line, part) in [
        ("--colour", "'--colour'"),
        ("app show", "<APP>"),
        ("app show 0x12", "'0x12'"),
        ("vote --governor 0x0000000000000000000000000000000000000001 7 maybe", "'maybe'"),
        ("app register --notice soon", "'soon'"),
        (
            "propose --governor 0x0000000000000000000000000000000000000001 --call 0x12 --description x",
            "TARGET:DATA",
        ),
        ("reign", "'reign'"),
    ] {
        let ran = shell.run_with(line, &[]).await;
        assert!(ran.error(2).contains(part), "{ran:?}");
    }
}

#[tokio::test]
async fn help_is_asked_for_and_no_error() {
    let shell = Shell::new().await;
    for line in ["--help", "app --help", "demo -h", "--version"] {
        let ran = shell.run_with(line, &[]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line}");
        assert!(ran.stdout.contains("mandate"), "{line}");
    }
}

#[tokio::test]
async fn unreadable_or_invalid_configuration_ends_in_64() {
    let shell = Shell::new().await;
    let missing = shell.run_with("status", &[]).await;
    assert!(
        missing.error(64).contains("mandate.toml") && missing.stderr.contains("mandate deploy"),
        "{missing:?}"
    );
    let directory = shell.run_with(&format!("status --config {}", shell.dir.path().display()), &[]).await;
    assert!(directory.error(64).contains("cannot read config file"), "{directory:?}");
    for (name, text, part) in [
        ("syntax.toml", "rpc = \n", "line 1"),
        ("field.toml", "rpc = \"http://127.0.0.1:1\"\nkms = 1\n", "unknown field `kms`"),
        ("lacking.toml", "rpc = \"http://127.0.0.1:1\"\n", "missing field `deployment`"),
        ("latin1.toml", "rpc = \"\u{0}\"\n", "latin1.toml"),
    ] {
        let file = shell.write(name, text);
        let ran = shell.run_with(&format!("status --config {file}"), &[]).await;
        assert!(ran.error(64).contains(part), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_keys_end_in_64_and_are_not_shown() {
    let shell = Shell::deployed().await;
    let register = "app register --notice 1h";
    let short = SECRET.get(..40).unwrap();
    let words = JUNK_MNEMONIC.replace("junk", "wrong");
    let file = shell.write("words", &words);
    for (flags, env) in [
        (String::new(), vec![]),
        (String::new(), vec![("MANDATE_PRIVATE_KEY", short)]),
        (String::new(), vec![("MANDATE_MNEMONIC", words.as_str())]),
        (format!("--mnemonic-file {file}"), vec![]),
        ("--keystore nowhere.json".to_owned(), vec![("MANDATE_PASSWORD", "hunter2")]),
        (format!("--keystore {file}"), vec![]),
    ] {
        let ran = shell.run_with(&format!("{register} {flags}"), &env).await;
        let line = ran.error(64);
        for secret in [short, words.as_str(), "hunter2"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_config_file_is_not_replaced() {
    let shell = Shell::deployed().await;
    let before = std::fs::read(shell.path("mandate.toml")).unwrap();
    let deploy = format!("deploy --rpc {}", shell.server.http_url());
    let ran = shell.run(0, &deploy).await;
    assert!(ran.error(64).contains("--force"), "{ran:?}");
    assert_eq!(std::fs::read(shell.path("mandate.toml")).unwrap(), before);
    let ran = shell.run(0, &format!("{deploy} --force --parameters nowhere.toml")).await;
    assert!(ran.error(64).contains("nowhere.toml"), "{ran:?}");
    assert_eq!(std::fs::read(shell.path("mandate.toml")).unwrap(), before);
    shell.json(0, &format!("{deploy} --force")).await;
    assert_ne!(std::fs::read(shell.path("mandate.toml")).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meaningless_input_ends_in_65() {
    let shell = Shell::deployed().await;
    let stranger = "0x00000000000000000000000000000000000000ff";
    for (line, part) in [
        ("query KmsAuth".to_owned(), "CONTRACT.function"),
        ("query Kms.owner".to_owned(), "contracts are"),
        ("query KmsAuth.owns".to_owned(), "its views are"),
        ("query KmsAuth.isRegistered".to_owned(), "isRegistered(address"),
        ("query KmsAuth.isRegistered 7".to_owned(), "is no address"),
        ("query AppAuth.owner".to_owned(), "--at ADDRESS"),
        (format!("query AppAuth.owner --at {stranger}"), "no AppAuth there"),
        (format!("app show {stranger}"), "is not registered"),
        ("domain show nowhere.example".to_owned(), "mandate domain add"),
        (format!("app schedule {stranger} --compose nowhere.json"), "nowhere.json"),
        (format!("app revoke {stranger} {}", B256::repeat_byte(1)), "no AppAuth at that address"),
        (format!("vote --governor {stranger} 7 for"), "no AppGovernor"),
        (format!("queue --governor {stranger} 7"), "no proposal 7"),
    ] {
        let ran = shell.run(0, &line).await;
        assert!(ran.error(65).contains(part), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rpc_ends_in_69_without_its_token() {
    let shell = Shell::deployed().await;
    for url in ["http://127.0.0.1:1/v3/token", "ws://user:token@127.0.0.1:1", "gopher://127.0.0.1/token"] {
        let ran = shell.run_with(&format!("status --rpc {url}"), &[]).await;
        let line = ran.error(69);
        assert!(line.contains("127.0.0.1") && !line.contains("token"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taken_port_ends_in_69() {
    let shell = Shell::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ran = shell.run_with(&format!("demo --rpc-port {port}"), &[]).await;
    assert_eq!(ran.code, 69, "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(ran.stderr.contains(&port.to_string()), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_chain_ends_in_76() {
    let shell = Shell::deployed().await;
    let file = std::fs::read_to_string(shell.path("mandate.toml")).unwrap();
    let other = shell.write("other.toml", &file.replace("chain_id = 31337", "chain_id = 1"));
    for line in ["status", "committee show", "app register --notice 1h"] {
        let ran = shell.run(0, &format!("{line} --config {other}")).await;
        assert!(ran.error(76).contains("has chain id 31337"), "{ran:?}");
    }
    let deploy = format!("deploy --config fresh.toml --chain-id 1 --rpc {}", shell.server.http_url());
    let ran = shell.run(0, &deploy).await;
    assert!(ran.error(76).contains("--chain-id is 1"), "{ran:?}");
    assert!(!shell.path("fresh.toml").exists());
}
