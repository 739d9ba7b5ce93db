// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which logs are followed: Google's list of logs, version 3, or a file of one's own in that form.

use std::{fs, path::Path, time::UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::Uri;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::key::LogKey;

/// The largest list that is read; Google's has 100 KiB.
const MAX_FILE: u64 = 4 << 20;
/// The most logs in it.
const MAX_LOGS: usize = 512;
/// The longest URL: the chain takes 512 bytes of evidence, which are this, `#` and an index.
const MAX_URL: usize = 400;

/// Why a list cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ListError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// It is longer than any list.
    #[error("is larger than {MAX_FILE} bytes")]
    TooLarge,
    /// It is not in the form.
    #[error("is no list of logs (version 3, `operators` with `logs` and `tiled_logs`): {0}")]
    Malformed(String),
    /// A log in it cannot be used.
    #[error("log {log:?}: {what}")]
    Log {
        /// Its URL.
        log: String,
        /// What is wrong with it.
        what: String,
    },
    /// There is nothing to follow.
    #[error("has no log that takes certificates or whose word counts now")]
    Empty,
}

/// How a log is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// RFC 6962.
    Rfc6962,
    /// <https://c2sp.org/static-ct-api>.
    StaticCt,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Where it is read, with no slash at the end.
    pub url: String,
    /// How.
    pub api: Api,
    /// Its name in checkpoints: the submission URL without scheme and last slash.
    pub origin: String,
    /// SHA-256 of the key.
    pub id: [u8; 32],
    /// What it signs with.
    pub key: LogKey,
}

#[derive(Deserialize)]
struct List {
    operators: Vec<Operator>,
}

#[derive(Deserialize)]
struct Operator {
    #[serde(default)]
    logs: Vec<Listed>,
    #[serde(default)]
    tiled_logs: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    url: Option<String>,
    monitoring_url: Option<String>,
    submission_url: Option<String>,
    key: String,
    log_id: Option<String>,
    state: Option<Value>,
    temporal_interval: Option<Interval>,
}

#[derive(Deserialize)]
struct Interval {
    end_exclusive: String,
}

/// What logs are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Those that take certificates, to follow them.
    Follow,
    /// Those whose word on a certificate counts: a log that was closed since has not taken it back.
    Vouch,
}

impl Purpose {
    /// The states, as the list has them, in which a log is of no use for this.
    fn excluded(self) -> &'static [&'static str] {
        match self {
            Self::Follow => &["readonly", "retired", "rejected"],
            Self::Vouch => &["retired", "rejected"],
        }
    }
}

/// Reads the logs of the file at `path` that serve the purpose at `now` (Unix seconds).
///
/// # Errors
/// When the file or any log in it is not what it must be.
pub fn read(path: &Path, purpose: Purpose, now: u64) -> Result<Vec<Log>, ListError> {
    let unreadable = |e: std::io::Error| ListError::Unreadable(e.to_string());
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE {
        return Err(ListError::TooLarge);
    }
    parse(&fs::read(path).map_err(unreadable)?, purpose, now)
}

/// As [`read`], of the file's content.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8], purpose: Purpose, now: u64) -> Result<Vec<Log>, ListError> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(ListError::TooLarge);
    }
    let list: List = serde_json::from_slice(bytes).map_err(|e| ListError::Malformed(e.to_string()))?;
    let listed = list.operators.into_iter().flat_map(|operator| {
        let plain = operator.logs.into_iter().map(|log| (Api::Rfc6962, log));
        plain.chain(operator.tiled_logs.into_iter().map(|log| (Api::StaticCt, log))).collect::<Vec<_>>()
    });
    let mut logs: Vec<Log> = Vec::new();
    for (api, listed) in listed {
        let name = listed.monitoring_url.clone().or_else(|| listed.url.clone()).unwrap_or_default();
        let bad = |what: String| ListError::Log { log: name.chars().take(MAX_URL).collect(), what };
        if !is_of_use(&listed, purpose, now).map_err(bad)? {
            continue;
        }
        let log = log(api, &listed).map_err(bad)?;
        if logs.iter().any(|known| known.url == log.url) {
            return Err(bad("it is listed twice".into()));
        }
        logs.push(log);
        if logs.len() > MAX_LOGS {
            return Err(ListError::Malformed(format!("more than {MAX_LOGS} logs")));
        }
    }
    if logs.is_empty() { Err(ListError::Empty) } else { Ok(logs) }
}

/// Logs that are closed, or whose certificates have all expired, can hold nothing new that a browser would take.
fn is_of_use(log: &Listed, purpose: Purpose, now: u64) -> Result<bool, String> {
    let closed = purpose.excluded();
    let state = log.state.as_ref().and_then(Value::as_object);
    if state.is_some_and(|state| state.keys().any(|key| closed.contains(&key.as_str()))) {
        return Ok(false);
    }
    let Some(interval) = &log.temporal_interval else { return Ok(true) };
    let end = humantime::parse_rfc3339(&interval.end_exclusive)
        .map_err(|e| format!("temporal_interval.end_exclusive: {e}"))?;
    Ok(end.duration_since(UNIX_EPOCH).is_ok_and(|end| end.as_secs() > now))
}

fn log(api: Api, listed: &Listed) -> Result<Log, String> {
    let (field, url) = match api {
        Api::Rfc6962 => ("url", listed.url.as_deref()),
        Api::StaticCt => ("monitoring_url", listed.monitoring_url.as_deref()),
    };
    let url = base_url(field, url)?;
    let origin = match api {
        Api::Rfc6962 => url.clone(),
        Api::StaticCt => base_url("submission_url", listed.submission_url.as_deref())?,
    };
    let origin = origin.split_once("://").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    if !signed_note::is_key_name_valid(&origin) {
        return Err("submission_url cannot name a key: it holds a space or a plus".into());
    }
    let der = BASE64.decode(&listed.key).map_err(|e| format!("key: {e}"))?;
    let key = LogKey::from_spki(&der).map_err(|e| format!("key: {e}"))?;
    let id: [u8; 32] = Sha256::digest(&der).into();
    if let Some(stated) = &listed.log_id {
        let stated = BASE64.decode(stated).map_err(|e| format!("log_id: {e}"))?;
        if stated != id {
            return Err("log_id is not the SHA-256 of key".into());
        }
    }
    Ok(Log { url, api, origin, id, key })
}

fn base_url(field: &str, url: Option<&str>) -> Result<String, String> {
    let url = url.ok_or_else(|| format!("{field} is missing"))?.trim_end_matches('/');
    if url.len() > MAX_URL {
        return Err(format!("{field} is longer than {MAX_URL} bytes"));
    }
    let uri: Uri = url.parse().map_err(|e| format!("{field}: {e}"))?;
    let plain = uri.query().is_none()
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && !url.contains('#');
    match uri.scheme_str() {
        Some("https" | "http") if plain => Ok(url.to_owned()),
        _ => Err(format!("{field} must be an http(s) URL without user, query and fragment")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::{ecdsa::SigningKey, pkcs8::EncodePublicKey};
    use serde_json::json;

    fn follow(bytes: &[u8], now: u64) -> Result<Vec<Log>, ListError> {
        parse(bytes, Purpose::Follow, now)
    }

    fn key() -> Vec<u8> {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        key.verifying_key().to_public_key_der().unwrap().as_bytes().to_vec()
    }

    fn list(tiled: Value) -> Vec<u8> {
        json!({"version": "3", "operators": [{"name": "x", "logs": [], "tiled_logs": [tiled]}]})
            .to_string()
            .into()
    }

    fn tiled() -> Value {
        json!({
            "description": "a log", "key": BASE64.encode(key()), "log_id": BASE64.encode(Sha256::digest(key())),
            "submission_url": "https://log.example/2026h1/", "monitoring_url": "https://mon.example/2026h1/",
            "mmd": 60, "state": {"usable": {"timestamp": "2025-01-01T00:00:00Z"}},
            "temporal_interval": {"start_inclusive": "2026-01-01T00:00:00Z", "end_exclusive": "2026-07-01T00:00:00Z"},
        })
    }

    #[test]
    fn list_of_logs_is_read() {
        let logs = follow(&list(tiled()), 1_767_225_600).unwrap();
        assert_eq!(logs[0].url, "https://mon.example/2026h1");
        assert_eq!((logs[0].origin.as_str(), logs[0].api), ("log.example/2026h1", Api::StaticCt));
    }

    #[test]
    fn log_is_left_out_when_it_takes_no_certificates() {
        assert_eq!(follow(&list(tiled()), 1_800_000_000), Err(ListError::Empty));
        let mut closed = tiled();
        closed["state"] = json!({"retired": {"timestamp": "2025-01-01T00:00:00Z"}});
        assert_eq!(follow(&list(closed.clone()), 0), Err(ListError::Empty));
        assert_eq!(parse(&list(closed), Purpose::Vouch, 0), Err(ListError::Empty));
    }

    #[test]
    fn log_that_is_closed_still_vouches_for_what_it_took() {
        let mut closed = tiled();
        closed["state"] = json!({"readonly": {"timestamp": "2025-01-01T00:00:00Z"}});
        assert_eq!(follow(&list(closed.clone()), 0), Err(ListError::Empty));
        assert_eq!(parse(&list(closed), Purpose::Vouch, 0).unwrap().len(), 1);
    }

    /// A list with one unusable key must say which log it is of.
    #[test]
    fn key_that_no_log_may_have_is_refused_by_the_logs_name() {
        let p384 = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
        let mut log = tiled();
        log["key"] = json!(BASE64.encode(p384.verifying_key().to_public_key_der().unwrap()));
        let refused = follow(&list(log), 0).unwrap_err().to_string();
        assert!(refused.contains("mon.example/2026h1") && refused.contains("P-256 nor an RSA"), "{refused}");
    }

    #[test]
    fn log_is_refused_when_its_fields_do_not_hold() {
        for (field, value) in [
            ("log_id", json!(BASE64.encode([0; 32]))),
            ("key", json!("AAAA")),
            ("key", json!("?")),
            ("monitoring_url", json!("ftp://mon.example/")),
            ("monitoring_url", json!("https://user:word@mon.example/")),
            ("monitoring_url", json!(format!("https://mon.example/{}", "a".repeat(MAX_URL)))),
            ("submission_url", json!("https://log.example/a+b/")),
            ("submission_url", Value::Null),
            ("temporal_interval", json!({"end_exclusive": "soon"})),
        ] {
            let mut log = tiled();
            log[field] = value.clone();
            assert!(matches!(follow(&list(log), 0), Err(ListError::Log { .. })), "{field} = {value}");
        }
    }
}
