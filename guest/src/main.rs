// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate-guest`: the agent inside the TEE. Exit codes: 0 stopped as asked, 64 bad flags or configuration, 69 something
//! that is needed is not there.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use mandate_attestation::quoter::{Surroundings, TsmQuoter};
use mandate_guest::{Config, Service, config::ENV_PREFIX};
use mandate_runtime::{
    Ambient, causes,
    config::{EX_UNAVAILABLE, EX_USAGE, load},
    entropy, shutdown, telemetry,
};

/// The agent inside a TEE: gets the app's secret from the KMS committee and serves it to the app.
///
/// It proves itself with quotes from the kernel's report interface (configfs-tsm, Intel TDX), and it sends along what
/// verifiers need: the event log and the OS image's manifest, each from a file of the configuration, and the quote's
/// collateral, from a provisioning certificate caching service (evidence.collateral.pccs_url) or from files
/// (evidence.collateral.dir).
///
/// Settings of the file are overridden by the environment: MANDATE_GUEST_CHAIN__CHAIN_ID=1 sets chain.chain_id.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration, TOML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read and check the configuration, then stop.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EX_USAGE } else { 0 });
        }
    };
    let config: Config = match load(&arguments.config, ENV_PREFIX) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("mandate-guest: {errors}");
            return errors.exit_code();
        }
    };
    if let Err(error) = telemetry::init(config.log.format, &config.log.filter) {
        eprintln!("mandate-guest: {error}");
        return ExitCode::from(EX_USAGE);
    }
    if arguments.check {
        println!("{}: ok", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mandate-guest: {}", causes(error.as_ref()));
            ExitCode::from(EX_UNAVAILABLE)
        }
    }
}

fn surroundings(ambient: &Ambient) -> Surroundings {
    let (clock, source) = (ambient.clock.clone(), ambient.entropy.clone());
    Surroundings { now: Arc::new(move || clock.unix()), random: Arc::new(move || entropy::bytes(&*source)) }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    let evidence = config.evidence.clone().ok_or_else(|| anyhow::anyhow!("evidence is not configured"))?;
    let stop = shutdown::token()?;
    let ambient = Ambient::system();
    let quoter = Arc::new(TsmQuoter::new(surroundings(&ambient), evidence)?);
    let service = Service::start(config, ambient, quoter).await?;
    tracing::info!(socket = %service.socket().display(), operations = ?service.operations_address(), "agent is listening");
    service.run(stop).await;
    Ok(())
}
