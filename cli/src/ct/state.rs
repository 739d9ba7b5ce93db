// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the monitor remembers: how far each log is verified, and what was found and not yet told. One JSON file, replaced as
//! a whole. A file that is damaged is an error: taken for absent it would hide whatever a log did in between.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Misdeed, merkle::Frontier};

/// The largest file that is read.
const MAX_FILE: u64 = 64 << 20;
/// The most findings: what was told long ago makes room for new ones.
const MAX_FINDINGS: usize = 20_000;
const MAX_ALARMS: usize = 1_000;
const FORMAT: u32 = 1;

/// Why the state cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// It cannot be read, locked or written.
    #[error("state file {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another monitor has it.
    #[error("state file {}: another `domain watch` uses it; --state names another", .0.display())]
    Taken(PathBuf),
    /// It does not hold what a monitor wrote.
    #[error(
        "state file {} is damaged: {what}; restore it, or move it away and start again with --from", path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How.
        what: String,
    },
    /// It would grow beyond what is read.
    #[error("{MAX_FINDINGS} findings wait to be told: see why they cannot be")]
    Full,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    format: u32,
    /// By the URL that they are read at.
    pub logs: BTreeMap<String, LogState>,
    /// Certificates, in the order in which they were found.
    pub findings: Vec<Finding>,
    /// What logs did.
    pub alarms: Vec<Alarm>,
}

impl Default for State {
    fn default() -> Self {
        Self { format: FORMAT, logs: BTreeMap::new(), findings: Vec::new(), alarms: Vec::new() }
    }
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogState {
    /// SHA-256 of its key.
    pub id: B256,
    /// The newest head that everything before was verified against.
    pub verified: Option<Head>,
    /// The edge of the tree of that head.
    pub edge: Frontier,
    /// A head that is being verified.
    pub work: Option<Work>,
    /// What it was last found to do, until it behaves again.
    pub trouble: Option<Misdeed>,
}

/// A signed tree head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: B256,
    /// In milliseconds.
    pub timestamp: u64,
    /// As the log served it: proof, should it ever sign something else.
    pub signed: String,
}

/// How far a head's entries were read. What was found in them counts once the root follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The head.
    pub head: Head,
    /// The edge of what was read.
    pub edge: Frontier,
    /// What was found so far.
    pub found: Vec<Finding>,
}

/// A certificate of a watched name in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The name.
    pub domain: String,
    /// SHA-256 of the certificate.
    pub fingerprint: B256,
    /// SHA-256 of its public key; none when it cannot be read.
    pub spki: Option<B256>,
    /// Whether it is a precertificate.
    pub precertificate: bool,
    /// When it ends; 0 when it cannot be read.
    pub not_after: u64,
    /// Who issued it, in its own words.
    pub issuer: String,
    /// Which log.
    pub log: String,
    /// Where in it.
    pub index: u64,
    /// Since when it could have been recorded, in Unix seconds.
    pub since: u64,
    /// What became of it.
    pub stage: Stage,
}

/// What becomes of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It may still be recorded.
    Waiting,
    /// Nobody recorded it in time. The steps that are still to be taken:
    Incident(Outstanding),
    /// Everybody was told.
    Told,
}

/// Who is still to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outstanding {
    /// Whoever reads our output.
    pub output: bool,
    /// The webhook.
    pub webhook: bool,
    /// The chain.
    pub report: bool,
}

impl Outstanding {
    /// Whether nothing is.
    pub fn is_none(self) -> bool {
        !(self.output || self.webhook || self.report)
    }
}

/// Something that a log must not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// Which log.
    pub log: String,
    /// What.
    pub misdeed: Misdeed,
    /// How.
    pub what: String,
    /// The signed words that show it.
    pub evidence: Option<String>,
    /// When it was seen, in Unix seconds.
    pub at: u64,
    /// Who is still to be told.
    pub outstanding: Outstanding,
}

impl State {
    /// Reads a state's JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let state: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if state.format != FORMAT {
            return Err(format!("format {}, this version writes {FORMAT}", state.format));
        }
        for (url, log) in &state.logs {
            log.check().map_err(|what| format!("log {url}: {what}"))?;
        }
        Ok(state)
    }

    /// Adds what is not known yet, whichever log it was found in first.
    ///
    /// # Errors
    /// When there is no room.
    pub fn add(&mut self, found: Vec<Finding>) -> Result<(), StateError> {
        for finding in found {
            let known = |f: &Finding| f.domain == finding.domain && f.fingerprint == finding.fingerprint;
            if self.findings.iter().any(known) {
                continue;
            }
            if self.findings.len() >= MAX_FINDINGS {
                let told =
                    self.findings.iter().position(|f| f.stage == Stage::Told).ok_or(StateError::Full)?;
                self.findings.remove(told);
            }
            self.findings.push(finding);
        }
        Ok(())
    }

    /// Adds an alarm, once until the log behaves again.
    pub fn alarm(&mut self, alarm: Alarm) {
        let Some(log) = self.logs.get_mut(&alarm.log) else { return };
        if log.trouble.replace(alarm.misdeed) == Some(alarm.misdeed) {
            return;
        }
        if self.alarms.len() >= MAX_ALARMS {
            self.alarms.remove(0);
        }
        self.alarms.push(alarm);
    }
}

impl LogState {
    /// A log that nothing is known of.
    pub fn new(id: [u8; 32]) -> Self {
        Self { id: id.into(), verified: None, edge: Frontier::default(), work: None, trouble: None }
    }

    /// Whether its parts belong together: an edge that does not lead to the root was changed by somebody else.
    fn check(&self) -> Result<(), &'static str> {
        if let Some(head) = &self.verified {
            if head.size != self.edge.size() || head.root.0 != self.edge.root() {
                return Err("the edge is not that of the verified head");
            }
        } else if self.edge != Frontier::default() {
            return Err("an edge without a verified head");
        }
        match &self.work {
            Some(work) if work.edge.size() > work.head.size || work.edge.size() < self.edge.size() => {
                Err("what was read is not between the two heads")
            }
            _ => Ok(()),
        }
    }
}

/// The file, held by this process alone.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    _lock: File,
}

impl StateFile {
    /// Locks the file and reads it; a new state when there is none.
    ///
    /// # Errors
    /// When it is damaged or another process has it.
    pub fn open(path: &Path) -> Result<(Self, State), StateError> {
        let io = |source| StateError::Io { path: path.to_owned(), source };
        let lock = File::create(beside(path, "lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StateError::Taken(path.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(io(source)),
        }
        let state = match File::open(path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
                let damaged = |what| StateError::Damaged { path: path.to_owned(), what };
                if bytes.len() as u64 > MAX_FILE {
                    return Err(damaged(format!("more than {MAX_FILE} bytes")));
                }
                State::parse(&bytes).map_err(damaged)?
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(e) => return Err(io(e)),
        };
        Ok((Self { path: path.to_owned(), _lock: lock }, state))
    }

    /// That what was read cannot have been written by a monitor.
    pub(crate) fn damaged(&self, what: String) -> StateError {
        StateError::Damaged { path: self.path.clone(), what }
    }

    /// Writes the state: after a crash the file is either the old or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        self.write(state).map_err(|source| StateError::Io { path: self.path.clone(), source })
    }

    fn write(&self, state: &State) -> std::io::Result<()> {
        let new = beside(&self.path, "new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        // The name is part of the directory.
        let directory = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
