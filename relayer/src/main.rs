// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate-relayer`. Exit codes: 0 done, or stopped as asked; 1 what a command names is not there or not in a state for it;
//! 64 bad flags or configuration; 69 something that is needed is not there.

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use mandate_relayer::{
    Config, Service,
    chain::Endpoints,
    operator::{self, Operation, OperatorError},
};
use mandate_runtime::{Ambient, config::EX_USAGE, shutdown, telemetry};

/// `EX_UNAVAILABLE` of sysexits.
const EX_UNAVAILABLE: u8 = 69;
const NOT_SO: u8 = 1;

/// Carries messages between the Mandate contracts, KMS nodes and gateways.
///
/// Without a command it runs. The other commands work on the configured database, also while a relayer runs.
/// Exit codes: 0 done; 1 what the command names is not there or not in a state for it; 64 bad flags or configuration;
/// 69 something that is needed is not there.
#[derive(Parser)]
#[command(name = "mandate-relayer", version)]
struct Args {
    /// TOML file; MANDATE_RELAYER_SECTION__FIELD overrides a field.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Check the configuration and leave.
    #[arg(long)]
    check: bool,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs until told to stop. The default.
    Run,
    #[command(flatten)]
    Operation(Operation),
    /// Writes completions for a shell to standard output.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: Shell,
    },
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
    if let Some(Command::Completions { shell }) = args.command {
        clap_complete::generate(shell, &mut Args::command(), "mandate-relayer", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let Some(path) = args.config else { return fail(EX_USAGE, "--config FILE is needed") };
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("mandate-relayer: {errors}");
            return errors.exit_code();
        }
    };
    if let Some(Command::Operation(operation)) = args.command {
        return operate(&config, operation, args.json).await;
    }
    if let Err(e) = config.check() {
        return fail(EX_USAGE, &e.to_string());
    }
    if let Err(e) = telemetry::init(config.log.format, &config.log.filter) {
        return fail(EX_USAGE, &format!("log.filter: {e}"));
    }
    if args.check {
        println!("{}: ok", path.display());
        return ExitCode::SUCCESS;
    }
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(EX_UNAVAILABLE, &why),
    }
}

async fn operate(config: &Config, operation: Operation, json: bool) -> ExitCode {
    let done = async {
        let store = operator::open(config, Ambient::system().clock).await?;
        let chain = config.deployment.chain_id;
        operator::operate(operation, &*store, chain, json, &mut std::io::stdout()).await
    };
    match done.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e @ OperatorError::NotSo(_)) => fail(NOT_SO, &e.to_string()),
        Err(e) => fail(EX_UNAVAILABLE, &e.to_string()),
    }
}

async fn run(config: Config) -> Result<(), String> {
    // Whoever installed one before us did what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stop = shutdown::token().map_err(|e| format!("signals: {e}"))?;
    let ambient = Ambient::system();
    let endpoints = Endpoints::new(&config.chain, config.deployment.chain_id, ambient.clone());
    let endpoints = endpoints.map_err(|e| format!("chain.quorum: {e}"))?;
    let service = Service::start(config, ambient, endpoints).await.map_err(|e| e.to_string())?;
    service.run(stop).await;
    Ok(())
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("mandate-relayer: {why}");
    ExitCode::from(code)
}
