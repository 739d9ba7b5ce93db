// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Against every vector for QEMU that the `sev` package publishes (`tests/measurement.rs`, Apache-2.0), from its own files.

use alloy::hex;

use super::*;
use crate::measure::ovmf::ENTRY_TAIL;

fn files() -> PathBuf {
    crate::sev_package::tests().join("measurement")
}

const AMD_SEV: &str = "ovmf_AmdSev_suffix.bin";
const X64: &str = "ovmf_OvmfX64_suffix.bin";
const EMPTY: &str = "/dev/null";

struct Vector {
    firmware: &'static str,
    with_kernel: bool,
    command_line: Option<&'static str>,
    vcpus: u32,
    features: u64,
    digest: &'static str,
}

const fn vector(
    firmware: &'static str,
    with_kernel: bool,
    command_line: Option<&'static str>,
    vcpus: u32,
    features: u64,
    digest: &'static str,
) -> Vector {
    Vector { firmware, with_kernel, command_line, vcpus, features, digest }
}

const LINE: Option<&str> = Some("console=ttyS0 loglevel=7");

#[rustfmt::skip]
const VECTORS: [Vector; 8] = [
    vector(AMD_SEV, true, LINE, 1, 0x1, "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa"),
    vector(AMD_SEV, true, LINE, 1, 0x21, "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977"),
    vector(AMD_SEV, false, None, 1, 0x1, "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d"),
    vector(AMD_SEV, false, None, 1, 0x21, "e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b"),
    vector(AMD_SEV, true, None, 4, 0x1, "5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5"),
    vector(AMD_SEV, true, None, 4, 0x21, "4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942"),
    vector(X64, false, None, 1, 0x1, "da0296de8193586a5512078dcd719eccecbd87e2b825ad4148c44f665dc87df21e5b49e21523a9ad993afdb6a30b4005"),
    vector(X64, false, None, 1, 0x21, "28797ae0afaba4005a81e629acebfb59e6687949d6be44007cd5506823b0dd66f146aaae26ff291eed7b493d8a64c385"),
];

fn launch<'a>(firmware: &'a Path, kernel: Option<&'a Path>) -> SnpLaunch<'a> {
    SnpLaunch {
        firmware,
        kernel,
        initrd: kernel,
        command_line: None,
        vcpus: 1,
        vcpu_type: CpuType::EpycV4,
        features: 1,
    }
}

#[test]
fn launch_digests_are_the_published_ones() {
    let files = files();
    for vector in VECTORS {
        let firmware = files.join(vector.firmware);
        let kernel = vector.with_kernel.then(|| Path::new(EMPTY));
        let launch = SnpLaunch {
            command_line: vector.command_line,
            vcpus: vector.vcpus,
            features: vector.features,
            ..launch(&firmware, kernel)
        };
        assert_eq!(hex::encode(snp_measurement(&launch).unwrap()), vector.digest);
    }
}

#[test]
fn launches_that_cannot_be_are_refused() {
    let files = files();
    let (amd_sev, x64) = (files.join(AMD_SEV), files.join(X64));
    let kernel = Some(Path::new(EMPTY));
    assert!(snp_measurement(&launch(&x64, kernel)).is_err(), "firmware without a place for kernel hashes");
    assert!(snp_measurement(&SnpLaunch { vcpus: 0, ..launch(&amd_sev, kernel) }).is_err());
    assert!(snp_measurement(&SnpLaunch { initrd: kernel, ..launch(&amd_sev, None) }).is_err());
    assert!(snp_measurement(&launch(Path::new("/nowhere"), kernel)).is_err());
}

#[test]
fn malformed_firmware_is_an_error_and_no_panic() {
    let good = std::fs::read(files().join(AMD_SEV)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("firmware");
    for bytes in [&b""[..], b"OVMF", &good[..40], &good[good.len() - 64..]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(snp_measurement(&launch(&path, None)).is_err(), "{} bytes", bytes.len());
    }
}

/// The library would index outside the file; its panic would be printed before it could be caught.
#[test]
fn metadata_outside_the_file_is_refused_before_the_library_sees_it() {
    let good = std::fs::read(files().join(AMD_SEV)).unwrap();
    assert!(check_metadata(&good).is_ok());
    let metadata = good.len() - Table::of(&good).unwrap().offset(METADATA_GUID).unwrap();
    let guid = good.windows(16).rposition(|window| window == METADATA_GUID).unwrap();
    for (at, what) in
        [(guid + 16 - ENTRY_TAIL - 4, "offset"), (metadata + 4, "length"), (metadata + 12, "count")]
    {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(check_metadata(&bad).unwrap_err().to_string().contains("out of bounds"), "{what}");
    }
    for end in (0..good.len()).step_by(61) {
        assert!(check_metadata(&good[..end]).is_err(), "{end} bytes");
    }
}
