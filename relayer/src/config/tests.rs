// SPDX-License-Identifier: Apache-2.0 OR MIT
use mandate_runtime::config::load_from;

use super::*;

const DEPLOYMENT: &str = r#"
[deployment]
chain_id = 31337
kms_auth = "0x1111111111111111111111111111111111111111"
committee = "0x2222222222222222222222222222222222222222"
domain_registry = "0x3333333333333333333333333333333333333333"
app_implementation = "0x4444444444444444444444444444444444444444"
role_council = "0x5555555555555555555555555555555555555555"
genesis_block = 0
"#;

const REST: &str = r#"
listen = "127.0.0.1:8700"
gateways = ["http://127.0.0.1:8443"]
[chain]
poll = "250ms"
[[chain.endpoints]]
url = "https://rpc.example/token-of-ours"
requests_per_second = 20
[[chain.endpoints]]
url = "wss://other.example/token-of-ours"
name = "other"
[[chain.endpoints]]
url = "https://third.example"
[store]
path = "relayer.sqlite"
"#;

const KEY: &str = "0x0101010101010101010101010101010101010101010101010101010101010101";

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    load_from(file.path(), ENV_PREFIX, env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

#[test]
fn a_whole_configuration_is_read_and_its_key_comes_from_the_environment() {
    let config = load(&format!("{REST}{DEPLOYMENT}"), &[("MANDATE_RELAYER_SIGNER__KEY", KEY)]).unwrap();
    assert_eq!(config.chain.poll, Duration::from_millis(250));
    assert_eq!(config.mailbox.per_recipient, 1_024);
    assert_eq!(config.chain.quorum(), 2);
    assert_eq!((config.chain.name(0).as_str(), config.chain.name(1).as_str()), ("endpoint-1", "other"));
    assert!(config.signer.signer().is_ok());
    assert_eq!(config.deployment.chain_id, 31_337);
}

#[test]
fn every_mistake_is_named_at_once() {
    let text = format!(
        "{}\nunknown_section = 1\n[effects]\nattempts = 0\n[effects.retry]\nfirst = \"0s\"\n{DEPLOYMENT}",
        "listen = \"nowhere\"\ngateways = [\"ftp://x\"]\n[chain]\npoll = \"0s\"\n[signer]\n",
    );
    let errors = load(&text, &[("MANDATE_RELAYER_SENDER__IN_FLIGHT", "0")]).unwrap_err();
    let paths: Vec<&str> = errors.problems().iter().map(|p| p.path.as_str()).collect();
    for path in [
        "listen",
        "gateways[0]",
        "chain.endpoints",
        "chain.poll",
        "store",
        "signer.unknown_section",
        "effects.attempts",
        "effects.retry.first",
        "sender.in_flight",
    ] {
        assert!(paths.contains(&path), "{path} is not in {errors}");
    }
}

#[test]
fn g12_neither_key_nor_token_is_shown() {
    let config = load(&format!("{REST}{DEPLOYMENT}"), &[("MANDATE_RELAYER_SIGNER__KEY", KEY)]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("0101010101") && !shown.contains("token-of-ours"), "{shown}");
    let bad = SignerConfig { key: Some(Secret::new("0xdeadbeefdeadbeef".to_owned())), key_file: None };
    assert!(!bad.signer().unwrap_err().to_string().contains("deadbeef"));
}

#[test]
fn two_keys_are_as_wrong_as_none() {
    let both = "\n[signer]\nkey_file = \"x\"\n";
    let errors =
        load(&format!("{REST}{DEPLOYMENT}{both}"), &[("MANDATE_RELAYER_SIGNER__KEY", KEY)]).unwrap_err();
    assert!(errors.to_string().contains("exactly one"), "{errors}");
}

#[test]
fn a_relayer_has_one_database_and_its_password_is_not_shown() {
    let key = [("MANDATE_RELAYER_SIGNER__KEY", KEY)];
    let rest = |store: &str| format!("{REST}{DEPLOYMENT}").replace("path = \"relayer.sqlite\"", store);
    let url = "url = \"postgres://relayer:hunter2@db/mandate\"";
    let config = load(&rest(url), &key).unwrap();
    assert!(config.store.path.is_none() && !format!("{config:?}").contains("hunter2"));
    for (store, problem) in [
        (String::new(), "exactly one of `path` and `url`"),
        (format!("path = \"x\"\n{url}"), "exactly one of `path` and `url`"),
        ("url = \"mysql://hunter2\"".to_owned(), "must be a postgres:// URL"),
    ] {
        let errors = load(&rest(&store), &key).unwrap_err().to_string();
        assert!(errors.contains(problem) && !errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn endpoints_that_cannot_work_are_named() {
    let text = format!("{REST}{DEPLOYMENT}")
        .replace("poll = \"250ms\"", "quorum = 4")
        .replace("https://third.example", "ftp://third.example\"\nname = \"other");
    let errors = load(&text, &[("MANDATE_RELAYER_SIGNER__KEY", KEY)]).unwrap_err();
    let paths: Vec<&str> = errors.problems().iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["chain.endpoints[2].url", "chain.endpoints[2].name", "chain.quorum"]);
    let none = format!("{REST}{DEPLOYMENT}").replace("requests_per_second = 20", "requests_per_second = 0");
    let errors = load(&none, &[("MANDATE_RELAYER_SIGNER__KEY", KEY)]).unwrap_err();
    assert!(errors.to_string().contains("requests_per_second"), "{errors}");
}
