// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate image measure`, without a chain or a config file.

use std::path::PathBuf;

use alloy::primitives::hex;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::shell::Shell;

/// A firmware that the `sev` package ships for its tests, wherever cargo keeps it.
fn firmware(name: &str) -> String {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let sev = packages.iter().find(|package| package["name"] == "sev").unwrap();
    let manifest = PathBuf::from(sev["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().join("tests/measurement").join(name).display().to_string()
}

/// The digests are those that the `sev` package publishes for these launches.
#[tokio::test]
async fn launch_digests_are_printed_and_their_manifest_hashes_to_the_image_hash() {
    let shell = Shell::new().await;
    let firmware = firmware("ovmf_AmdSev_suffix.bin");
    let line = format!(
        "image measure --name test --snp-firmware {firmware} --kernel /dev/null --initrd /dev/null --vcpus 1,4 \
         --manifest image.json --json"
    );
    let shown = shell.run_with(&line, &[]).await.json();
    assert_eq!(
        shown["snp"][1]["measurement"],
        "0x5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5"
    );
    assert_eq!(shown["snp"][1]["vcpus"], 4);
    assert_eq!(shown["snp"][0]["vcpuType"], "EPYC-v4");
    let manifest = std::fs::read(shell.path("image.json")).unwrap();
    assert_eq!(shown["osImageHash"], format!("0x{}", hex::encode(Sha256::digest(&manifest))));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["snp"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["snp"][0]["measurement"], shown["snp"][0]["measurement"]);

    let again = shell.run_with(&line, &[]).await;
    assert!(again.error(65).contains("image.json"), "{again:?}");
}

#[tokio::test]
async fn guest_features_and_vcpu_types_change_the_digest() {
    let shell = Shell::new().await;
    let firmware = firmware("ovmf_AmdSev_suffix.bin");
    let measured = async |options: &str| {
        let line = format!("image measure --snp-firmware {firmware} {options} --json");
        shell.run_with(&line, &[]).await.json()["snp"][0]["measurement"].clone()
    };
    assert_eq!(
        measured("--guest-features 0x21").await,
        "0xe1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b"
    );
    assert_ne!(measured("").await, measured("--vcpu-type EPYC-Milan").await);
}

#[tokio::test]
async fn images_that_cannot_be_measured_end_in_65_and_bad_combinations_in_2() {
    let shell = Shell::new().await;
    let (amd_sev, x64) = (firmware("ovmf_AmdSev_suffix.bin"), firmware("ovmf_OvmfX64_suffix.bin"));
    let text = shell.write("text", "no firmware");
    for (options, part) in [
        (format!("--snp-firmware {x64} --kernel /dev/null"), "SNP_KERNEL_HASHES"),
        (format!("--snp-firmware {amd_sev} --vcpu-type 486"), "--vcpu-type 486"),
        (format!("--snp-firmware {amd_sev} --vcpus 0"), "at least one"),
        ("--snp-firmware nowhere.fd".to_owned(), "nowhere.fd"),
        (format!("--tdx-firmware {text} --kernel {text} --initrd {text}"), "TDX metadata"),
    ] {
        let ran = shell.run_with(&format!("image measure {options}"), &[]).await;
        assert!(ran.error(65).contains(part), "{ran:?}");
    }
    for (options, part) in [
        ("--name x".to_owned(), "--snp-firmware"),
        (format!("--snp-firmware {amd_sev} --cmdline quiet"), "--kernel"),
        (format!("--tdx-firmware {text}"), "--kernel"),
        (format!("--snp-firmware {amd_sev} --guest-features many"), "'many'"),
        (format!("--snp-firmware {amd_sev} --acpi-loader {text}"), "--acpi-rsdp"),
    ] {
        let ran = shell.run_with(&format!("image measure {options}"), &[]).await;
        assert!(ran.error(2).contains(part), "{ran:?}");
    }
}
