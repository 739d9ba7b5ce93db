// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A log in this process with both APIs, which can be told to misbehave.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flate2::{Compression, write::GzEncoder};
use mandate_cli::ct::merkle::{Frontier, Node, leaf_hash};
use mandate_runtime::clock::ManualClock;
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::EncodePublicKey,
};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tlog_tiles::{checkpoint::Checkpoint, tlog::Hash};

/// How the log lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// This entry is served with another certificate than the one that is in the tree.
    OtherEntry(usize),
    /// Heads are signed with another key.
    OtherKey,
    /// Answers with entries never end.
    Endless,
    /// Entries are a gzip bomb.
    Bomb,
    /// Heads and entries are no such thing.
    Nonsense,
    /// Heads never come.
    Hangs,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) entries: Vec<Logged>,
    pub(crate) lie: Option<Lie>,
    /// Milliseconds that heads are dated ahead.
    pub(crate) ahead: i64,
    /// By this clock each answer with entries takes [`SLOW`].
    pub(crate) slow: Option<Arc<ManualClock>>,
}

/// Less than one answer may take.
const SLOW: Duration = Duration::from_secs(20);

/// One entry: a certificate, or a precertificate as the TBSCertificate of it.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    certificate: Vec<u8>,
    precertificate: Option<Vec<u8>>,
    timestamp: u64,
}

/// A running log.
#[derive(Debug)]
pub(crate) struct TestLog {
    pub(crate) inner: Arc<Mutex<Inner>>,
    pub(crate) url: String,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Inner>>, String);

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A certificate for `names` with SHA-256 of its DER and of its key.
pub(crate) fn certificate(names: &[&str]) -> (Vec<u8>, String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let der = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().der().to_vec();
    let hex = |bytes: &[u8]| format!("0x{}", hex::encode(Sha256::digest(bytes)));
    let (print, spki) = (hex(&der), hex(&rcgen::PublicKeyData::subject_public_key_info(&key)));
    (der, print, spki)
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

impl TestLog {
    /// A log with `n` entries that concern nobody.
    pub(crate) async fn with(n: usize) -> Self {
        let inner = Arc::new(Mutex::new(Inner { entries: Vec::new(), lie: None, ahead: 0, slow: None }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = listener.local_addr().unwrap().to_string();
        let router = Router::new()
            .route("/ct/v1/get-sth", get(sth))
            .route("/ct/v1/get-entries", get(entries))
            .route("/ct/v1/get-proof-by-hash", get(proof))
            .route("/checkpoint", get(checkpoint))
            .route("/tile/{*path}", get(tile))
            .with_state(Shared(Arc::clone(&inner), origin.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let log = Self { inner, url: format!("http://{origin}") };
        log.pad(n);
        log
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn pad(&self, n: usize) {
        (0..n).for_each(|i| self.add(format!("entry {i} of nobody").into_bytes()));
    }

    pub(crate) fn add(&self, certificate: Vec<u8>) {
        let timestamp = now_ms();
        self.lock().entries.push(Logged { certificate, precertificate: None, timestamp });
    }

    /// Logs the precertificate `der`. It keeps its poison, which changes nothing for who reads it.
    pub(crate) fn add_precertificate(&self, der: &[u8]) {
        use x509_parser::prelude::FromDer;
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(der).unwrap();
        let (tbs, timestamp) = (parsed.tbs_certificate.as_ref().to_vec(), now_ms());
        let logged = Logged { certificate: tbs, precertificate: Some(der.to_vec()), timestamp };
        self.lock().entries.push(logged);
    }

    /// As `--logs` reads it.
    pub(crate) fn listed(&self, tiled: bool) -> Value {
        let key = BASE64.encode(key().verifying_key().to_public_key_der().unwrap());
        let (log, kind) = match tiled {
            true => {
                (json!({"key": key, "monitoring_url": self.url, "submission_url": self.url}), "tiled_logs")
            }
            false => (json!({"key": key, "url": self.url}), "logs"),
        };
        json!({"version": "3", "operators": [{"name": "test", kind: [log]}]})
    }
}

fn vector(length_bytes: usize, data: &[u8]) -> Vec<u8> {
    [&(data.len() as u64).to_be_bytes()[8 - length_bytes..], data].concat()
}

impl Logged {
    fn timestamped(&self, index: usize) -> Vec<u8> {
        let mut bytes = self.timestamp.to_be_bytes().to_vec();
        match self.precertificate {
            Some(_) => bytes.extend([&[0, 1][..], &[9; 32]].concat()),
            None => bytes.extend([0, 0]),
        }
        bytes.extend(vector(3, &self.certificate));
        let extension = [&[0u8][..], &vector(2, &(index as u64).to_be_bytes()[3..])].concat();
        bytes.extend(vector(2, &extension));
        bytes
    }

    fn leaf(&self, index: usize) -> Vec<u8> {
        [&[0, 0][..], &self.timestamped(index)].concat()
    }
}

impl Inner {
    fn leaves(&self) -> Vec<Node> {
        self.entries.iter().enumerate().map(|(i, entry)| leaf_hash(&entry.leaf(i))).collect()
    }

    /// What it serves, which is what it has when it is honest.
    fn served(&self, index: usize) -> Logged {
        let mut entry = self.entries[index].clone();
        if self.lie == Some(Lie::OtherEntry(index)) {
            entry.certificate = b"something harmless".to_vec();
            entry.precertificate = None;
        }
        entry
    }

    fn head(&self) -> (u64, u64, Node, Vec<u8>) {
        let size = self.entries.len() as u64;
        let timestamp = now_ms().saturating_add_signed(self.ahead);
        let root = root(&self.leaves());
        let head = [&[0, 1][..], &timestamp.to_be_bytes(), &size.to_be_bytes(), &root].concat();
        let key =
            if self.lie == Some(Lie::OtherKey) { SigningKey::from_slice(&[8; 32]).unwrap() } else { key() };
        let signature: Signature = key.sign(&head);
        (size, timestamp, root, [&[4, 3][..], &vector(2, signature.to_der().as_bytes())].concat())
    }
}

fn root(leaves: &[Node]) -> Node {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier.root()
}

async fn sth(State(Shared(inner, _)): State<Shared>) -> String {
    if inner.lock().unwrap().lie == Some(Lie::Hangs) {
        return std::future::pending().await;
    }
    let inner = inner.lock().unwrap();
    if inner.lie == Some(Lie::Nonsense) {
        return "{}".into();
    }
    let (size, timestamp, root, signature) = inner.head();
    json!({"tree_size": size, "timestamp": timestamp, "sha256_root_hash": BASE64.encode(root),
        "tree_head_signature": BASE64.encode(signature)})
    .to_string()
}

async fn checkpoint(State(Shared(inner, origin)): State<Shared>) -> Vec<u8> {
    let inner = inner.lock().unwrap();
    if inner.lie == Some(Lie::Nonsense) {
        return b"nonsense".to_vec();
    }
    let (size, timestamp, root, signature) = inner.head();
    let text = Checkpoint::new(&origin, size, Hash(root), "").unwrap().to_bytes();
    let spki = key().verifying_key().to_public_key_der().unwrap();
    let id = Sha256::digest(spki.as_bytes());
    let id = signed_note::key_id(&origin, &[&[5][..], &id].concat());
    let signature = [&timestamp.to_be_bytes()[..], &signature].concat();
    let line = signed_note::Signature::new(origin, id, signature).unwrap();
    signed_note::Note::new(&text, &[line]).unwrap().to_bytes()
}

/// More than any answer may have.
fn endless() -> Vec<u8> {
    vec![b' '; 40 << 20]
}

async fn entries(
    State(Shared(inner, _)): State<Shared>,
    Query(query): Query<BTreeMap<String, usize>>,
) -> Vec<u8> {
    let inner = inner.lock().unwrap();
    if inner.lie == Some(Lie::Endless) {
        return endless();
    }
    if let Some(clock) = &inner.slow {
        clock.advance(SLOW);
    }
    // As logs do, not as many as were asked for.
    let last = query["end"].min(query["start"] + 99).min(inner.entries.len() - 1);
    let served: Vec<Value> = (query["start"]..=last)
        .map(|i| {
            let entry = inner.served(i);
            let extra = entry.precertificate.as_deref().map(|der| vector(3, der)).unwrap_or_default();
            json!({"leaf_input": BASE64.encode(entry.leaf(i)), "extra_data": BASE64.encode(extra)})
        })
        .collect();
    json!({"entries": served}).to_string().into_bytes()
}

async fn proof(
    State(Shared(inner, _)): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<String, StatusCode> {
    let inner = inner.lock().unwrap();
    let leaves = &inner.leaves()[..query["tree_size"].parse::<usize>().unwrap()];
    let index =
        leaves.iter().position(|leaf| BASE64.encode(leaf) == query["hash"]).ok_or(StatusCode::NOT_FOUND)?;
    let path: Vec<String> = path(index, leaves).iter().map(|node| BASE64.encode(node)).collect();
    Ok(json!({"leaf_index": index, "audit_path": path}).to_string())
}

/// RFC 6962, 2.1.1.
fn path(index: usize, leaves: &[Node]) -> Vec<Node> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut nodes, sibling) = match index.checked_sub(left.len()) {
        None => (path(index, left), right),
        Some(index) => (path(index, right), left),
    };
    nodes.push(root(sibling));
    nodes
}

async fn tile(State(Shared(inner, _)): State<Shared>, Path(path): Path<String>) -> Result<Bytes, StatusCode> {
    let inner = inner.lock().unwrap();
    let (path, width) = match path.split_once(".p/") {
        Some((path, width)) => (path, width.parse::<usize>().unwrap()),
        None => (path.as_str(), 256),
    };
    let (level, index) = path.split_once('/').unwrap();
    let first = index.parse::<usize>().unwrap() * 256;
    let missing = StatusCode::NOT_FOUND;
    if level == "data" {
        return data_tile(&inner, first, width).ok_or(missing);
    }
    let mut nodes = inner.leaves();
    for _ in 0..level.parse::<usize>().unwrap() {
        nodes = nodes.chunks_exact(256).map(root).collect();
    }
    Ok(nodes.get(first..first + width).ok_or(missing)?.concat().into())
}

fn data_tile(inner: &Inner, first: usize, width: usize) -> Option<Bytes> {
    let mut plain = Vec::new();
    match inner.lie {
        Some(Lie::Endless) => return Some(endless().into()),
        Some(Lie::Bomb) => plain = vec![0; 65 << 20],
        _ => {
            for i in first..first + width {
                inner.entries.get(i)?;
                let entry = inner.served(i);
                plain.extend(entry.timestamped(i));
                if let Some(der) = &entry.precertificate {
                    plain.extend(vector(3, der));
                }
                plain.extend(vector(2, &[3; 32]));
            }
        }
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&plain).unwrap();
    Some(encoder.finish().unwrap().into())
}
