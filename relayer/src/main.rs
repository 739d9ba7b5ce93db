// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate-relayer --config FILE`. Exit codes: 0 stopped as asked, 64 bad flags or configuration, 69 something that is
//! needed is not there.

use std::{path::PathBuf, process::ExitCode};

use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use clap::Parser;
use mandate_relayer::{Config, Redact, Service};
use mandate_runtime::{Ambient, config::EX_USAGE, shutdown, telemetry};

/// `EX_UNAVAILABLE` of sysexits.
const EX_UNAVAILABLE: u8 = 69;

/// Carries messages between the Mandate contracts, KMS nodes and gateways.
#[derive(Parser)]
#[command(name = "mandate-relayer", version)]
struct Args {
    /// TOML file; MANDATE_RELAYER_SECTION__FIELD overrides a field.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and leave.
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { EX_USAGE } else { 0 });
        }
    };
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("mandate-relayer: {errors}");
            return errors.exit_code();
        }
    };
    if let Err(e) = config.signer.signer() {
        return fail(EX_USAGE, &e.to_string());
    }
    if let Err(e) = telemetry::init(config.log.format, &config.log.filter) {
        return fail(EX_USAGE, &format!("log.filter: {e}"));
    }
    if args.check {
        println!("{}: ok", args.config.display());
        return ExitCode::SUCCESS;
    }
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(EX_UNAVAILABLE, &why),
    }
}

async fn run(config: Config) -> Result<(), String> {
    // Whoever installed one before us did what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stop = shutdown::token().map_err(|e| format!("signals: {e}"))?;
    let provider = connect(&config).await?;
    let service = Service::start(config, Ambient::system(), provider).await.map_err(|e| e.to_string())?;
    service.run(stop).await;
    Ok(())
}

async fn connect(config: &Config) -> Result<DynProvider, String> {
    let redact = Redact::new(&config.chain.rpc);
    let connected = ProviderBuilder::default().connect(config.chain.rpc.expose()).await;
    connected.map(Provider::erased).map_err(|e| format!("chain.rpc: {}", redact.text(e)))
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("mandate-relayer: {why}");
    ExitCode::from(code)
}
