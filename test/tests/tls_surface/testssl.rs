// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What testssl.sh finds.

use serde::Deserialize;

use crate::{
    programs::{find, run, text},
    world::{DOMAIN, World},
};

/// What it finds and what is no reason to worry.
const EXPLAINED: [(&str, &str); 4] = [
    ("engine_problem", "what the openssl of this machine cannot do"),
    ("RC4", "this openssl has no RC4 to try; the suites are tested by their numbers"),
    (
        "secure_renego",
        "it looks without a server name, which is refused; openssl_cannot_renegotiate looks with one",
    ),
    ("cipher_order", "all suites are strong, so a client takes the one that its processor does best"),
];

/// What must be among the findings, so that it is known to have looked.
const SOUGHT: [(&str, &str); 15] = [
    ("SSLv2", "not offered"),
    ("SSLv3", "not offered"),
    ("TLS1", "not offered"),
    ("TLS1_1", "not offered"),
    ("TLS1_2", "offered"),
    ("TLS1_3", "offered"),
    ("ALPN_HTTP2", "h2"),
    ("BEAST", "not vulnerable"),
    ("cipherlist_AVERAGE", "not offered"),
    ("cipherlist_3DES_IDEA", "not offered"),
    ("cipherlist_STRONG", "offered"),
    ("PFS", "offered"),
    ("heartbleed", "not vulnerable"),
    ("ticketbleed", "not vulnerable"),
    ("LUCKY13", "not vulnerable"),
];

#[derive(Debug, Deserialize)]
struct Finding {
    id: String,
    severity: String,
    finding: String,
}

impl Finding {
    fn is_bad(&self) -> bool {
        !matches!(self.severity.as_str(), "OK" | "INFO" | "LOW" | "DEBUG")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn testssl_finds_nothing_that_is_not_explained() {
    let world = World::start().await;
    let Some(mut command) = find("testssl", "testssl.sh") else { return };
    let report = world.dir().join("report.json");
    command.args(["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1"]);
    command.args(["--add-ca", text(&world.ca_file()), "--jsonfile", text(&report)]);
    // Protocols, suites, forward secrecy, preferences, vulnerabilities; the certificate is the authority's.
    command.args(["--fast", "-p", "-s", "-f", "-P", "-U", &format!("{DOMAIN}:{}", world.port())]);
    let ran = run(command, "").await;
    let findings = std::fs::read_to_string(&report).unwrap_or_else(|e| panic!("{e}: {}", ran.all()));
    let findings: Vec<Finding> = serde_json::from_str(&findings).unwrap();
    for (id, expected) in SOUGHT {
        let found = findings.iter().find(|finding| finding.id == id);
        assert!(found.is_some_and(|f| f.finding.starts_with(expected)), "{id}: {found:?}\n{}", ran.all());
    }
    let bad = findings.iter().filter(|f| f.is_bad() && !EXPLAINED.iter().any(|(id, _)| *id == f.id));
    assert_eq!(bad.map(|f| format!("{} {}: {}", f.severity, f.id, f.finding)).collect::<Vec<_>>(), [""; 0]);
}
