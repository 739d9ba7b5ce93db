// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The peer: ponder, an indexer from npm, on the same events of the same chain (`test/peers/ponder`). `script/bench` installs
//! it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mandate_runtime::{
    http::{Client, HttpError},
    net::TcpNet,
};
use serde::Deserialize;

use super::{process::memory_of, town::Town};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// What was measured of it.
pub(super) struct Peer {
    /// Events per second, from when it serves until it says that it is ready: its database takes seconds to start.
    pub(super) rate: f64,
    /// Most resident memory, in MiB.
    pub(super) peak: f64,
}

#[derive(Deserialize)]
struct Count {
    events: u64,
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _waited = self.0.wait();
    }
}

impl Running {
    /// When `url` is answered with success.
    async fn until(&mut self, client: &Client, url: &str, started: Instant) -> Result<Instant> {
        loop {
            match client.get_json::<serde::de::IgnoredAny>(url).await {
                // Its pages are text or empty, which is well as long as the status is.
                Ok(_) | Err(HttpError::Malformed { .. }) => return Ok(Instant::now()),
                Err(_) => {}
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("ponder ended by itself: {status}");
            }
            ensure!(started.elapsed() < PATIENCE, "ponder was not ready within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Lets ponder index the first `blocks` blocks that were minted.
pub(super) async fn ponder(town: &Town, rpc: &str, blocks: u64) -> Result<Peer> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/ponder");
    let program = home.join("node_modules/ponder/dist/esm/bin/ponder.js");
    ensure!(program.exists(), "ponder is not installed: run script/bench, or `npm ci` in test/peers/ponder");
    let dir = tempfile::tempdir()?;
    let port = mandate_runtime::net::free_port()?;
    let work = project(&home, dir.path())?;
    let end = town.first_minted + blocks - 1;
    let started = Instant::now();
    let child = command(&program, &work, port, town, rpc, end).spawn().context("cannot start node")?;
    let mut running = Running(child);
    let client = Client::new(Arc::new(TcpNet)).timeout(Duration::from_secs(5));
    let base = format!("http://127.0.0.1:{port}");
    let serving = running.until(&client, &format!("{base}/health"), started).await?;
    // 503 until everything up to the end block is indexed.
    let ready = running.until(&client, &format!("{base}/ready"), started).await?;
    let took = ready - serving;
    let Count { events } = client.get_json(&format!("{base}/count")).await?;
    // Three to seven of a block.
    ensure!((blocks * 3..=blocks * 7).contains(&events), "ponder has {events} events of {blocks} blocks");
    Ok(Peer { rate: events as f64 / took.as_secs_f64(), peak: memory_of(running.0.id(), "VmHWM:")? })
}

/// Ponder writes beside its configuration, so that gets a directory of its own.
fn project(home: &Path, dir: &Path) -> Result<PathBuf> {
    for file in ["package.json", "ponder.config.ts", "ponder.schema.ts", "src/index.ts", "src/api/index.ts"] {
        let to = dir.join(file);
        to.parent().map(std::fs::create_dir_all).transpose()?;
        std::fs::copy(home.join(file), to).with_context(|| file.to_owned())?;
    }
    std::os::unix::fs::symlink(home.join("node_modules"), dir.join("node_modules"))?;
    Ok(dir.to_owned())
}

fn command(program: &Path, work: &Path, port: u16, town: &Town, rpc: &str, end: u64) -> Command {
    let apps: Vec<String> = town.apps.iter().map(ToString::to_string).collect();
    let mut command = Command::new("node");
    command
        .arg(program)
        .args(["start", "--schema", "bench", "--hostname", "127.0.0.1", "--port", &port.to_string()])
        .current_dir(work)
        .env("PONDER_TELEMETRY_DISABLED", "true")
        .env("BENCH_RPC_URL", rpc)
        .env("BENCH_CHAIN_ID", town.deployment.chain_id.to_string())
        .env("BENCH_END_BLOCK", end.to_string())
        .env("BENCH_APPS", apps.join(","))
        .env("BENCH_REGISTRY", town.deployment.domain_registry.to_string())
        .env("BENCH_COMMITTEE", town.deployment.committee.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}
