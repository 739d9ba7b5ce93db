// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prepares the committed artifacts for the bindings' generator.
//!
//! The generator puts `IAppPolicy.Init` into a module of its own and cannot see from there the file-level enums that it
//! names. Without their names the enums are the `uint8` that they are in the ABI.

use std::{env, error::Error, fs, path::Path};

use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let artifacts = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../artifacts");
    let out = env::var("OUT_DIR")?;
    println!("cargo::rerun-if-changed={}", artifacts.display());
    for entry in fs::read_dir(&artifacts)? {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|e| e == "json")) else {
            continue;
        };
        let mut artifact: Value = serde_json::from_slice(&fs::read(&path)?)?;
        unname_enums(&mut artifact);
        let prepared = json!({ "abi": artifact.get("abi"), "bytecode": artifact.get("bytecode") });
        fs::write(Path::new(&out).join(name), serde_json::to_vec(&prepared)?)?;
    }
    Ok(())
}

fn unname_enums(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(unname_enums),
        Value::Object(fields) => {
            if fields.get("internalType").and_then(Value::as_str).is_some_and(|t| t.starts_with("enum ")) {
                fields.remove("internalType");
            }
            fields.values_mut().for_each(unname_enums);
        }
        _ => {}
    }
}
