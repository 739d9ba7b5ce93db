// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles the contracts and writes `contracts/artifacts`; see `script/build-contracts`.

use std::process::ExitCode;

use mandate_contracts_build as contracts;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
            eprintln!("build-contracts: {}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let root = contracts::root();
    let built = contracts::build(&root)?;
    contracts::write(&root, &built)?;
    for (name, text) in &built {
        println!("{name} {} bytes", text.len());
    }
    Ok(())
}
