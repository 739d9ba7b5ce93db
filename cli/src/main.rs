// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `mandate` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    mandate_cli::start(std::env::args_os())
}
