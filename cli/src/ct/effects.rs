// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is told what: a line on stdout, a webhook, the chain. Each is told at least once, however often the monitor crashes,
//! and under the same id each time.

use std::path::Path;

use http::Uri;
use mandate_relayer::effects::webhook::{ID_HEADER, SIGNATURE_HEADER, signature};
use mandate_runtime::{
    Clock,
    config::{Secret, secret_file},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    chain::{Registry, Reported},
    fetch::Fetch,
    state::{Alarm, Finding},
};
use crate::{
    error::{CliError, Result},
    output::printable,
};

/// The shortest secret that may sign, in bytes; as for the relayer's webhooks.
const MIN_SECRET: usize = 16;

/// A webhook's receiver.
#[derive(Debug)]
pub(crate) struct Webhook {
    url: Secret,
    secret: Secret,
}

impl Webhook {
    pub(crate) fn new(url: &str, secret: &Path) -> Result<Self> {
        let bad = |what: &str| CliError::config(format!("--webhook {what}"));
        let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let local = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if local => {}
            _ => return Err(bad("must be an https URL, or an http one on this machine")),
        }
        let secret =
            secret_file(secret).map_err(|e| CliError::config(format!("--webhook-secret-file: {e}")))?;
        if secret.len() < MIN_SECRET {
            return Err(CliError::config(format!(
                "--webhook-secret-file: the secret must have at least {MIN_SECRET} bytes"
            )));
        }
        Ok(Self { url: Secret::new(url.to_owned()), secret: Secret::new(secret.as_str().to_owned()) })
    }

    /// Sends `body` under its own id; sending it again does no harm. No error text holds the URL, which may be a secret.
    pub(super) async fn deliver(
        &self,
        fetch: &Fetch,
        clock: &dyn Clock,
        body: &Value,
    ) -> std::result::Result<(), String> {
        let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
        let bytes = body.to_string().into_bytes();
        let signed = signature(&self.secret, clock.unix(), id, &bytes).ok_or("it cannot be signed")?;
        let headers = [(ID_HEADER, id), (SIGNATURE_HEADER, signed.as_str())];
        let status = fetch.post(self.url.expose(), &headers, bytes).await;
        let status = status.map_err(|e| e.replace(self.url.expose(), "…"))?;
        if status.is_success() { Ok(()) } else { Err(format!("it answers {status}")) }
    }
}

/// An incident as JSON: the fields of the relayer's webhooks, and its own.
pub(super) fn incident(
    finding: &Finding,
    app: Option<&alloy::primitives::Address>,
    chain_id: Option<u64>,
) -> Value {
    let what = sentence(finding);
    json!({
        "event": "incident",
        "id": format!("ct:{}:{}:{}", chain_id.unwrap_or(0), finding.domain, finding.fingerprint),
        "chainId": chain_id, "app": app, "what": what, "text": what,
        "domain": finding.domain, "fingerprint": finding.fingerprint, "spkiHash": finding.spki,
        "precertificate": finding.precertificate, "issuer": finding.issuer, "notAfter": finding.not_after,
        "log": finding.log, "index": finding.index, "since": finding.since,
    })
}

/// A log's misdeed as JSON.
pub(super) fn alarm(alarm: &Alarm) -> Value {
    let what = format!("CT log {} misbehaves: {}", alarm.log, alarm.what);
    let digest = Sha256::digest(format!("{}\n{}\n{}", alarm.log, alarm.what, alarm.at));
    json!({
        "event": "log-alarm", "id": format!("ct-log:{}", hex::encode(digest)),
        "log": alarm.log, "misdeed": alarm.misdeed, "what": what, "text": what, "evidence": alarm.evidence, "at": alarm.at,
    })
}

/// Others' words last, and nothing that a terminal would obey.
fn sentence(finding: &Finding) -> String {
    let kind = if finding.precertificate { "precertificate" } else { "certificate" };
    let text = format!(
        "{}: {kind} {} is not recorded; it is in {} at {}, issued by {}",
        finding.domain, finding.fingerprint, finding.log, finding.index, finding.issuer
    );
    printable(&text)
}

/// What became of a report, for stderr.
pub(super) async fn report(registry: &Registry, finding: &Finding) -> Result<String> {
    let (domain, fingerprint) = (&finding.domain, finding.fingerprint);
    Ok(match registry.report(finding).await? {
        Reported::Sent(transaction) => {
            format!("{domain}: {fingerprint} is reported in transaction {transaction}")
        }
        Reported::Needless(why) => format!("{domain}: {fingerprint} needs no report: {why}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn hook(url: &str, secret: &str, mode: u32) -> Result<Webhook> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, secret).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Webhook::new(url, &path)
    }

    #[test]
    fn webhook_is_refused_in_the_clear_with_a_short_secret_or_an_open_file() {
        let secret = "0123456789abcdef";
        assert!(hook("https://hooks.example/x", secret, 0o600).is_ok());
        assert!(hook("http://127.0.0.1:8080/x", secret, 0o600).is_ok());
        for (url, secret, mode) in [
            ("http://hooks.example/TOKEN", secret, 0o600),
            ("TOKEN", secret, 0o600),
            ("https://hooks.example/TOKEN", "short", 0o600),
            ("https://hooks.example/TOKEN", secret, 0o644),
        ] {
            let error = hook(url, secret, mode).unwrap_err().to_string();
            assert!(!error.contains("TOKEN") && !error.contains("short\""), "{error}");
        }
    }
}
