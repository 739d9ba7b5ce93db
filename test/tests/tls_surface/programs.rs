// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs that are not ours, run to their end.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncWriteExt, process::Command};

/// Longer than any of them takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(150);

/// The program, or nothing and a word about it where it is not installed.
pub fn find(name: &str, package: &str) -> Option<Command> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places).map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed: apt-get install {package}");
    }
    found.map(command)
}

fn command(path: PathBuf) -> Command {
    let mut command = Command::new(path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// What a program left behind.
#[derive(Debug)]
pub struct Ran {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

impl Ran {
    /// Everything that it said, for a look at it when it was not what it should be.
    pub fn all(&self) -> String {
        format!("{}\n{}\nexit code {:?}", self.out, self.err, self.code)
    }

    pub fn says(&self, text: &str) -> bool {
        self.out.contains(text) || self.err.contains(text)
    }

    #[track_caller]
    pub fn must_say(&self, text: &str) {
        assert!(self.says(text), "no {text:?} in:\n{}", self.all());
    }
}

/// Runs it with `input` and then the end of its standard input.
pub async fn run(command: Command, input: &str) -> Ran {
    run_until(command, input, true).await
}

/// The same with a standard input that does not end.
pub async fn run_holding(command: Command, input: &str) -> Ran {
    run_until(command, input, false).await
}

async fn run_until(mut command: Command, input: &str, ends: bool) -> Ran {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Who does not read to the end of it has its reasons.
    let _ = stdin.write_all(input.as_bytes()).await;
    let held = Some(stdin).filter(|_| !ends);
    let ended = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{command:?} does not end")).unwrap();
    drop(held);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code() }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
