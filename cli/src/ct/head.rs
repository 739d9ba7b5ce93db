// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tree heads: what a log signs, as get-sth's JSON (RFC 6962, 4.3) or a checkpoint (static CT API). A [`SignedHead`] exists
//! only once its signature was verified.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use signed_note::{Note, Verifier, VerifierList};
use tlog_tiles::checkpoint::Checkpoint;

use super::{
    LogError, Misdeed,
    key::LogKey,
    logs::{Api, Log},
    merkle::Node,
    source::MAX_HEAD,
    state::Head,
};

/// Signatures of a log's RFC 6962 key in notes.
const NOTE_RFC6962: u8 = 5;

/// A tree head that the log's key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedHead {
    pub(super) size: u64,
    pub(super) root: Node,
    /// In milliseconds.
    pub(super) timestamp: u64,
    /// As the log served it.
    pub(super) signed: String,
}

#[derive(Deserialize)]
struct Sth {
    tree_size: u64,
    timestamp: u64,
    sha256_root_hash: String,
    tree_head_signature: String,
}

impl SignedHead {
    /// Reads and verifies what a log served as its head.
    pub(super) fn verify(log: &Log, body: &[u8]) -> Result<Self, LogError> {
        match log.api {
            Api::Rfc6962 => from_sth(log, body),
            Api::StaticCt => from_checkpoint(log, body),
        }
    }
}

/// Reads and verifies a head as the monitor does: its size, when the log signed it.
///
/// # Errors
/// What is wrong with it.
pub fn size(log: &Log, body: &[u8]) -> Result<u64, LogError> {
    SignedHead::verify(log, body).map(|head| head.size)
}

/// Whether a head from the state file is one that the log signed.
pub(super) fn is_signed(log: &Log, head: &Head) -> bool {
    SignedHead::verify(log, head.signed.as_bytes()).is_ok_and(|signed| Head::from(signed) == *head)
}

/// Reads and verifies get-sth's answer.
fn from_sth(log: &Log, body: &[u8]) -> Result<SignedHead, LogError> {
    let sth: Sth = serde_json::from_slice(body).map_err(|e| LogError::bad(format!("get-sth: {e}")))?;
    let decode = |text: &str| BASE64.decode(text).map_err(|e| LogError::bad(format!("get-sth: {e}")));
    let root: Node = decode(&sth.sha256_root_hash)?
        .try_into()
        .map_err(|_| LogError::bad("get-sth: the root is not a SHA-256"))?;
    let signature = decode(&sth.tree_head_signature)?;
    if !signs(&log.key, sth.timestamp, sth.tree_size, &root, &signature) {
        return Err(bad_signature(body));
    }
    Ok(SignedHead { size: sth.tree_size, root, timestamp: sth.timestamp, signed: text(body) })
}

/// Reads and verifies a checkpoint.
fn from_checkpoint(log: &Log, body: &[u8]) -> Result<SignedHead, LogError> {
    let malformed = || LogError::bad("the checkpoint is malformed");
    let note = Note::from_bytes(body).map_err(|_| malformed())?;
    let timestamp = std::sync::Arc::new(AtomicU64::new(0));
    let verifier = NoteVerifier {
        id: signed_note::key_id(&log.origin, &[&[NOTE_RFC6962][..], &log.id].concat()),
        name: log.origin.clone(),
        key: log.key.clone(),
        timestamp: std::sync::Arc::clone(&timestamp),
    };
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|_| bad_signature(body))?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|_| malformed())?;
    Ok(SignedHead {
        size: checkpoint.size(),
        root: checkpoint.hash().0,
        timestamp: timestamp.load(Ordering::Relaxed),
        signed: text(body),
    })
}

/// Verifies the log's line of a note, and keeps the time that stands in it.
struct NoteVerifier {
    name: String,
    id: u32,
    key: LogKey,
    timestamp: std::sync::Arc<AtomicU64>,
}

impl Verifier for NoteVerifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(checkpoint) = Checkpoint::from_bytes(message) else { return false };
        let Some((timestamp, signature)) = signature.split_first_chunk() else { return false };
        let timestamp = u64::from_be_bytes(*timestamp);
        self.timestamp.store(timestamp, Ordering::Relaxed);
        checkpoint.origin() == self.name
            && signs(&self.key, timestamp, checkpoint.size(), &checkpoint.hash().0, signature)
    }
}

/// Whether `signature` (TLS `DigitallySigned`) is the log's over a `TreeHeadSignature` (RFC 6962, 3.5).
fn signs(key: &LogKey, timestamp: u64, size: u64, root: &Node, signature: &[u8]) -> bool {
    key.signed(&tree_head(timestamp, size, root), signature)
}

/// What is signed: version v1, type tree_hash, time, size, root.
fn tree_head(timestamp: u64, size: u64, root: &Node) -> Vec<u8> {
    [&[0, 1][..], &timestamp.to_be_bytes(), &size.to_be_bytes(), root].concat()
}

fn bad_signature(body: &[u8]) -> LogError {
    LogError::Misbehaved {
        misdeed: Misdeed::BadSignature,
        what: "its tree head is not signed by its key, or is another log's".into(),
        evidence: Some(text(body)),
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(MAX_HEAD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ct::logs;
    use serde_json::json;

    /// Two heads of real logs, from the documentation of `static_ct_api`.
    const CHECKPOINT: &str = "willow.ct.letsencrypt.org/2025h1b\n1237717073\n\
        pT/KC9MSHoRK2rHkeyfTSXfxolR2ja4JqhdymK9pnlo=\n\n\
        — grease.invalid 6PiRCcvuZmG719Q08yWtEVT7C6ncT1s8R1xtzvX/reoSPKtuXROhW7Se59Kiwa7i98c/AM8tH4EElmqOQnJcF4cxRlbI9FY=\n\
        — willow.ct.letsencrypt.org/2025h1b GYcbuAAAAZSU2PMJBAMASDBGAiEAhNc5t31Sx4HmBDN4bh366ApPb1Ag1S1zn1XN02ibJNYCIQCKGun1fU1tcgMpWPu3918Rk6OBuoSjt7wdBag1cKsQ+g==\n";
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbNmWXyYsF2pohGOAiNELea6UL4/XioI3w6ChE5Udlos0HUqM7KOHIP9qBuWCVs6VAdtDXrvanmxKq52Whh2+2w==";

    fn log(submission: &str) -> Log {
        let list = json!({"operators": [{"tiled_logs": [{
            "key": KEY, "monitoring_url": "https://mon.example/", "submission_url": submission,
        }]}]});
        logs::parse(list.to_string().as_bytes(), logs::Purpose::Follow, 0).unwrap().remove(0)
    }

    #[test]
    fn checkpoint_of_a_real_log_is_verified() {
        let head = from_checkpoint(&log("https://willow.ct.letsencrypt.org/2025h1b/"), CHECKPOINT.as_bytes())
            .unwrap();
        assert_eq!((head.size, head.timestamp), (1_237_717_073, 1_737_664_033_545));
    }

    #[test]
    fn checkpoint_is_refused_when_a_byte_or_the_log_is_another() {
        let here = log("https://willow.ct.letsencrypt.org/2025h1b/");
        for forged in [
            CHECKPOINT.replace("1237717073", "1237717074"),
            CHECKPOINT.replace("pT/KC9", "pT/KC8"),
            CHECKPOINT.replace("GYcbuAAAAZ", "GYcbuAAAAY"),
            CHECKPOINT.lines().take(5).fold(String::new(), |text, line| text + line + "\n"),
        ] {
            let refused = from_checkpoint(&here, forged.as_bytes()).unwrap_err();
            assert!(
                matches!(refused, LogError::Misbehaved { misdeed: Misdeed::BadSignature, .. }),
                "{refused:?}"
            );
        }
        assert!(from_checkpoint(&log("https://other.example/"), CHECKPOINT.as_bytes()).is_err());
    }

    #[test]
    fn sth_is_refused_when_it_is_signed_for_another_size() {
        // The checkpoint's signature is that of an STH.
        let line = CHECKPOINT.lines().last().unwrap().rsplit(' ').next().unwrap();
        let signature = BASE64.encode(&BASE64.decode(line).unwrap()[12..]);
        let sth = |size: u64| {
            json!({"tree_size": size, "timestamp": 1_737_664_033_545u64,
                "sha256_root_hash": "pT/KC9MSHoRK2rHkeyfTSXfxolR2ja4JqhdymK9pnlo=", "tree_head_signature": signature})
            .to_string()
        };
        let here = log("https://willow.ct.letsencrypt.org/2025h1b/");
        assert_eq!(from_sth(&here, sth(1_237_717_073).as_bytes()).unwrap().size, 1_237_717_073);
        assert!(from_sth(&here, sth(1_237_717_072).as_bytes()).is_err());
    }
}
