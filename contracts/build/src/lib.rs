// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The contract build: compiles `contracts/` and renders the artifacts that are committed in `contracts/artifacts`.
//!
//! The compiler is the npm package that `package.json` pins, behind `script/solc.cjs`; a native solc of the same version
//! is used when `SOLC` names one. Both give the same bytes: the metadata hash is off, and keys are sorted.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use foundry_compilers::solc::Solc;
use serde_json::{Map, Value, json};

/// The contracts whose artifacts are committed.
pub const CONTRACTS: [&str; 11] = [
    "AppAuth",
    "AppGovernor",
    "DomainRegistry",
    "GovernanceFactory",
    "GovernanceNft",
    "GovernanceToken",
    "KmsAuth",
    "KmsCommittee",
    "RebuildCondition",
    "ReceiptAnchor",
    "RoleCouncil",
];

/// File name and text of each artifact.
pub type Artifacts = BTreeMap<String, String>;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where the committed artifacts are.
pub fn directory(root: &Path) -> PathBuf {
    root.join("contracts").join("artifacts")
}

/// Compiles the contracts under `root` and renders their artifacts.
pub fn build(root: &Path) -> Result<Artifacts> {
    let solc = compiler(root, std::env::var_os("SOLC"))?;
    let input = input(root)?;
    let output: Value = solc.compile_as(&input).with_context(|| format!("{} failed", solc.solc.display()))?;
    check_diagnostics(&output)?;
    CONTRACTS.iter().map(|name| Ok((format!("{name}.json"), artifact(&output, name)?))).collect()
}

/// Replaces the committed artifacts under `root`. Files that belong to no contract are removed.
pub fn write(root: &Path, artifacts: &Artifacts) -> Result<()> {
    let directory = directory(root);
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for name in committed(root)?.keys().filter(|name| !artifacts.contains_key(*name)) {
        let path = directory.join(name);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    for (name, text) in artifacts {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Reads the committed artifacts under `root`.
pub fn committed(root: &Path) -> Result<Artifacts> {
    files(&directory(root), "json")?
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, read(&path)?))
        })
        .collect()
}

/// The compiler: the native one that `native` names, or else the pinned package.
fn compiler(root: &Path, native: Option<OsString>) -> Result<Solc> {
    let modules = root.join("node_modules");
    if !modules.join("@openzeppelin").is_dir() {
        bail!("{} has no packages; run `npm ci` in {}", modules.display(), root.display());
    }
    let mut solc = match native {
        Some(path) => {
            Solc::new(PathBuf::from(&path)).with_context(|| format!("SOLC={} is no solc", path.display()))?
        }
        None => {
            let script = root.join("script").join("solc.cjs");
            Solc::new_with_args("node", [script.display().to_string()])
                .with_context(|| format!("cannot run `node {} --version`", script.display()))?
        }
    };
    solc.base_path = Some(root.to_path_buf());
    solc.include_paths.insert(modules);
    Ok(solc)
}

/// Standard JSON with every source under `contracts/`; libraries are found through the include path. The settings are
/// those of `foundry.toml`.
fn input(root: &Path) -> Result<Value> {
    let mut sources = Map::new();
    for path in files(&root.join("contracts"), "sol")? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        sources.insert(name, json!({ "content": read(&path)? }));
    }
    Ok(json!({
        "language": "Solidity",
        "sources": sources,
        "settings": {
            "evmVersion": "cancun",
            "optimizer": { "enabled": true, "runs": 200 },
            "metadata": { "bytecodeHash": "none", "appendCBOR": false },
            "outputSelection": { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object",
                "evm.deployedBytecode.immutableReferences"] } },
        },
    }))
}

/// Errors fail the build, and so do warnings about our own sources.
fn check_diagnostics(output: &Value) -> Result<()> {
    let ours = |entry: &&Value| {
        let file = entry.pointer("/sourceLocation/file").and_then(Value::as_str).unwrap_or_default();
        entry.get("severity").and_then(Value::as_str) == Some("error") || file.starts_with("contracts/")
    };
    let entries = output.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<_> = entries
        .iter()
        .filter(ours)
        .filter_map(|e| e.get("formattedMessage").and_then(Value::as_str))
        .collect();
    if texts.is_empty() {
        Ok(())
    } else {
        bail!("the contracts do not compile cleanly:\n{}", texts.join("\n"))
    }
}

/// The artifact of `name`, in the form that alloy's `sol!` reads.
fn artifact(output: &Value, name: &str) -> Result<String> {
    let compiled = output
        .get("contracts")
        .and_then(Value::as_object)
        .and_then(|files| files.iter().find(|(file, _)| file.ends_with(&format!("/{name}.sol"))))
        .and_then(|(_, contracts)| contracts.get(name))
        .with_context(|| format!("the compiler's output has no contract {name}"))?;
    let bytecode = |kind: &str| {
        let object = compiled.pointer(&format!("/evm/{kind}/object")).and_then(Value::as_str);
        object.map(|hex| format!("0x{hex}")).with_context(|| format!("{name} has no {kind}"))
    };
    let artifact = json!({
        "contractName": name,
        "abi": compiled.get("abi"),
        "bytecode": { "object": bytecode("bytecode")? },
        "deployedBytecode": { "object": bytecode("deployedBytecode")?, "immutables": immutables(compiled) },
    });
    Ok(serde_json::to_string_pretty(&sorted(artifact))? + "\n")
}

/// Where the constructor writes into the deployed code: `[offset, length]` in bytes, in order. The compiler groups them by
/// node of its syntax tree, and those have other numbers after every edit.
fn immutables(compiled: &Value) -> Vec<[u64; 2]> {
    let references = compiled.pointer("/evm/deployedBytecode/immutableReferences").and_then(Value::as_object);
    let places = references.into_iter().flat_map(Map::values).filter_map(Value::as_array).flatten();
    let number = |place: &Value, name| place.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut found: Vec<_> = places.map(|at| [number(at, "start"), number(at, "length")]).collect();
    found.sort_unstable();
    found
}

/// Sorts the keys of every object, whichever map `serde_json` was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(map) => {
            let map: BTreeMap<_, _> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(map.into_iter().collect())
        }
        other => other,
    }
}

/// Every file below `directory` with `extension`, in order.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_says_what_to_run_when_the_packages_are_missing() {
        let empty = tempfile::tempdir().unwrap();
        let error = compiler(empty.path(), None).unwrap_err().to_string();
        assert!(error.contains("run `npm ci`"), "{error}");
    }

    #[test]
    fn sorted_orders_keys_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{"b":[{"d":1,"c":2}],"a":0}"#).unwrap();
        assert_eq!(sorted(value).to_string(), r#"{"a":0,"b":[{"c":2,"d":1}]}"#);
    }

    #[test]
    fn diagnostics_of_libraries_pass_unless_they_are_errors() {
        let warning = |file: &str, severity: &str| json!({ "errors": [{ "severity": severity, "formattedMessage": "text", "sourceLocation": { "file": file } }] });
        assert!(check_diagnostics(&warning("@openzeppelin/contracts/x.sol", "warning")).is_ok());
        assert!(check_diagnostics(&warning("@openzeppelin/contracts/x.sol", "error")).is_err());
        assert!(check_diagnostics(&warning("contracts/AppAuth.sol", "warning")).is_err());
    }

    #[test]
    fn write_removes_artifacts_of_contracts_that_are_gone() {
        let root = tempfile::tempdir().unwrap();
        let of = |name: &str| Artifacts::from([(name.to_owned(), "{}\n".to_owned())]);
        write(root.path(), &of("Old.json")).unwrap();
        write(root.path(), &of("New.json")).unwrap();
        assert_eq!(committed(root.path()).unwrap(), of("New.json"));
    }
}
