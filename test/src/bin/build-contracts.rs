// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles the contracts and writes `contracts/artifacts`; see `script/build-contracts`.

use anyhow::Result;
use mandate_test::artifacts;

fn main() -> Result<()> {
    let root = artifacts::root();
    let built = artifacts::build(&root)?;
    artifacts::write(&root, &built)?;
    for (name, text) in &built {
        println!("{name} {} bytes", text.len());
    }
    Ok(())
}
