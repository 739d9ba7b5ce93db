// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading on after a mistake, so that a report holds all of them.
//!
//! serde stops at the first mistake. So each mistake is noted and mended in the table (an unknown field is dropped, a missing
//! or malformed one is filled in with something that fits), and the table is read again, until nothing is left to note.
//! What was filled in is never used: any problem at all makes the configuration invalid.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Problems;

/// Far above the number of fields of any configuration.
const MAX_PROBLEMS: usize = 200;

/// What came from the environment: by path, the variable's name and its text.
#[derive(Debug, Default)]
pub(super) struct Overrides(BTreeMap<String, (String, String)>);

impl Overrides {
    pub(super) fn insert(&mut self, path: String, variable: String, text: String) {
        self.0.insert(path, (variable, text));
    }

    fn describe(&self, path: &str, what: &str) -> String {
        match self.0.get(path) {
            Some((variable, _)) => format!("{what} (from {variable})"),
            None => what.to_owned(),
        }
    }
}

/// One mistake, as serde words it.
struct Mistake {
    path: String,
    what: String,
}

enum Kind {
    Unknown(String),
    Missing(String),
    Malformed,
}

impl Mistake {
    fn kind(&self) -> Kind {
        let quoted = |prefix: &str| self.what.strip_prefix(prefix)?.split('`').next().map(str::to_owned);
        if let Some(field) = quoted("unknown field `") {
            return Kind::Unknown(field);
        }
        quoted("missing field `").map_or(Kind::Malformed, Kind::Missing)
    }
}

/// Reads `table`; gives the paths of what was filled in.
pub(super) fn read<T: DeserializeOwned>(
    mut table: Table,
    overrides: &Overrides,
    problems: &mut Problems,
) -> (Option<T>, Vec<String>) {
    let mut holes = Vec::new();
    let mut as_text = Vec::new();
    while holes.len() < MAX_PROBLEMS {
        let mistake = match attempt::<T>(&table) {
            Ok((config, ignored)) => {
                ignored
                    .iter()
                    .for_each(|path| problems.push(path, overrides.describe(path, "unknown field")));
                return (Some(config), holes);
            }
            Err(mistake) => mistake,
        };
        if reread_as_text(&mut table, overrides, &mistake.path, &mut as_text) {
            continue;
        }
        let (hole, mended) = match mistake.kind() {
            Kind::Unknown(field) => {
                let at = joined(&parent_of_unknown(&mistake.path, &field), &field);
                problems.push(&at, overrides.describe(&at, "unknown field"));
                let mended = remove(&mut table, &at);
                (at, mended)
            }
            Kind::Missing(field) => {
                let at = joined(&mistake.path, &field);
                problems.push(&at, "missing");
                let mended = fill::<T>(&mut table, &at, candidates());
                (at, mended)
            }
            Kind::Malformed => {
                let what = overrides.describe(&mistake.path, &without_values(&mistake.what));
                problems.push(&mistake.path, what);
                let named = variants(&mistake.what).chain(candidates()).collect();
                let mended = fill::<T>(&mut table, &mistake.path, named);
                (mistake.path, mended)
            }
        };
        if !mended {
            problems.push("", format!("stopped reading at {hole}: there may be more"));
            return (None, holes);
        }
        holes.push(hole);
    }
    (None, holes)
}

fn attempt<T: DeserializeOwned>(table: &Table) -> Result<(T, Vec<String>), Mistake> {
    let mut ignored = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(Value::Table(table.clone()), &mut track);
    let read = serde_ignored::deserialize(tracked, |path| ignored.push(path.to_string()));
    match read {
        Ok(config) => Ok((config, ignored)),
        Err(e) => {
            let e: toml::de::Error = e;
            let path = track.path().to_string();
            Err(Mistake {
                path: if path == "." { String::new() } else { path },
                what: e.message().to_owned(),
            })
        }
    }
}

/// A number or boolean in the environment may be meant as text: tries that once per variable.
fn reread_as_text(table: &mut Table, overrides: &Overrides, path: &str, tried: &mut Vec<String>) -> bool {
    let Some((_, text)) = overrides.0.get(path) else { return false };
    if tried.iter().any(|t| t == path) || matches!(slot(table, path), Some(Value::String(_))) {
        return false;
    }
    tried.push(path.to_owned());
    put(table, path, Value::String(text.clone()))
}

/// Puts something that fits at `path`: whatever makes serde complain about another place, or not at all.
fn fill<T: DeserializeOwned>(table: &mut Table, path: &str, candidates: Vec<Value>) -> bool {
    let fits = |table: &Table, candidate: &Value| match attempt::<T>(table) {
        Ok(_) => true,
        Err(m) if m.path != path => {
            !m.path.is_empty() || matches!(m.kind(), Kind::Missing(_) | Kind::Unknown(_))
        }
        Err(m) => candidate.is_table() && !matches!(m.kind(), Kind::Malformed),
    };
    candidates.into_iter().any(|candidate| put(table, path, candidate.clone()) && fits(table, &candidate))
}

fn candidates() -> Vec<Value> {
    let text = |t: &str| Value::String(t.to_owned());
    let zeros = |n: usize| Value::String(format!("0x{}", "00".repeat(n)));
    vec![
        Value::Table(Table::new()),
        Value::Integer(1),
        Value::Boolean(false),
        Value::Array(Vec::new()),
        text("127.0.0.1:1"),
        text("1s"),
        text("name.example"),
        text("http://127.0.0.1:1"),
        zeros(20),
        zeros(32),
        zeros(48),
        text("text"),
        text("json"),
        text("1"),
        Value::Float(1.0),
    ]
}

/// The words of which serde says that one was expected.
fn variants(what: &str) -> impl Iterator<Item = Value> {
    let expected = what.split_once(", expected ").map(|(_, expected)| expected).unwrap_or_default();
    expected.split('`').skip(1).step_by(2).map(|word| Value::String(word.to_owned()))
}

/// serde's message quotes the value it found; the value may be a secret.
fn without_values(what: &str) -> String {
    let quotes = what.starts_with("invalid ") || what.starts_with("unknown variant ");
    match (what.split_once(", expected "), quotes) {
        (Some((found, expected)), true) => {
            let found = found.split('`').next().unwrap_or_default().split('"').next().unwrap_or_default();
            format!("{}, expected {}", found.trim_end(), expected.trim_end())
        }
        _ => what.trim_end().to_owned(),
    }
}

/// serde names the unknown field itself as the path's last part in some formats and its parent in others.
fn parent_of_unknown(path: &str, field: &str) -> String {
    match path.strip_suffix(field) {
        Some("") => String::new(),
        Some(parent) if parent.ends_with('.') => parent.trim_end_matches('.').to_owned(),
        _ => path.to_owned(),
    }
}

fn joined(parent: &str, field: &str) -> String {
    if parent.is_empty() { field.to_owned() } else { format!("{parent}.{field}") }
}

/// `a.b[2].c` as its steps.
fn steps(path: &str) -> Vec<Step<'_>> {
    let parts = path.split('.').flat_map(|part| part.split('['));
    parts
        .filter(|p| !p.is_empty())
        .map(|p| match p.strip_suffix(']').and_then(|n| n.parse().ok()) {
            Some(n) => Step::Index(n),
            None => Step::Field(p),
        })
        .collect()
}

enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

fn slot<'a>(table: &'a mut Table, path: &str) -> Option<&'a mut Value> {
    let mut steps = steps(path).into_iter();
    let Some(Step::Field(first)) = steps.next() else { return None };
    let mut at = table.get_mut(first)?;
    for step in steps {
        at = match step {
            Step::Field(name) => at.as_table_mut()?.get_mut(name)?,
            Step::Index(n) => at.as_array_mut()?.get_mut(n)?,
        };
    }
    Some(at)
}

fn put(table: &mut Table, path: &str, value: Value) -> bool {
    if let Some(there) = slot(table, path) {
        *there = value;
        return true;
    }
    match path.rsplit_once('.') {
        None if !path.is_empty() => table.insert(path.to_owned(), value).is_none(),
        Some((parent, field)) => match slot(table, parent).and_then(Value::as_table_mut) {
            Some(parent) => parent.insert(field.to_owned(), value).is_none(),
            None => false,
        },
        None => false,
    }
}

fn remove(table: &mut Table, path: &str) -> bool {
    match path.rsplit_once('.') {
        None => table.remove(path).is_some(),
        Some((parent, field)) => {
            slot(table, parent).and_then(Value::as_table_mut).is_some_and(|t| t.remove(field).is_some())
        }
    }
}
