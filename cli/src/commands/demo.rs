// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate demo`.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::{
    args::DemoArgs,
    context::Context,
    demo::{self, Options, World, report::Printer, report::TITLES},
    error::{CliError, Result},
};

pub(crate) async fn run(context: &Context<'_>, args: &DemoArgs) -> Result<()> {
    let (dir, _temporary) = directory(args.dir.clone())?;
    let options = Options { dir, rpc_port: args.rpc_port, embedded_issuer: args.embedded_issuer };
    let mut printer = Printer::new(std::io::stdout(), context.format());
    let stop = mandate_runtime::shutdown::token().map_err(CliError::unavailable)?;
    let outcome = tokio::select! {
        outcome = demo::run(options, &mut printer) => outcome?,
        () = stop.cancelled() => return Err(CliError::refused("interrupted")),
    };
    if args.keep && outcome.held == TITLES.len() {
        printer.close(outcome.held);
        eprint!("{}", hints(&outcome.world));
        stop.cancelled().await;
    } else {
        printer.close(outcome.held);
    }
    outcome.world.shutdown().await;
    match outcome.held == TITLES.len() {
        true => Ok(()),
        false => Err(CliError::refused(format!("step {} did not hold", outcome.held + 1))),
    }
}

/// The directory to work in, and what removes it afterwards when it is ours.
fn directory(given: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>)> {
    let unusable = |e: std::io::Error| CliError::config(format!("directory for the demo: {e}"));
    match given {
        Some(dir) => {
            std::fs::create_dir_all(&dir).map_err(unusable)?;
            let occupied = std::fs::read_dir(&dir).map_err(unusable)?.next().is_some();
            let text = format!("{} is not empty: the demo starts from nothing", dir.display());
            if occupied { Err(CliError::config(text)) } else { Ok((dir, None)) }
        }
        None => {
            let temporary = tempfile::Builder::new().prefix("mandate-demo-").tempdir().map_err(unusable)?;
            Ok((temporary.path().to_owned(), Some(temporary)))
        }
    }
}

fn hints(world: &World) -> String {
    let config = world.dir.join("mandate.toml");
    let (config, rpc) = (config.display(), world.rpc_url());
    let play = world.play();
    format!(
        "\nEverything still runs; Ctrl-C ends it. Play with it from another shell:\n\n\
         export MANDATE_CONFIG={config}\n\
         export MANDATE_MNEMONIC='test test test test test test test test test test test junk'\n\n\
         mandate status\n\
         mandate committee show\n\
         mandate app show {app}\n\
         mandate domain show {domain}\n\
         mandate query KmsAuth.isRegistered {app}\n\
         mandate query AppAuth.codeState {code} --at {app}\n\
         mandate app register --notice 1h --account {developer}\n\
         mandate app schedule {app} {code3} --propose {governor} --account {alice}\n\
         cast rpc evm_increaseTime {delay} --rpc-url {rpc}      # then the vote is open\n\
         mandate vote --governor {governor} PROPOSAL for --account {alice}\n\
         cast block-number --rpc-url {rpc}\n\
         cast call {kms_auth} 'owner()(address)' --rpc-url {rpc}\n",
        app = play.app,
        domain = play.domain,
        code = play.code,
        code3 = play.next_code,
        governor = play.governor,
        kms_auth = play.kms_auth,
        developer = play.developer,
        alice = play.voter,
        delay = play.voting_delay.as_secs() + 1,
    )
}
