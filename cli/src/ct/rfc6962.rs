// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logs with the API of RFC 6962, section 4.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    LogError,
    entry::Entry,
    head::SignedHead,
    merkle::{Frontier, Node, leaf_hash},
    source::{BATCH, MAX_ENTRIES, MAX_HEAD, Source},
};

#[derive(Deserialize)]
struct Entries {
    entries: Vec<Served>,
}

#[derive(Deserialize)]
struct Served {
    leaf_input: String,
    extra_data: String,
}

#[derive(Deserialize)]
struct Proof {
    leaf_index: u64,
    audit_path: Vec<String>,
}

pub(super) async fn head(source: &Source<'_>) -> Result<SignedHead, LogError> {
    let body = source.fetch.get(&source.url("ct/v1/get-sth"), MAX_HEAD).await?;
    SignedHead::verify(source.log, &body)
}

pub(super) async fn entries(source: &Source<'_>, start: u64, end: u64) -> Result<Vec<Entry>, LogError> {
    let last = end.min(start.saturating_add(BATCH)).saturating_sub(1);
    let url = source.url(&format!("ct/v1/get-entries?start={start}&end={last}"));
    let most = last.saturating_sub(start).saturating_add(1);
    parse_entries(&url, most, &source.fetch.get(&url, MAX_ENTRIES).await?)
}

/// Reads what get-entries answers to somebody who asked for `most` entries at `url`.
///
/// # Errors
/// When a log must not answer that.
pub fn parse_entries(url: &str, most: u64, body: &[u8]) -> Result<Vec<Entry>, LogError> {
    let answer: Entries = json(url, body)?;
    // Fewer than were asked for is every log's right, none or more is not.
    if answer.entries.is_empty() || answer.entries.len() as u64 > most {
        return Err(LogError::bad(format!("{url}: {} entries", answer.entries.len())));
    }
    answer
        .entries
        .iter()
        .map(|served| {
            Ok(Entry::from_rfc6962(decode(url, &served.leaf_input)?, &decode(url, &served.extra_data)?))
        })
        .collect()
}

/// The last leaf's inclusion proof is the edge of the tree before that leaf: every sibling on its way up is on its left.
pub(super) async fn frontier(source: &Source<'_>, size: u64) -> Result<Frontier, LogError> {
    let last = size.saturating_sub(1);
    let entry = entries(source, last, size).await?.into_iter().next();
    let leaf = leaf_hash(&entry.ok_or_else(|| LogError::bad("no entry"))?.leaf);
    let hash = BASE64.encode(leaf);
    let url = source.url(&format!("ct/v1/get-proof-by-hash?hash={}&tree_size={size}", urlencoded(&hash)));
    let mut frontier = parse_proof(&url, last, &source.fetch.get(&url, MAX_HEAD).await?)?;
    frontier.append(leaf);
    Ok(frontier)
}

/// Reads the edge of the tree before leaf `last` from what get-proof-by-hash answers about that leaf.
///
/// # Errors
/// When it is no proof of that leaf.
pub fn parse_proof(url: &str, last: u64, body: &[u8]) -> Result<Frontier, LogError> {
    let proof: Proof = json(url, body)?;
    let bad = || LogError::bad(format!("{url}: no proof of the tree's last leaf"));
    if proof.leaf_index != last {
        return Err(bad());
    }
    let node = |text: &String| Node::try_from(decode(url, text)?).map_err(|_| bad());
    let nodes = proof.audit_path.iter().rev().map(node).collect::<Result<_, _>>()?;
    Frontier::new(last, nodes).ok_or_else(bad)
}

fn json<T: DeserializeOwned>(url: &str, body: &[u8]) -> Result<T, LogError> {
    serde_json::from_slice(body).map_err(|e| LogError::bad(format!("{url}: {e}")))
}

fn decode(url: &str, text: &str) -> Result<Vec<u8>, LogError> {
    BASE64.decode(text).map_err(|e| LogError::bad(format!("{url}: {e}")))
}

/// Of base64's characters these three mean something else in a query.
fn urlencoded(base64: &str) -> String {
    base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
