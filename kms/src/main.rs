// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate-kms --config FILE`: one committee node. Exit codes: 0 stopped as asked, 64 bad flags or configuration, 69
//! something that is needed is not there, 70 a part of it ended by itself.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use anyhow::Context;
use clap::Parser;
use mandate_attestation::{
    Quoter, Verifier,
    quoter::{Surroundings, TsmQuoter},
};
use mandate_kms::{Config, Ended, Node, Outside, config::ENV_PREFIX};
use mandate_runtime::{Ambient, causes, config, entropy, shutdown, telemetry};

/// sysexits.h's EX_SOFTWARE.
const EX_SOFTWARE: u8 = 70;

/// One node of the KMS committee.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// The configuration file (TOML). `MANDATE_KMS_SECTION__FIELD` in the environment overrides it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Only check the configuration and the trust anchors.
    #[arg(long)]
    check: bool,

    /// Forget a contradiction about finality on which the node stopped, say what it was, and end: for the operator who has
    /// found out which endpoint lied. The node must not run.
    #[arg(long, conflicts_with = "check")]
    clear_latch: bool,

    /// Print the node's public keys in JSON, which its admission names, and end. Makes the key file when there is none.
    #[arg(long, conflicts_with_all = ["check", "clear_latch"])]
    keys: bool,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { config::EX_USAGE } else { 0 });
        }
    };
    let config: Config = match config::load(&args.config, ENV_PREFIX) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("mandate-kms: {errors}");
            return errors.exit_code();
        }
    };
    let (verifier, providers) = match prepare(&config) {
        Ok(prepared) => prepared,
        Err(error) => return fail(config::EX_USAGE, &error),
    };
    if args.check {
        println!("{}: ok", args.config.display());
        return ExitCode::SUCCESS;
    }
    if args.keys {
        return match Node::keys(&config, &Ambient::system()) {
            Ok(keys) => {
                let (dealing, sealing) = (keys.dealing_public(), keys.sealing_public());
                let shown = serde_json::json!({
                    "node": keys.address(), "dealingKey": dealing, "sealingKey": sealing,
                });
                println!("{shown}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(config::EX_UNAVAILABLE, &error.into()),
        };
    }
    if args.clear_latch {
        return match Node::clear_latch(&config) {
            Ok(Some(contradiction)) => {
                println!("cleared: {contradiction}");
                ExitCode::SUCCESS
            }
            Ok(None) => {
                println!("nothing to clear");
                ExitCode::SUCCESS
            }
            Err(error) => fail(config::EX_UNAVAILABLE, &error.into()),
        };
    }
    match run(config, verifier, providers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Ended>() => fail(EX_SOFTWARE, &error),
        Err(error) => fail(config::EX_UNAVAILABLE, &error),
    }
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    eprintln!("mandate-kms: {}", causes(error.as_ref()));
    ExitCode::from(code)
}

/// What else the configuration names. Nothing is contacted or bound yet.
fn prepare(config: &Config) -> anyhow::Result<(Verifier, Vec<DynProvider>)> {
    telemetry::init(config.log.format, &config.log.filter)?;
    let verifier = Verifier::new(config.trust_anchors.load()?).with_images(config.load_images()?);
    let providers = config.chain.rpc.iter().enumerate().map(|(index, url)| provider(index, url.expose()));
    Ok((verifier, providers.collect::<anyhow::Result<_>>()?))
}

#[tokio::main]
async fn run(config: Config, verifier: Verifier, providers: Vec<DynProvider>) -> anyhow::Result<()> {
    let stop = shutdown::token()?;
    let ambient = Ambient::system();
    let quoter = config.evidence.clone().map(|sources| TsmQuoter::new(surroundings(&ambient), sources));
    let quoter = quoter.transpose()?.map(|quoter| Arc::new(quoter) as Arc<dyn Quoter>);
    let running = Node::start(config, Outside { ambient, providers, verifier, quoter }).await?;
    let node = running.token();
    tokio::spawn(async move {
        stop.cancelled().await;
        node.cancel();
    });
    Ok(running.wait().await?)
}

fn surroundings(ambient: &Ambient) -> Surroundings {
    let (clock, source) = (ambient.clock.clone(), ambient.entropy.clone());
    Surroundings { now: Arc::new(move || clock.unix()), random: Arc::new(move || entropy::bytes(&*source)) }
}

/// The URL may hold credentials, so errors name its place in the list and not itself.
fn provider(index: usize, url: &str) -> anyhow::Result<DynProvider> {
    let url = url.parse().ok().with_context(|| format!("chain.rpc, entry {index}: not a URL"))?;
    Ok(ProviderBuilder::new().connect_http(url).erased())
}
