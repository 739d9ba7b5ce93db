// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bad command line in one line, as every other error.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::error::one_line;

/// Shows help where it was asked for, and otherwise what is wrong with the command line.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    let asked = !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if asked {
        // A closed output changes nothing about the answer.
        let _ = error.print();
    } else {
        eprintln!("mandate: {}", line(&error.to_string()));
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The parser's paragraphs as one line: what is wrong, then the usage where it is given.
fn line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let wrong: Vec<_> = text.lines().take_while(|l| !is_closing(l)).collect();
    let usage = text.lines().find(|l| l.starts_with("Usage:")).map(|l| l.replacen("Usage:", "; usage:", 1));
    one_line(&format!("{}{}; --help says more", one_line(&wrong.join(" ")), usage.unwrap_or_default()))
}

fn is_closing(line: &str) -> bool {
    line.starts_with("Usage:") || line.starts_with("For more information")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::Parser;

    #[test]
    fn missing_argument_is_one_line_with_its_usage() {
        let error = Cli::try_parse_from(["mandate", "app", "show"]).unwrap_err();
        let line = line(&error.to_string());
        assert!(
            line.starts_with("the following required arguments were not provided: <APP>; usage: mandate app")
        );
        assert!(line.ends_with("; --help says more") && !line.contains('\n'), "{line}");
    }
}
