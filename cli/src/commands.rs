// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One module per command, each named as the command is.

use std::io::Write;

use clap::CommandFactory;

use mandate_runtime::telemetry;

use crate::{
    args::{AppCommand, Cli, Command, ImageCommand, VerifyCommand},
    context::Context,
    error::{CliError, Result},
};

mod app;
mod audit;
mod committee;
mod demo;
mod deploy;
pub(crate) mod domain;
mod evidence;
mod governance;
mod image;
mod judged;
pub(crate) mod proven;
mod query;
mod replay;
mod status;
mod verify;

/// Runs one command.
pub(crate) async fn run(cli: &Cli) -> Result<()> {
    let filter = match cli.global.verbose {
        0 => None,
        1 => Some("mandate=info"),
        _ => Some("mandate=trace"),
    };
    if let Some(filter) = filter {
        telemetry::init(telemetry::Format::Text, filter).map_err(CliError::config)?;
    }
    let context = Context::new(&cli.global);
    match &cli.command {
        Command::Demo(args) => demo::run(&context, args).await,
        Command::Deploy(args) => deploy::run(&context, args).await,
        Command::App(AppCommand::Register(args)) => app::register(&context, args).await,
        Command::App(AppCommand::Show { app }) => app::show(&context, *app).await,
        Command::App(AppCommand::Schedule(args)) => app::schedule(&context, args).await,
        Command::App(AppCommand::Revoke(args)) => app::revoke(&context, args).await,
        Command::Propose(args) => governance::propose(&context, args).await,
        Command::Vote(args) => governance::vote(&context, args).await,
        Command::Delegate(args) => governance::delegate(&context, args).await,
        Command::Queue(args) => governance::queue(&context, args).await,
        Command::Execute(args) => governance::execute(&context, args).await,
        Command::Committee(command) => committee::run(&context, command).await,
        Command::Domain(command) => domain::run(&context, command).await,
        Command::Image(ImageCommand::Measure(args)) => image::measure(&context, args),
        Command::Status => status::run(&context).await,
        Command::Verify(VerifyCommand::Deployment(args)) => verify::deployment(&context, args).await,
        Command::Verify(VerifyCommand::Evidence(args)) => evidence::run(&context, args).await,
        Command::Bundle(args) => replay::fetch(&context, args).await,
        Command::Replay(args) => replay::run(&context, args),
        Command::Audit(args) => audit::run(&context, args).await,
        Command::Query(args) => query::run(&context, args).await,
        Command::Completions { shell } => {
            // Into memory first: the generator panics when its output is closed early.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "mandate", &mut script);
            std::io::stdout().write_all(&script).map_err(CliError::unavailable)
        }
    }
}
