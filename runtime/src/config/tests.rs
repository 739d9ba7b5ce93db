// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::{io::Write, net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    listen: SocketAddr,
    chain: Chain,
    token: Option<Secret>,
    #[serde(default)]
    peers: Vec<Peer>,
    rules: Option<Rules>,
    name: Option<DomainName>,
}

#[derive(Debug, Deserialize)]
struct Chain {
    url: String,
    confirmations: u64,
    #[serde(with = "duration")]
    poll: Duration,
    label: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rules {
    Strict,
    Lenient,
}

/// A value of a shape of its own.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct DomainName(String);

impl TryFrom<String> for DomainName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains('.') { Ok(Self(text)) } else { Err("a name has at least two labels") }
    }
}

#[derive(Debug, Deserialize)]
struct Peer {
    port: u16,
}

impl Validate for Example {
    fn validate(&self, problems: &mut Problems) {
        problems.require(self.chain.url.starts_with("http"), "chain.url", "must be http or https");
        problems.require(self.chain.confirmations > 0, "chain.confirmations", "must be above 0");
    }
}

const GOOD: &str = r#"
listen = "127.0.0.1:80"
[chain]
url = "http://localhost"
confirmations = 3
poll = "100ms"
"#;

fn with(text: &str, env: &[(&str, &str)]) -> Result<Example, ConfigErrors> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    load_from(file.path(), "EX", env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

fn problems(text: &str, env: &[(&str, &str)]) -> Vec<(String, String)> {
    let errors = with(text, env).unwrap_err();
    errors.problems().iter().map(|p| (p.path.clone(), p.what.clone())).collect()
}

fn paths(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    problems(text, env).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn a_good_file_is_read() {
    let config = with(&format!("{GOOD}\n[[peers]]\nport = 7"), &[]).unwrap();
    assert_eq!(config.peers[0].port, 7);
    assert_eq!(config.chain.poll, Duration::from_millis(100));
    assert_eq!(config.listen.port(), 80);
    assert!(config.token.is_none());
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = r#"
        listen = "nonsense"
        colour = "red"
        [chain]
        url = "ftp://x"
        poll = "soon"
        speed = 3
        [[peers]]
        port = 70000
        [[peers]]
    "#;
    let mut found = paths(text, &[]);
    found.sort();
    let expected = [
        "chain.confirmations",
        "chain.poll",
        "chain.speed",
        "chain.url",
        "colour",
        "listen",
        "peers[0].port",
        "peers[1].port",
    ];
    assert_eq!(found, expected);
}

#[test]
fn reading_goes_on_after_a_word_or_name_that_is_none() {
    let text = format!("rules = \"hunter2\"\nname = \"x\"\n{}", GOOD.replace("= 3", "= 0"));
    let expected = [
        ("rules", "unknown variant, expected `strict` or `lenient`"),
        ("name", "a name has at least two labels"),
        ("chain.confirmations", "must be above 0"),
    ];
    let found = problems(&text, &[]);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (path, what) in expected {
        assert!(found.contains(&(path.to_owned(), what.to_owned())), "{path} in {found:?}");
    }
    let good = with(&format!("rules = \"strict\"\nname = \"a.b\"\n{GOOD}"), &[]).unwrap();
    assert!(matches!(good.rules, Some(Rules::Strict)));
    assert_eq!(good.name.unwrap().0, "a.b");
}

#[test]
fn missing_sections_report_their_fields_too() {
    let mut found = paths("", &[]);
    found.sort();
    assert_eq!(found, ["chain", "chain.confirmations", "chain.poll", "chain.url", "listen"]);
}

#[test]
fn environment_overrides_the_file() {
    let env = [
        ("EX_CHAIN__CONFIRMATIONS", "9"),
        ("EX_LISTEN", "[::1]:8080"),
        ("EX_CHAIN__LABEL", "12"),
        ("PATH", "/bin"),
    ];
    let config = with(GOOD, &env).unwrap();
    assert_eq!(config.chain.confirmations, 9);
    assert_eq!(config.listen.port(), 8080);
    assert_eq!(config.chain.label.as_deref(), Some("12"), "a number can be meant as text");
}

#[test]
fn a_bad_override_names_its_variable() {
    let found = problems(GOOD, &[("EX_CHAIN__CONFIRMATIONS", "many"), ("EX_CHAIN__SPED", "1")]);
    assert!(
        found.iter().any(|(p, w)| p == "chain.confirmations" && w.contains("EX_CHAIN__CONFIRMATIONS")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|(p, w)| p == "chain.sped" && w.contains("unknown") && w.contains("EX_CHAIN__SPED")),
        "{found:?}"
    );
}

#[test]
fn an_unreadable_file_is_one_line() {
    let e = load_from::<Example>(Path::new("/nowhere/x.toml"), "EX", []).unwrap_err();
    assert!(
        e.to_string().starts_with("/nowhere/x.toml: cannot be read") && e.to_string().lines().count() == 1
    );
}

#[test]
fn g12_values_never_appear_in_a_report() {
    let hidden = "hunter2hunter2";
    let cases = [
        format!("{GOOD}\n[[peers]]\nport = \"{hidden}\""),
        format!("token = \"{hidden}"),
        format!("token = \"{hidden}\"\nlisten = \"{hidden}\""),
        format!("listen = {{ a = \"{hidden}\" }}"),
    ];
    for case in &cases {
        let e = with(case, &[("EX_CHAIN__POLL", hidden)]).unwrap_err();
        assert!(!format!("{e} {e:?}").contains(hidden), "{e}");
    }
    let number = with("token = 424242", &[]).unwrap_err();
    assert!(!number.to_string().contains("424242"), "{number}");
    let config = with(&format!("token = \"{hidden}\"\n{GOOD}"), &[]).unwrap();
    assert!(!format!("{config:?}").contains(hidden));
    assert_eq!(config.token.unwrap().expose(), hidden);
}

#[test]
fn g12_secret_file_must_be_private() {
    use std::os::unix::fs::PermissionsExt;

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), " key \n").unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(secret_file(file.path()), Err(SecretFileError::TooOpen { mode: 0o640, .. })));
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(secret_file(file.path()).unwrap().as_str(), "key");
}
