// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real quotes with the collateral of their day, as `dcap-qvl` ships them in its package. They are read from where cargo
//! keeps the package; nothing of them is kept here.

use std::{path::PathBuf, process::Command};

use mandate_attestation::Collateral;
use serde_json::Value;

/// 1 July 2025: in the time of `tdx_quote`'s collateral.
pub const IN_TIME_2025_07: u64 = 1_751_328_000;
/// 25 February 2026: in the time of `tdx_quote_outdated`'s collateral.
pub const IN_TIME_2026_02: u64 = 1_772_000_000;
/// 23 October 2026: in the time of `tdx_quote_td15ex`'s collateral.
pub const IN_TIME_2026_10: u64 = 1_792_713_600;

pub struct Samples(PathBuf);

impl Samples {
    pub fn of_the_package() -> Self {
        let host =
            Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).arg("-vV").output().unwrap();
        let host = String::from_utf8(host.stdout).unwrap();
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let metadata = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
        let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == "dcap-qvl").unwrap();
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        Self(manifest.parent().unwrap().join("sample"))
    }

    /// Names of all files.
    pub fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A quote, in bytes or in hex.
    pub fn quote(&self, name: &str) -> Vec<u8> {
        let bytes = std::fs::read(self.0.join(name)).unwrap();
        match name.ends_with(".hex") {
            true => {
                hex::decode(std::str::from_utf8(&bytes).unwrap().trim().trim_start_matches("0x")).unwrap()
            }
            false => bytes,
        }
    }

    pub fn collateral(&self, name: &str) -> Collateral {
        let text = std::fs::read(self.0.join(format!("{name}_collateral.json"))).unwrap();
        Collateral::from(serde_json::from_slice::<dcap_qvl::QuoteCollateralV3>(&text).unwrap())
    }

    pub fn intel_root(&self) -> Vec<u8> {
        std::fs::read(self.0.join("../src/TrustedRootCA.der")).unwrap()
    }
}
