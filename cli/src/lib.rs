// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `mandate` command: the demo, and what developers, voters and auditors do from a shell.

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

// Unit tests use the log of the tests of the command, which knows this crate by its name.
#[cfg(test)]
extern crate self as mandate_cli;

mod args;
pub mod audit;
mod commands;
mod connection;
mod context;
pub mod ct;
pub mod demo;
pub mod deploy;
mod error;
mod names;
mod output;
pub mod replay;
mod revert;
mod site;
mod usage;
mod value;
mod verify;
mod wallet;

pub use args::Cli;
pub use context::ConfigFile;
pub use error::{CliError, Code};
pub use output::Format;

/// Parses and runs a command line, program name first, to its exit code.
pub fn start(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(args) {
        Ok(cli) => main(cli),
        Err(e) => usage::explain(&e),
    }
}

/// Runs a parsed command line to its exit code.
pub fn main(cli: Cli) -> ExitCode {
    // TLS needs one process-wide provider; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&CliError::unavailable(format!("cannot start: {e}"))),
    };
    match runtime.block_on(commands::run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&e),
    }
}

fn fail(error: &CliError) -> ExitCode {
    eprintln!("mandate: {error}");
    error.code.into()
}
