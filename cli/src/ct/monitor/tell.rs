// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes the steps that are outstanding, saving after each: a crash repeats the last one at most.

use std::io::Write;

use serde_json::Value;

use super::{Monitor, Outstanding, Stage};
use crate::{
    ct::effects,
    error::{CliError, Result},
    output::{Format, printable},
};

impl Monitor {
    /// Tells what is outstanding. The inner error is why something could not be told yet.
    pub(super) async fn tell(&mut self) -> Result<Result<()>> {
        let mut failed = Ok(());
        for i in 0..self.state.alarms.len() {
            let Some(alarm) = self.state.alarms.get(i).filter(|a| !a.outstanding.is_none()) else { continue };
            let (body, outstanding) = (effects::alarm(alarm), alarm.outstanding);
            let (left, error) = self.tell_one(&body, outstanding).await;
            failed = failed.and(error);
            if let Some(alarm) = self.state.alarms.get_mut(i) {
                alarm.outstanding = left;
            }
            self.file.save(&self.state)?;
        }
        for i in 0..self.state.findings.len() {
            let Some(finding) = self.state.findings.get(i) else { continue };
            let Stage::Incident(outstanding) = finding.stage else { continue };
            let chain_id = self.registry.as_ref().map(|registry| registry.chain_id);
            let body = effects::incident(finding, self.domains.get(&finding.domain), chain_id);
            // The chain first: it is what gateways and visitors look at.
            let (reported, report) = self.report(i, outstanding).await;
            failed = failed.and(reported);
            let (left, error) = self.tell_one(&body, outstanding).await;
            failed = failed.and(error);
            let left = Outstanding { report, ..left };
            if let Some(finding) = self.state.findings.get_mut(i) {
                finding.stage = if left.is_none() { Stage::Told } else { Stage::Incident(left) };
            }
            self.file.save(&self.state)?;
        }
        Ok(failed)
    }

    /// Whether it is still to be done, and why.
    async fn report(&self, index: usize, outstanding: Outstanding) -> (Result<()>, bool) {
        let (Some(finding), Some(registry), true) =
            (self.state.findings.get(index), &self.registry, outstanding.report)
        else {
            return (Ok(()), false);
        };
        match effects::report(registry, finding).await {
            Ok(text) => {
                eprint(&text);
                (Ok(()), false)
            }
            Err(error) => (Err(error), true),
        }
    }

    async fn tell_one(&self, body: &Value, outstanding: Outstanding) -> (Outstanding, Result<()>) {
        let mut left = outstanding;
        let mut failed = Ok(());
        if outstanding.output {
            match print(self.settings.format, body) {
                Ok(()) => left.output = false,
                Err(e) => failed = Err(CliError::unavailable(format!("cannot write to stdout: {e}"))),
            }
        }
        match &self.settings.webhook {
            Some(webhook) if outstanding.webhook => {
                match webhook.deliver(&self.fetch, &*self.clock, body).await {
                    Ok(()) => left.webhook = false,
                    Err(e) => failed = failed.and(Err(CliError::unavailable(format!("the webhook: {e}")))),
                }
            }
            // The one that it was for is no longer given.
            _ => left.webhook = false,
        }
        (left, failed)
    }
}

fn print(format: Format, body: &Value) -> std::io::Result<()> {
    let line = match format {
        Format::Json => body.to_string(),
        Format::Text => {
            let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            printable(&format!("{}: {}", text("event"), text("text")))
        }
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Progress and failures.
pub(super) fn eprint(text: &str) {
    eprintln!("mandate: {}", printable(text));
}
