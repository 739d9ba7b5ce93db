// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command as a shell runs it, beside a chain in this process.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use mandate_devchain::{Config, DevChain, JUNK_MNEMONIC, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// What a run of the command left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The one JSON document on stdout of a run that succeeded.
    pub(crate) fn json(&self) -> Value {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The one line on stderr of a run that ended in `code`, with nothing on stdout.
    #[track_caller]
    pub(crate) fn error(&self, code: i32) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        self.stderr.strip_prefix("mandate: ").unwrap_or_else(|| panic!("{self:?}")).trim_end()
    }
}

/// A directory with a config file, and a chain whose time only the test moves.
pub(crate) struct Shell {
    pub(crate) dir: TempDir,
    pub(crate) chain: DevChain,
    pub(crate) server: Server,
}

impl Shell {
    pub(crate) async fn new() -> Self {
        let chain = DevChain::new(Config { finalized_lag: 0, ..Config::default() }).unwrap();
        let server = chain.serve((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        Self { dir: tempfile::tempdir().unwrap(), chain, server }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    /// Runs `mandate` with the words of `line` in a directory of its own, with nothing of the caller's environment.
    pub(crate) async fn run_with(&self, line: &str, env: &[(&str, &str)]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_mandate"))
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .env_clear()
            .envs(env.iter().copied())
            .output()
            .await
            .unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// As [`Self::run_with`], signing as one of the chain's accounts.
    pub(crate) async fn run(&self, account: usize, line: &str) -> Ran {
        self.run_with(&format!("{line} --account {account}"), &[("MANDATE_MNEMONIC", JUNK_MNEMONIC)]).await
    }

    /// What [`Self::run`] prints with `--json`.
    pub(crate) async fn json(&self, account: usize, line: &str) -> Value {
        self.run(account, &format!("{line} --json")).await.json()
    }

    /// Deploys the contracts as the chain's first account.
    pub(crate) async fn deployed() -> Self {
        let shell = Self::new().await;
        shell.json(0, &format!("deploy --rpc {}", shell.server.http_url())).await;
        shell
    }

    /// Lets the chain's time go on, and a block show it.
    pub(crate) fn pass(&self, time: Duration) {
        self.chain.increase_time(time.as_secs());
        self.chain.mine(1);
    }
}
