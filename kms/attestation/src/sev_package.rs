// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `sev` package's own test files, wherever cargo keeps it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The directory with its tests. Packages of other platforms are not asked for: nobody has fetched those.
pub(crate) fn tests() -> PathBuf {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = String::from_utf8(Command::new(rustc).arg("-vV").output().unwrap().stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let sev =
        packages.iter().find(|package| package["name"] == "sev" && package["version"] == "8.0.0").unwrap();
    Path::new(sev["manifest_path"].as_str().unwrap()).parent().unwrap().join("tests")
}
