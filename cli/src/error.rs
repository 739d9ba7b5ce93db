// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a command fails: one line for a person, one exit code for a script.

use std::{fmt, process::ExitCode};

use crate::output::printable;

/// Exit codes, as `mandate --help` lists them. Bad flags end in 2 before any command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The contracts, a service or a check said no.
    Refused = 1,
    /// A config file or key cannot be read, or holds something it must not.
    Config = 64,
    /// An argument or a file is not what it must be.
    Data = 65,
    /// An RPC endpoint or service cannot be reached, or a port is taken.
    Unavailable = 69,
    /// Neither yes nor no: what a decision needs was missing, stale or contradictory.
    Undecided = 75,
    /// The chain at the endpoint is not the one that was asked for.
    WrongChain = 76,
}

/// A failed command.
#[derive(Debug)]
pub struct CliError {
    /// What the process exits with.
    pub code: Code,
    /// What was wrong, where, and what to do.
    pub message: String,
}

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    /// An error of `code` with its message.
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: one_line(&message.to_string()) }
    }

    /// Unreadable or invalid configuration.
    pub fn config(message: impl fmt::Display) -> Self {
        Self::new(Code::Config, message)
    }

    /// An argument that parses but means nothing.
    pub fn data(message: impl fmt::Display) -> Self {
        Self::new(Code::Data, message)
    }

    /// Nobody answers.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(Code::Unavailable, message)
    }

    /// Somebody answered no.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(Code::Refused, message)
    }
}

/// Errors of libraries span lines; a shell user wants one, and nothing in it that a terminal would obey.
pub(crate) fn one_line(text: &str) -> String {
    printable(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_one_line_when_the_cause_spans_several() {
        let e = CliError::config("TOML parse error\n  |\n1 | x\n");
        assert_eq!(e.to_string(), "TOML parse error | 1 | x");
        assert_eq!(e.code as u8, 64);
    }
}
