// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the demo tells: one event per thing that happened, as text for a newcomer or as JSON lines.

use std::{io::Write, time::Duration};

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::output::Format;

/// The steps of the story, in order.
pub const TITLES: [&str; 10] = [
    "A chain starts",
    "The contracts are deployed",
    "Services start",
    "The committee makes a key that no machine holds",
    "A DAO votes code v1 in",
    "A guest proves itself and gets its secret",
    "The DAO approves a domain, the gateway gets a certificate",
    "v2 supersedes v1 and gets the same secret",
    "The guardian revokes v2",
    "Lies and losses are refused",
];

/// What kind of thing happened. `Held` carries the last block and transaction that its step relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A step begins.
    Begin,
    /// Something happened as it should.
    Done,
    /// Something was asked for and refused, as it should be.
    Refused,
    /// The step's claims all held.
    Held,
    /// The step failed.
    Failed,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// 1 to 10.
    pub step: usize,
    /// What kind of thing.
    pub kind: Kind,
    /// A sentence.
    pub text: String,
    /// Height of the block where it happened, or that was judged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub block: Option<u64>,
    /// The transaction that did it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transaction: Option<B256>,
    /// More, by name.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub facts: Map<String, Value>,
    /// Wall time since the demo began.
    pub elapsed_ms: u64,
}

/// Receives events as they happen.
pub trait Sink: Send {
    /// Takes one event.
    fn event(&mut self, event: &Event);
}

/// Keeps every event, for tests.
impl Sink for Vec<Event> {
    fn event(&mut self, event: &Event) {
        self.push(event.clone());
    }
}

/// Writes events as text or JSON lines.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    format: Format,
}

impl<W: Write + Send> Printer<W> {
    /// A printer onto `out`.
    pub fn new(out: W, format: Format) -> Self {
        Self { out, format }
    }

    /// Writes the closing line.
    pub fn close(&mut self, held: usize) {
        let _ = match self.format {
            Format::Text => writeln!(self.out, "\ndemo: {held} of {} steps held", TITLES.len()),
            Format::Json => {
                writeln!(self.out, "{}", serde_json::json!({"held": held, "steps": TITLES.len()}))
            }
        };
    }
}

impl<W: Write + Send> Sink for Printer<W> {
    fn event(&mut self, event: &Event) {
        let line = match self.format {
            Format::Json => serde_json::to_string(event).unwrap_or_default(),
            Format::Text => text(event),
        };
        // A closed pipe ends the telling, not the story.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

fn title(step: usize) -> &'static str {
    step.checked_sub(1).and_then(|i| TITLES.get(i)).copied().unwrap_or_default()
}

fn text(event: &Event) -> String {
    let mut line = match event.kind {
        Kind::Begin => return format!("\n{:>2}. {}", event.step, event.text),
        Kind::Done => format!("    · {}", event.text),
        Kind::Refused => format!("    ✗ {}", event.text),
        Kind::Held => format!("    ✓ {}", event.text),
        Kind::Failed => format!("    FAILED {}", event.text),
    };
    let mut place = Vec::new();
    if let Some(block) = event.block {
        let as_of = if event.kind == Kind::Held { "as of " } else { "" };
        place.push(format!("{as_of}block {block}"));
    }
    if let Some(tx) = event.transaction {
        place.push(format!("tx {tx}"));
    }
    for (name, value) in &event.facts {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        place.push(format!("{} {value}", name.replace('_', " ")));
    }
    if !place.is_empty() {
        line.push_str(&format!("\n        {}", place.join(", ")));
    }
    line
}

/// Builds events of the running step.
pub struct Teller<'a> {
    sink: &'a mut dyn Sink,
    step: usize,
    last: (Option<u64>, Option<B256>),
    elapsed: Box<dyn Fn() -> Duration + Send + 'a>,
}

impl std::fmt::Debug for Teller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").field("step", &self.step).finish_non_exhaustive()
    }
}

impl<'a> Teller<'a> {
    /// Tells to `sink`; `elapsed` is the time since the demo began.
    pub fn new(sink: &'a mut dyn Sink, elapsed: impl Fn() -> Duration + Send + 'a) -> Self {
        Self { sink, step: 0, last: (None, None), elapsed: Box::new(elapsed) }
    }

    /// Begins the next step.
    pub fn begin(&mut self, step: usize) {
        self.step = step;
        self.tell(Kind::Begin, title(step));
    }

    /// The step's claims held, as of the last block and transaction that were told.
    pub fn held(&mut self) {
        let (block, transaction) = self.last;
        self.at(Kind::Held, title(self.step), block, transaction, &[]);
    }

    /// Something happened that has no place on the chain.
    pub fn tell(&mut self, kind: Kind, text: impl Into<String>) {
        self.at(kind, text, None, None, &[]);
    }

    /// Something happened, with its place and further facts.
    pub fn at(
        &mut self,
        kind: Kind,
        text: impl Into<String>,
        block: Option<u64>,
        transaction: Option<B256>,
        facts: &[(&str, Value)],
    ) {
        self.last = (block.or(self.last.0), transaction.or(self.last.1));
        let facts = facts.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let elapsed_ms = u64::try_from((self.elapsed)().as_millis()).unwrap_or(u64::MAX);
        let event = Event { step: self.step, kind, text: text.into(), block, transaction, facts, elapsed_ms };
        self.sink.event(&event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_line_reads_back_when_it_has_no_place() {
        let mut seen: Vec<Event> = Vec::new();
        let mut teller = Teller::new(&mut seen, || Duration::from_millis(7));
        teller.begin(1);
        teller.tell(Kind::Done, "x");
        drop(teller);
        let line = serde_json::to_string(&seen[1]).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), seen[1]);
        assert!(!line.contains("transaction"));
    }

    #[test]
    fn printer_closes_with_the_count() {
        let mut out = Vec::new();
        Printer::new(&mut out, Format::Text).close(10);
        assert_eq!(String::from_utf8(out).unwrap(), "\ndemo: 10 of 10 steps held\n");
    }
}
