// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate image measure` on published firmware: the files and digests of the `sev` package.

#[path = "../../../kms/attestation/src/sev_package.rs"]
mod sev_package;

use mandate_attestation::OsImage;
use serde_json::json;

use crate::shell::Shell;

/// AmdSev OVMF that starts an empty kernel and initrd, on four virtual CPUs (`tests/measurement.rs` of `sev`).
const FOUR_CPUS: &str =
    "0x5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5";
/// The same firmware alone, on one.
const FIRMWARE_ALONE: &str =
    "0x19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d";

#[tokio::test]
async fn launch_digests_are_the_published_ones_and_the_manifest_has_the_hash() {
    let shell = Shell::new().await;
    let firmware = sev_package::tests().join("measurement/ovmf_AmdSev_suffix.bin");
    let measure = format!("image measure --snp-firmware {} --json", firmware.display());
    let alone = shell.run_with(&measure, &[]).await.json();
    assert_eq!(alone["snp"][0]["measurement"], FIRMWARE_ALONE, "{alone}");

    let line = format!("{measure} --kernel /dev/null --initrd /dev/null --vcpus 1,4 --manifest os.json");
    let told = shell.run_with(&line, &[]).await.json();
    let rows = told["snp"].as_array().unwrap();
    let cpus: Vec<_> = rows.iter().map(|row| &row["vcpus"]).collect();
    assert_eq!((cpus, &rows[1]["measurement"]), (vec![&json!(1), &json!(4)], &json!(FOUR_CPUS)), "{told}");

    let manifest = std::fs::read(shell.path("os.json")).unwrap();
    assert_eq!(told["osImageHash"], format!("{:#x}", OsImage::hash(&manifest)));
    assert_eq!(OsImage::parse(&manifest).unwrap().snp.len(), 2);
    let again = shell.run_with(&line, &[]).await;
    assert!(again.error(65).contains("os.json"), "what is there is not overwritten: {again:?}");
}

#[tokio::test]
async fn files_that_cannot_be_measured_are_refused_by_name() {
    let shell = Shell::new().await;
    let firmware = sev_package::tests().join("measurement/ovmf_AmdSev_suffix.bin").display().to_string();
    shell.write("text", "no firmware");
    for (line, why) in [
        ("--snp-firmware nowhere.fd".to_owned(), "nowhere.fd"),
        ("--snp-firmware text".to_owned(), "OVMF's table"),
        (format!("--snp-firmware {firmware} --vcpus 0"), "launch digest"),
        (format!("--snp-firmware {firmware} --vcpu-type Z80"), "--vcpu-type Z80"),
        ("--tdx-firmware text --kernel text --initrd text".to_owned(), "TDX metadata"),
    ] {
        let ran = shell.run_with(&format!("image measure {line}"), &[]).await;
        assert!(ran.error(65).contains(why), "{line}: {ran:?}");
    }
    for line in ["", "--tdx-firmware text", &format!("--snp-firmware {firmware} --guest-features many")] {
        assert_eq!(shell.run_with(&format!("image measure {line}"), &[]).await.code, 2, "{line}");
    }
}
