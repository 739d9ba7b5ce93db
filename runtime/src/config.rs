// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Configuration: one TOML file and environment overrides, read before anything is bound, every problem reported at once.
//!
//! `PREFIX_SECTION__FIELD=value` in the environment overrides `section.field` of the file. Fields that the service does not
//! know are refused. Values never appear in a report: some of them are secrets.

use std::{
    fmt::{self, Display},
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub mod duration;
mod secret;
mod tolerant;

pub use secret::{Secret, SecretFileError, secret_file};

/// `EX_USAGE` of sysexits: bad flags or configuration.
pub const EX_USAGE: u8 = 64;

/// `EX_UNAVAILABLE` of sysexits: something that the service needs is not there.
pub const EX_UNAVAILABLE: u8 = 69;

/// The largest configuration file that is read.
const MAX_FILE: u64 = 1 << 20;

/// Checks that need more than one field, or more than a type.
pub trait Validate {
    /// Reports every problem there is.
    fn validate(&self, problems: &mut Problems);
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `section.field`, or empty for the file as a whole.
    pub path: String,
    /// What is wrong with it, without its value.
    pub what: String,
}

/// A list of problems that is being gathered.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn push(&mut self, path: impl Display, what: impl Display) {
        let problem = Problem { path: path.to_string(), what: what.to_string() };
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Adds one unless `holds`.
    pub fn require(&mut self, holds: bool, path: impl Display, what: impl Display) {
        if !holds {
            self.push(path, what);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    file: PathBuf,
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// What is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// 64.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(EX_USAGE)
    }
}

impl Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |p: &Problem| match p.path.is_empty() {
            true => p.what.clone(),
            false => format!("{}: {}", p.path, p.what),
        };
        write!(f, "{}: ", self.file.display())?;
        match self.problems.as_slice() {
            [only] => f.write_str(&one(only)),
            many => {
                write!(f, "{} problems", many.len())?;
                many.iter().try_for_each(|p| write!(f, "\n  {}", one(p)))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads `path` and the process's environment.
///
/// # Errors
/// Every problem of file, environment and `T`'s own checks.
pub fn load<T: DeserializeOwned + Validate>(path: &Path, env_prefix: &str) -> Result<T, ConfigErrors> {
    load_from(
        path,
        env_prefix,
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
    )
}

/// [`load`] with an environment of the caller's.
///
/// # Errors
/// Likewise.
pub fn load_from<T: DeserializeOwned + Validate>(
    path: &Path,
    env_prefix: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigErrors> {
    let failed = |problems| ConfigErrors { file: path.to_owned(), problems };
    let table = read(path).map_err(|what| failed(vec![Problem { path: String::new(), what }]))?;
    parse(table, env_prefix, environment).map_err(|problems| failed(problems.0))
}

fn read(path: &Path) -> Result<Table, String> {
    let size = std::fs::metadata(path).map_err(|e| format!("cannot be read: {e}"))?.len();
    if size > MAX_FILE {
        return Err(format!("larger than {MAX_FILE} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    text.parse::<Table>().map_err(|e| {
        // The error's own text quotes the line, and the line may hold a secret.
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("not TOML, line {}: {}", before.matches('\n').count() + 1, e.message())
    })
}

fn parse<T: DeserializeOwned + Validate>(
    mut table: Table,
    env_prefix: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<T, Problems> {
    let mut problems = Problems::default();
    let mut overrides = tolerant::Overrides::default();
    for (name, text) in environment {
        let Some(field) = name.strip_prefix(env_prefix).and_then(|rest| rest.strip_prefix('_')) else {
            continue;
        };
        let path: Vec<String> = field.split("__").map(str::to_ascii_lowercase).collect();
        match set(&mut table, &path, value_of(&text)) {
            Ok(()) => overrides.insert(path.join("."), name, text),
            Err(()) => problems.push(name, "names no field"),
        }
    }
    let (config, holes) = tolerant::read::<T>(table, &overrides, &mut problems);
    if let Some(config) = &config {
        let mut own = Problems::default();
        config.validate(&mut own);
        // A field that was missing or malformed has been filled in to read on: what is said about it means nothing.
        own.0
            .retain(|p| !holes.iter().any(|hole| p.path == *hole || p.path.starts_with(&format!("{hole}."))));
        problems.0.extend(own.0);
    }
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

/// An override's text as TOML when it is that, as a string otherwise.
fn value_of(text: &str) -> Value {
    let as_toml = format!("v = {text}").parse::<Table>().ok();
    let value = as_toml.and_then(|mut t| if t.len() == 1 { t.remove("v") } else { None });
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), ()> {
    let (field, sections) = path.split_last().ok_or(())?;
    if path.iter().any(String::is_empty) {
        return Err(());
    }
    let mut at = table;
    for section in sections {
        at = at.entry(section).or_insert_with(|| Value::Table(Table::new())).as_table_mut().ok_or(())?;
    }
    at.insert(field.clone(), value);
    Ok(())
}

#[cfg(test)]
mod tests;
