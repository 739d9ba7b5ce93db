// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A relayer in a process of its own, and what the kernel says of its memory.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, bail};
use mandate_model::{deployment::Deployment, wire::relayer::RelayerStatus};
use mandate_relayer::{Config, Service, chain::Endpoints};
use mandate_runtime::{Ambient, http::Client, net::TcpNet, shutdown, telemetry};

/// The argument that turns this program into a relayer: `bench relayer-role CONFIG`.
pub const RELAYER_ROLE: &str = "relayer-role";

const MIB: f64 = 1_048_576.0;

/// What a relayer of a benchmark is told.
#[derive(Debug, Clone)]
pub(super) struct Setting<'a> {
    pub(super) rpc: String,
    pub(super) store: String,
    pub(super) deployment: &'a Deployment,
    pub(super) gateways: Vec<String>,
    pub(super) key: PrivateKeySigner,
    /// Further lines of TOML.
    pub(super) more: &'a str,
}

/// A running relayer; ends when dropped.
pub(super) struct RelayerProcess {
    child: Child,
    base: String,
    client: Client,
}

impl Drop for RelayerProcess {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

impl RelayerProcess {
    /// Starts one with its files in `dir`.
    pub(super) fn start(dir: &Path, setting: &Setting<'_>) -> Result<Self> {
        let port = mandate_runtime::net::free_port()?;
        let path = write_config(dir, port, setting)?;
        let child = Command::new(std::env::current_exe()?)
            .arg(RELAYER_ROLE)
            .arg(&path)
            .env("MANDATE_RELAYER_SIGNER__KEY", format!("{}", setting.key.to_bytes()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start a relayer")?;
        let client = Client::new(std::sync::Arc::new(TcpNet)).timeout(Duration::from_secs(5));
        Ok(Self { child, base: format!("http://127.0.0.1:{port}"), client })
    }

    /// How far it is; nothing while it does not answer yet.
    pub(super) async fn status(&mut self) -> Result<Option<RelayerStatus>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the relayer ended by itself: {status}");
        }
        Ok(self.client.get_json(&format!("{}/v1/status", self.base)).await.ok())
    }

    /// Waits until `done` holds, looking so often.
    pub(super) async fn until(
        &mut self,
        every: Duration,
        done: impl Fn(&RelayerStatus) -> bool,
    ) -> Result<RelayerStatus> {
        loop {
            if let Some(status) = self.status().await?
                && done(&status)
            {
                return Ok(status);
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Resident memory now, in MiB.
    pub(super) fn memory(&self) -> Result<f64> {
        memory_of(self.child.id(), "VmRSS:")
    }

    /// The most that it ever was, in MiB.
    pub(super) fn peak(&self) -> Result<f64> {
        memory_of(self.child.id(), "VmHWM:")
    }
}

/// One line of `/proc/PID/status`, in MiB.
pub(super) fn memory_of(pid: u32, line: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let kib = text.lines().find_map(|l| l.strip_prefix(line)).and_then(|l| l.split_whitespace().next());
    let kib: f64 = kib.with_context(|| format!("{path} has no {line}"))?.parse()?;
    Ok(kib * 1_024.0 / MIB)
}

fn write_config(dir: &Path, port: u16, setting: &Setting<'_>) -> Result<PathBuf> {
    let Setting { rpc, store, deployment: d, gateways, more, .. } = setting;
    let text = format!(
        r#"listen = "127.0.0.1:{port}"
gateways = {gateways:?}
[deployment]
chain_id = {}
kms_auth = "{}"
committee = "{}"
domain_registry = "{}"
app_implementation = "{}"
role_council = "{}"
genesis_block = {}
[store]
{store}
[log]
filter = "warn"
{}
{more}
"#,
        d.chain_id,
        d.kms_auth,
        d.committee,
        d.domain_registry,
        d.app_implementation,
        d.role_council,
        d.genesis_block,
        chain_section(rpc),
    );
    let path = dir.join(format!("relayer-{port}.toml"));
    std::fs::write(&path, text)?;
    Ok(path)
}

fn chain_section(rpc: &str) -> String {
    format!("[chain]\npoll = \"250ms\"\nstall_after = \"400days\"\n[[chain.endpoints]]\nurl = \"{rpc}\"")
}

/// Runs a relayer until the process is ended.
///
/// # Errors
/// When it does not start.
pub async fn relayer_role(config: &Path) -> Result<()> {
    let config = Config::load(config).map_err(|e| anyhow::anyhow!("{e}"))?;
    telemetry::init(config.log.format, &config.log.filter)?;
    let stop = shutdown::token()?;
    let service = start(config).await?;
    service.run(stop).await;
    Ok(())
}

async fn start(config: Config) -> Result<Service> {
    let ambient = Ambient::system();
    let endpoints = Endpoints::new(&config.chain, config.deployment.chain_id, ambient.clone())?;
    Ok(Service::start(config, ambient, endpoints).await?)
}
