// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `mandate` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    mandate_cli::main(mandate_cli::Cli::parse())
}
