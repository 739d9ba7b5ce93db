// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate-gateway --config FILE [--check]`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use mandate_gateway::{Config, Gateway, setup};
use mandate_runtime::{Ambient, config, shutdown, telemetry};

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
    let args = Args::parse();
    let config: Config = match config::load(&args.config, "MANDATE_GATEWAY") {
        Ok(config) => config,
        Err(e) => {
            eprintln!("mandate-gateway: {e}");
            return e.exit_code();
        }
    };
    match run(&config, args.check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("mandate-gateway: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config, check: bool) -> anyhow::Result<()> {
    telemetry::init(config.log.format, &config.log.filter)?;
    // The RPC client asks for the process's provider; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let parts = setup::parts(config, Ambient::system())?;
        if check {
            return Ok(());
        }
        let stop = shutdown::token().context("cannot listen for signals")?;
        let running = Gateway::start(config.gateway.clone(), parts).await?;
        let gateway_stop = running.stop_token();
        tokio::spawn(async move {
            stop.cancelled().await;
            gateway_stop.cancel();
        });
        running.wait().await;
        Ok(())
    })
}
