// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What webhooks tell, and which log tells it.

use std::fmt::Write as _;

use alloy::primitives::{Address, B256, U256};
use mandate_model::{
    bindings::{AppAuth, DomainRegistry, KmsAuth, KmsCommittee},
    wire::BlockRef,
};
use serde::{Deserialize, Serialize};

use super::super::{Targets, decoded};
use crate::{chain::Contracts, store::StoredLog};

/// The longest piece of somebody else's text in a message, in characters.
const FOREIGN_TEXT: usize = 200;

/// What a webhook can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// Code or an OS image will be in force.
    Scheduled,
    /// It will be within the webhook's `lead`, and nobody revoked it.
    AboutToActivate,
    /// Code or an OS image was revoked, or an app closed for good.
    Revoked,
    /// An app was paused or suspended.
    Paused,
    /// An app's key generation was raised.
    Rotated,
    /// Something that a person should look at.
    Incident,
    /// The relayer's account runs dry.
    LowBalance,
    /// The relayer saw what must not be: it holds grants back until an operator has looked.
    Latched,
    /// An operator cleared that.
    LatchCleared,
}

impl EventKind {
    /// The word in configuration and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::AboutToActivate => "about-to-activate",
            Self::Revoked => "revoked",
            Self::Paused => "paused",
            Self::Rotated => "rotated",
            Self::Incident => "incident",
            Self::LowBalance => "low-balance",
            Self::Latched => "latched",
            Self::LatchCleared => "latch-cleared",
        }
    }

    /// PagerDuty's word for how bad it is.
    pub(super) fn severity(self) -> &'static str {
        match self {
            Self::Scheduled | Self::Rotated | Self::LatchCleared => "info",
            Self::AboutToActivate | Self::Paused => "warning",
            Self::LowBalance => "error",
            Self::Revoked | Self::Incident | Self::Latched => "critical",
        }
    }
}

/// What happened. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Occurrence {
    /// As [`EventKind::Scheduled`].
    Scheduled {
        /// The app; none for an OS image.
        app: Option<Address>,
        /// The code hash or OS image hash.
        hash: B256,
        /// When it is in force.
        active_from: u64,
        /// Where its source is, in the owner's own words.
        source_uri: String,
    },
    /// As [`EventKind::AboutToActivate`].
    AboutToActivate {
        /// The app; none for an OS image.
        app: Option<Address>,
        /// The code hash or OS image hash.
        hash: B256,
        /// When it is in force.
        active_from: u64,
        /// Where its source is, in the owner's own words.
        source_uri: String,
    },
    /// As [`EventKind::Revoked`].
    Revoked {
        /// The app; none for an OS image.
        app: Option<Address>,
        /// The code hash or OS image hash; none when the whole app was closed.
        hash: Option<B256>,
        /// Who did it.
        by: Address,
    },
    /// As [`EventKind::Paused`].
    Paused {
        /// The app.
        app: Address,
        /// When it ends; none for a suspension, which somebody must lift.
        until: Option<u64>,
    },
    /// As [`EventKind::Rotated`].
    Rotated {
        /// The app.
        app: Address,
        /// The new generation.
        generation: u64,
        /// Until when the previous generation's secrets are still given out.
        previous_until: u64,
    },
    /// As [`EventKind::Incident`].
    Incident {
        /// The app that it concerns; none when it concerns everybody.
        app: Option<Address>,
        /// What it is, in a sentence.
        what: String,
    },
    /// As [`EventKind::LowBalance`].
    LowBalance {
        /// The account.
        payer: Address,
        /// What it has, in wei.
        balance: U256,
        /// The threshold, in wei.
        threshold: U256,
    },
    /// As [`EventKind::Latched`].
    Latched {
        /// Which latch.
        latch: String,
        /// When it was set.
        since: u64,
        /// What was seen.
        detail: String,
    },
    /// As [`EventKind::LatchCleared`].
    LatchCleared {
        /// Which latch.
        latch: String,
        /// When it had been set.
        since: u64,
    },
}

/// Where on the chain it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The block.
    pub block: BlockRef,
    /// The transaction.
    pub transaction: B256,
    /// The log's index in the block.
    pub log_index: u64,
}

/// One message, before it is put into a receiver's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The chain.
    pub chain_id: u64,
    /// Where it happened; none for what the relayer itself has to say.
    pub place: Option<Place>,
    /// What happened.
    #[serde(flatten)]
    pub what: Occurrence,
}

impl Occurrence {
    /// Which subscription it belongs to.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Scheduled { .. } => EventKind::Scheduled,
            Self::AboutToActivate { .. } => EventKind::AboutToActivate,
            Self::Revoked { .. } => EventKind::Revoked,
            Self::Paused { .. } => EventKind::Paused,
            Self::Rotated { .. } => EventKind::Rotated,
            Self::Incident { .. } => EventKind::Incident,
            Self::LowBalance { .. } => EventKind::LowBalance,
            Self::Latched { .. } => EventKind::Latched,
            Self::LatchCleared { .. } => EventKind::LatchCleared,
        }
    }

    /// A sentence for people. What others wrote is shortened, on one line, and named as theirs.
    pub fn text(&self) -> String {
        match self {
            Self::Scheduled { app, hash, active_from, source_uri } => {
                scheduled("is scheduled", *app, *hash, *active_from, source_uri)
            }
            Self::AboutToActivate { app, hash, active_from, source_uri } => {
                scheduled("is about to be in force", *app, *hash, *active_from, source_uri)
            }
            Self::Revoked { app: None, hash, by } => format!("OS image {} was revoked by {by}", shown(*hash)),
            Self::Revoked { app: Some(app), hash: None, by } => {
                format!("app {app} was closed for good by {by}")
            }
            Self::Revoked { app: Some(app), hash, by } => {
                format!("code {} of app {app} was revoked by {by}", shown(*hash))
            }
            Self::Paused { app, until: Some(until) } => {
                format!("app {app} is paused until {until} (Unix time)")
            }
            Self::Paused { app, until: None } => format!("app {app} is suspended"),
            Self::Rotated { app, generation, previous_until } => format!(
                "app {app} has keys of generation {generation}; the previous ones are given out until {previous_until} (Unix time)"
            ),
            Self::Incident { what, .. } => one_line(what),
            Self::LowBalance { payer, balance, threshold } => {
                format!("relayer account {payer} has {balance} wei, below {threshold}")
            }
            Self::Latched { latch, detail, .. } => {
                format!("latch {latch} holds grants back until an operator has looked: {}", one_line(detail))
            }
            Self::LatchCleared { latch, since } => {
                format!("latch {latch}, set at {since} (Unix time), was cleared: grants go on")
            }
        }
    }
}

fn shown(hash: Option<B256>) -> String {
    hash.map(|hash| hash.to_string()).unwrap_or_default()
}

fn scheduled(verb: &str, app: Option<Address>, hash: B256, from: u64, source: &str) -> String {
    let mut text = match app {
        Some(app) => format!("code {hash} of app {app} {verb}: from {from} (Unix time)"),
        None => format!("OS image {hash} {verb}: from {from} (Unix time)"),
    };
    if !source.is_empty() {
        // Writing into a string does not fail.
        let _ = write!(text, "; its owner names as source: {}", one_line(source));
    }
    text
}

fn one_line(foreign: &str) -> String {
    foreign.chars().filter(|c| !c.is_control()).take(FOREIGN_TEXT).collect()
}

/// What `log` tells as soon as the head shows it: what somebody may have to act on at once.
pub(in super::super) fn told_at_head(
    contracts: &Contracts,
    targets: &Targets,
    log: &StoredLog,
) -> Option<Occurrence> {
    match log.address {
        a if a == contracts.kms_auth => {
            if let Some(e) = decoded::<KmsAuth::OsImageRevoked>(log) {
                return Some(Occurrence::Revoked { app: None, hash: Some(e.osImageHash), by: e.by });
            }
            let e = decoded::<KmsAuth::AppSuspensionSet>(log).filter(|e| e.suspended)?;
            Some(Occurrence::Paused { app: e.app, until: None })
        }
        a if a == contracts.committee => committee_incident(log),
        a if a == contracts.domain_registry => domain_incident(log),
        app if targets.apps.contains(&app) => {
            if let Some(e) = decoded::<AppAuth::CodeRevoked>(log) {
                return Some(Occurrence::Revoked { app: Some(app), hash: Some(e.codeHash), by: e.by });
            }
            if let Some(e) = decoded::<AppAuth::Sunset>(log) {
                return Some(Occurrence::Revoked { app: Some(app), hash: None, by: e.by });
            }
            let e = decoded::<AppAuth::Paused>(log)?;
            Some(Occurrence::Paused { app, until: Some(e.until.to()) })
        }
        _ => None,
    }
}

fn committee_incident(log: &StoredLog) -> Option<Occurrence> {
    if let Some(e) = decoded::<KmsCommittee::NodeEvicted>(log) {
        let what = format!("KMS node {} was evicted by {}", e.nodeKey, e.by);
        return Some(Occurrence::Incident { app: None, what });
    }
    let e = decoded::<KmsCommittee::CeremonyAborted>(log)?;
    Some(Occurrence::Incident { app: None, what: format!("key ceremony {} was aborted", e.round) })
}

/// Anyone can report, so the text says who did. Their own words come last: what is cut off is theirs.
fn domain_incident(log: &StoredLog) -> Option<Occurrence> {
    let e = decoded::<DomainRegistry::IncidentReported>(log)?;
    let what = format!(
        "{}: certificate {} is not recorded, reports {}, unchecked: {}",
        e.name,
        e.fingerprint,
        e.reporter,
        capped(e.evidence)
    );
    Some(Occurrence::Incident { app: Some(e.app), what })
}

/// What `log` tells once it is final: what is still to come anyway.
pub(in super::super) fn told_at_finality(
    contracts: &Contracts,
    targets: &Targets,
    log: &StoredLog,
) -> Option<Occurrence> {
    if log.address == contracts.kms_auth {
        let e = decoded::<KmsAuth::OsImageScheduled>(log)?;
        let (hash, active_from, source_uri) = (e.osImageHash, e.activeFrom.to(), capped(e.sourceUri));
        return Some(Occurrence::Scheduled { app: None, hash, active_from, source_uri });
    }
    let app = Some(log.address).filter(|app| targets.apps.contains(app))?;
    if let Some(e) = decoded::<AppAuth::KeysRotated>(log) {
        let (generation, previous_until) = (e.generation, e.previousUntil.to());
        return Some(Occurrence::Rotated { app, generation, previous_until });
    }
    let e = decoded::<AppAuth::CodeScheduled>(log)?;
    let (hash, active_from, source_uri) = (e.codeHash, e.activeFrom.to(), capped(e.sourceUri));
    Some(Occurrence::Scheduled { app: Some(app), hash, active_from, source_uri })
}

/// A source can be as long as a transaction; no receiver wants that.
fn capped(source: String) -> String {
    match source.char_indices().nth(4 * FOREIGN_TEXT) {
        Some((end, _)) => source.get(..end).unwrap_or_default().to_owned(),
        None => source,
    }
}

/// The later message that follows from a schedule.
pub(in super::super) fn about_to_activate(scheduled: &Occurrence) -> Option<(Occurrence, u64)> {
    let Occurrence::Scheduled { app, hash, active_from, source_uri } = scheduled.clone() else { return None };
    Some((Occurrence::AboutToActivate { app, hash, active_from, source_uri }, active_from))
}
