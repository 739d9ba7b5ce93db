// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `sev` package's own test files, wherever cargo keeps it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The directory with its tests.
pub(crate) fn tests() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let sev =
        packages.iter().find(|package| package["name"] == "sev" && package["version"] == "8.0.0").unwrap();
    Path::new(sev["manifest_path"].as_str().unwrap()).parent().unwrap().join("tests")
}
