// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The loop: visit every log, ask the chain about what was found, tell who must know.

mod settle;
mod tell;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::Address;
use futures::{StreamExt, stream};
use mandate_runtime::Clock;
use tokio_util::sync::CancellationToken;

use self::{
    settle::{Whose, settle},
    tell::eprint,
};
use super::{
    LogError,
    chain::Registry,
    effects::Webhook,
    fetch::Fetch,
    follow::{Visit, visit},
    head,
    logs::Log,
    source::Source,
    state::{Alarm, Finding, LogState, Outstanding, Stage, State, StateError, StateFile},
    watched::Watched,
};
use crate::{
    error::{CliError, Code, Result},
    output::Format,
};

/// Logs that are visited at once: as many answers are in memory.
const AT_ONCE: usize = 16;
/// The longest pause after rounds that failed.
const MAX_PAUSE: Duration = Duration::from_secs(900);

/// What a monitor works by.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) logs: Vec<Log>,
    /// Where to begin in logs that are new.
    pub(crate) from: Option<u64>,
    /// Names that are watched though the registry does not have them.
    pub(crate) also: BTreeSet<String>,
    pub(crate) grace: Duration,
    pub(crate) interval: Duration,
    pub(crate) webhook: Option<Webhook>,
    /// Whether incidents go to the chain.
    pub(crate) report: bool,
    pub(crate) format: Format,
}

/// A running monitor.
#[derive(Debug)]
pub(crate) struct Monitor {
    settings: Settings,
    registry: Option<Registry>,
    clock: Arc<dyn Clock>,
    fetch: Fetch,
    file: StateFile,
    state: State,
    domains: BTreeMap<String, Address>,
    /// The registry's domains and the names beside them.
    watched: Arc<Watched>,
    /// What a log was last said to have failed with, so that it is said once.
    failures: BTreeMap<String, String>,
}

/// What one round left.
#[derive(Debug, Default)]
struct Round {
    /// Logs with entries that are still to be read.
    behind: usize,
    /// Logs that could not be asked.
    unreachable: usize,
    /// Why something else could not be done.
    failed: Option<CliError>,
}

impl From<StateError> for CliError {
    fn from(error: StateError) -> Self {
        Self::config(error)
    }
}

impl Monitor {
    pub(crate) fn new(
        settings: Settings,
        registry: Option<Registry>,
        clock: Arc<dyn Clock>,
        (file, mut state): (StateFile, State),
    ) -> Result<Self> {
        for log in &settings.logs {
            let known = state.logs.entry(log.url.clone()).or_insert_with(|| LogState::new(log.id));
            if known.id.0 != log.id {
                let text =
                    format!("log {}: the state is of one with another key; is the list right?", log.url);
                return Err(CliError::config(text));
            }
            let heads = known.verified.iter().chain(known.work.as_ref().map(|work| &work.head));
            if heads.into_iter().any(|head| !head::is_signed(log, head)) {
                let what = format!("log {} did not sign the head that is in it", log.url);
                return Err(file.damaged(what).into());
            }
        }
        let fetch = Fetch::new(Arc::clone(&clock))?;
        let (domains, failures) = Default::default();
        let watched = Arc::new(index(settings.also.iter())?);
        Ok(Self { settings, registry, clock, fetch, file, state, domains, watched, failures })
    }

    /// Follows the logs to their present ends once.
    ///
    /// # Errors
    /// `Refused` when something unknown was found or a log misbehaved, `Undecided` when not everything could be looked at.
    pub(crate) async fn once(mut self) -> Result<()> {
        let (told, alarms) = (self.count(|stage| *stage == Stage::Told), self.state.alarms.len());
        let round = loop {
            let round = self.round().await?;
            if round.behind == 0 || round.failed.is_some() {
                break round;
            }
        };
        // What an earlier run told is on chain, or with whoever it was told.
        let unknown = self.count(|stage| *stage != Stage::Waiting).saturating_sub(told);
        let waits = |f: &&Finding| f.stage == Stage::Waiting && self.domains.contains_key(&f.domain);
        let waiting = self.state.findings.iter().filter(waits).count();
        let troubled = self.state.logs.values().filter(|log| log.trouble.is_some()).count();
        let alarms = troubled.max(self.state.alarms.len().saturating_sub(alarms));
        if unknown + alarms > 0 {
            let text = format!("{unknown} certificates that nobody recorded, {alarms} logs that misbehave");
            return Err(CliError::refused(text));
        }
        if let Some(error) = round.failed {
            return Err(error);
        }
        if round.unreachable + waiting > 0 {
            let text = format!(
                "nothing unknown, but {} of {} logs could not be followed to their ends, and {waiting} certificates may still \
                 be recorded",
                round.unreachable,
                self.settings.logs.len()
            );
            return Err(CliError::new(Code::Undecided, text));
        }
        Ok(())
    }

    fn count(&self, is: fn(&Stage) -> bool) -> usize {
        self.state.findings.iter().filter(|finding| is(&finding.stage)).count()
    }

    /// Goes on until it is told to stop.
    ///
    /// # Errors
    /// When the state cannot be kept.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> Result<()> {
        let mut failures = 0;
        loop {
            let Some(round) = stop.run_until_cancelled(self.round()).await else { break };
            let round = round?;
            if let Some(error) = &round.failed {
                eprint(&format!("{error}; trying again"));
            }
            let bad = round.failed.is_some() || round.unreachable == self.settings.logs.len();
            failures = if bad { failures + 1 } else { 0 };
            if round.behind > 0 && !bad {
                continue;
            }
            let pause = self.clock.sleep(pause(self.settings.interval, failures));
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        // A round that was cut off has saved each step that it completed.
        eprint("stopped; the state is saved");
        Ok(())
    }

    /// Visits every log, then tells what is to be told. What fails for now is part of the answer.
    async fn round(&mut self) -> Result<Round> {
        let mut round = Round::default();
        if let Err(error) = self.refresh().await {
            // Whom to look for is not known yet: entries that are read now would be lost.
            if self.domains.is_empty() {
                round.failed = Some(error);
                return Ok(round);
            }
            round.failed = Some(error);
        }
        self.visit_all(&mut round).await?;
        self.file.save(&self.state)?;
        if let Err(error) = self.settle().await {
            round.failed = Some(error);
        }
        self.file.save(&self.state)?;
        if let Err(error) = self.tell().await? {
            round.failed = Some(error);
        }
        Ok(round)
    }

    async fn refresh(&mut self) -> Result<()> {
        let Some(registry) = &self.registry else { return Ok(()) };
        let domains = registry.domains().await?;
        if domains != self.domains {
            eprint(&format!(
                "watching {} domains of the registry in {} logs",
                domains.len(),
                self.settings.logs.len()
            ));
            self.watched = Arc::new(index(domains.keys().chain(&self.settings.also))?);
            self.domains = domains;
        }
        Ok(())
    }

    /// Takes each visit as it ends, so that no log waits for another one's result to be kept. Logs that failed come last.
    async fn visit_all(&mut self, round: &mut Round) -> Result<()> {
        let mut logs = self.settings.logs.clone();
        logs.sort_by_key(|log| self.failures.contains_key(&log.url));
        let visits = logs.into_iter().map(|log| {
            let known = self.state.logs.get(&log.url).cloned().unwrap_or_else(|| LogState::new(log.id));
            let (fetch, watched, clock) =
                (self.fetch.clone(), Arc::clone(&self.watched), Arc::clone(&self.clock));
            let from = self.settings.from;
            async move {
                let source = Source { log: &log, fetch: &fetch };
                let visit = visit(source, known, from, &watched, &*clock).await;
                (log.url, visit)
            }
        });
        let mut visits = stream::iter(visits.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        while let Some((url, visit)) = visits.next().await {
            if self.take(&url, visit, round)? {
                self.file.save(&self.state)?;
            }
        }
        Ok(())
    }

    /// Whether it is further than it was.
    fn take(&mut self, url: &str, visit: Visit, round: &mut Round) -> Result<bool> {
        let size = |log: &LogState| {
            log.work.as_ref().map(|w| w.edge.size()).or(log.verified.as_ref().map(|h| h.size))
        };
        let before = self.state.logs.get(url).and_then(size);
        let after = size(&visit.state);
        if after != before {
            let verified = if visit.state.work.is_some() { "read" } else { "verified" };
            let target =
                visit.state.work.as_ref().map(|w| format!(" of {}", w.head.size)).unwrap_or_default();
            eprint(&format!("{url}: {} entries{target} {verified}", after.unwrap_or(0)));
        }
        // One that fails is not waited for.
        round.behind += usize::from(visit.state.work.is_some() && visit.error.is_none());
        self.state.logs.insert(url.to_owned(), visit.state);
        self.state.add(visit.found)?;
        match visit.error {
            None => {
                self.failures.remove(url);
                if let Some(log) = self.state.logs.get_mut(url) {
                    log.trouble = None;
                }
            }
            Some(LogError::Unreachable(why)) => {
                round.unreachable += 1;
                if self.failures.insert(url.to_owned(), why.clone()).as_ref() != Some(&why) {
                    eprint(&format!("log {url} cannot be followed: {why}"));
                }
            }
            Some(LogError::Misbehaved { misdeed, what, evidence }) => {
                let outstanding =
                    Outstanding { output: true, webhook: self.settings.webhook.is_some(), report: false };
                let at = self.clock.unix();
                let alarm = Alarm { log: url.to_owned(), misdeed, what, evidence, at, outstanding };
                round.unreachable += 1;
                self.state.alarm(alarm);
            }
        }
        Ok(after != before)
    }

    /// Asks the chain about what waits.
    async fn settle(&mut self) -> Result<()> {
        let waits = |f: &&Finding| f.stage == Stage::Waiting;
        let names: BTreeSet<String> =
            self.state.findings.iter().filter(waits).map(|f| f.domain.clone()).collect();
        let registered = names.iter().filter(|name| self.domains.contains_key(*name)).cloned().collect();
        let recorded = match &self.registry {
            Some(registry) => registry.recorded(&registered).await?,
            None => BTreeMap::new(),
        };
        let incident = Outstanding {
            output: true,
            webhook: self.settings.webhook.is_some(),
            report: self.settings.report,
        };
        let whose = |name: &str| match () {
            () if self.domains.contains_key(name) => Whose::Registry,
            () if self.settings.also.contains(name) => Whose::Ours,
            () => Whose::Nobodys,
        };
        let (now, grace) = (self.clock.unix(), self.settings.grace);
        settle(&mut self.state.findings, &recorded, whose, (now, grace), incident);
        Ok(())
    }
}

fn index<'a>(names: impl Iterator<Item = &'a String>) -> Result<Watched> {
    Watched::new(names.cloned()).map_err(|e| CliError::data(format!("too many names to watch: {e}")))
}

fn pause(interval: Duration, failures: u32) -> Duration {
    interval.saturating_mul(2u32.saturating_pow(failures.min(10))).min(MAX_PAUSE.max(interval))
}

#[cfg(test)]
mod tests;
