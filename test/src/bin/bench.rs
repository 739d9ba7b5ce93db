// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Measures and prints one line per figure; see `script/bench`. Exit codes: 0 measured, 1 could not be measured, 64 no such
//! benchmark. A figure that falls short of its target is measured all the same.

use std::{path::Path, process::ExitCode};

use mandate_test::bench::{self, BENCHES, Plan};

/// `EX_USAGE` of sysexits.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["list"] {
        for bench in BENCHES {
            println!("{:<20}{}", bench.name, bench.about);
        }
        return ExitCode::SUCCESS;
    }
    if let [role, config] = arguments.as_slice()
        && role == bench::RELAYER_ROLE
    {
        return exit("relayer", run_relayer(config.as_ref()));
    }
    if let [role, dir] = arguments.as_slice()
        && role == bench::GATEWAY_ROLE
    {
        return exit("gateway", run_gateway(dir.as_ref()));
    }
    let plan = match Plan::parse(&arguments) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("bench: {why}");
            return ExitCode::from(EX_USAGE);
        }
    };
    match run(&plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A benchmark started this program again to be something else.
fn exit(role: &str, ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {role}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run_gateway(dir: &Path) -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    bench::gateway_role(dir).await
}

#[tokio::main]
async fn run_relayer(config: &Path) -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    bench::relayer_role(config).await
}

#[tokio::main]
async fn run(plan: &Plan) -> anyhow::Result<()> {
    // TLS needs one process-wide provider; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    for name in &plan.names {
        for figure in bench::measure(name, plan.samples).await? {
            println!("{figure}");
        }
    }
    Ok(())
}
