// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate-gateway --config FILE [--check]`. Exit codes: 0 stopped as asked, 64 bad flags or configuration, 69 something
//! that is needed is not there.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use mandate_gateway::{Config, Gateway, Live, Parts, Reload, ReloadError, Reloader, Settings, setup};
use mandate_runtime::{
    Ambient, causes,
    config::{self, ConfigErrors, EX_UNAVAILABLE, EX_USAGE},
    shutdown, telemetry,
};
use tokio::signal::unix::{SignalKind, signal};

const ENVIRONMENT: &str = "MANDATE_GATEWAY";

/// Routes TLS to authorised apps and obtains their certificates.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Configuration file; MANDATE_GATEWAY_SECTION__FIELD in the environment overrides it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read the configuration, report every problem, and end.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { EX_USAGE } else { 0 });
        }
    };
    let config: Config = match config::load(&args.config, ENVIRONMENT) {
        Ok(config) => config,
        Err(e) => {
            eprintln!("mandate-gateway: {e}");
            return e.exit_code();
        }
    };
    if let Err(e) = telemetry::init(config.log.format, &config.log.filter) {
        return fail(EX_USAGE, &e.into());
    }
    // The RPC client asks for the process's provider; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let reload = reload(args.config.clone(), config.clone());
    let parts = match setup::parts(&config, Ambient::system(), Some(reload)) {
        Ok(parts) => parts,
        Err(e) => return fail(EX_USAGE, &e.into()),
    };
    if args.check {
        println!("{}: ok", args.config.display());
        return ExitCode::SUCCESS;
    }
    let live = config.live();
    match run(config.gateway, live, parts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(EX_UNAVAILABLE, &e),
    }
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    eprintln!("mandate-gateway: {}", causes(error.as_ref()));
    ExitCode::from(code)
}

/// Reads the file again: what may change is taken over, unless more has changed.
fn reload(path: PathBuf, running: Config) -> Reload {
    Arc::new(move || {
        let read =
            config::load(&path, ENVIRONMENT).map_err(|e: ConfigErrors| ReloadError::Config(e.to_string()));
        let fresh: Config = read?;
        match running.needs_restart(&fresh) {
            sections if sections.is_empty() => Ok(fresh.live()),
            sections => Err(ReloadError::NeedsRestart { sections }),
        }
    })
}

/// SIGHUP, as daemons have it. What comes of it is in the log.
async fn reload_on_hangup(reloader: Reloader) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let _ = reloader.reload();
        }
    });
    Ok(())
}

fn run(settings: Settings, live: Live, parts: Parts) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let stop = shutdown::token().context("cannot listen for signals")?;
        let running = Gateway::start(settings, live, parts).await?;
        reload_on_hangup(running.reloader()).await?;
        let gateway_stop = running.stop_token();
        tokio::spawn(async move {
            stop.cancelled().await;
            gateway_stop.cancel();
        });
        running.wait().await;
        Ok(())
    })
}
