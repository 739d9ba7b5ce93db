// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A thread plays the kernel: `inblob` and `outblob` are pipes, so each side waits for the other as it would there.

use std::{process::Command, thread};

use super::*;
use crate::{
    DigestVersion,
    dev_pki::{DevGuest, DevPki},
    pccs::{CollateralConfig, Platform},
    verify,
};
use alloy::primitives::{Address, B256};

const NOW: u64 = 1_790_000_000;

fn fifo(path: &Path) -> io::Result<()> {
    let made = Command::new("mkfifo").arg(path).status()?;
    made.success().then_some(()).ok_or_else(|| io::Error::other("mkfifo"))
}

/// What the kernel does at mkdir.
fn appears(entry: &Path) -> io::Result<()> {
    std::fs::create_dir(entry)?;
    std::fs::write(entry.join("provider"), "tdx_guest\n")?;
    std::fs::write(entry.join("generation"), "0\n")?;
    fifo(&entry.join("inblob"))?;
    fifo(&entry.join("outblob"))?;
    // Tells the kernel's thread that the entry is whole.
    let kernel = entry.parent().map(|root| root.join("kernel")).unwrap_or_default();
    std::fs::write(kernel, entry.display().to_string())
}

/// An event as upstream writes it.
fn logged(event: &Event) -> serde_json::Value {
    let version = if event.digest_version == DigestVersion::V2 { 2 } else { 1 };
    serde_json::json!({
        "imr": event.register,
        "event_type": event.kind,
        "digest": hex::encode(event.digest()),
        "event": event.name,
        "event_payload": hex::encode(&event.payload),
        "version": version,
    })
}

struct World {
    dir: tempfile::TempDir,
    pki: DevPki,
    guest: DevGuest,
}

impl World {
    fn new() -> Self {
        let guest = DevGuest::new(Address::repeat_byte(0xaa), B256::repeat_byte(0xcc));
        let world = Self { dir: tempfile::tempdir().unwrap(), pki: DevPki::from_seed([3; 32]), guest };
        let Evidence::Tdx(tdx) = world.pki.evidence(&world.guest, [0; 64], NOW) else { panic!() };
        let events: Vec<_> = tdx.event_log.iter().map(logged).collect();
        std::fs::write(world.at("events.json"), serde_json::to_vec(&events).unwrap()).unwrap();
        std::fs::write(world.at("image.json"), &tdx.image).unwrap();
        let collateral = dcap_qvl::QuoteCollateralV3::from(&world.pki.current_collateral(NOW));
        let file = world.at(&format!("{}.json", Platform::of(&tdx.quote).unwrap()));
        std::fs::write(file, serde_json::to_vec(&collateral).unwrap()).unwrap();
        fifo(&world.at("kernel")).unwrap();
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn quoter(&self) -> TsmQuoter {
        let sources = EvidenceSources {
            report_dir: self.dir.path().to_owned(),
            event_log: self.at("events.json"),
            image: Some(self.at("image.json")),
            collateral: CollateralConfig {
                dir: Some(self.dir.path().to_owned()),
                ..CollateralConfig::default()
            },
        };
        let surroundings = Surroundings { now: Arc::new(|| NOW), random: Arc::new(|| [7; 8]) };
        TsmQuoter { create: appears, ..TsmQuoter::new(surroundings, sources).unwrap() }
    }

    /// Answers one request, as after `writes` writes.
    fn kernel(&self, writes: u64) -> thread::JoinHandle<()> {
        let (pki, guest, kernel) = (DevPki::from_seed([3; 32]), self.guest.clone(), self.at("kernel"));
        thread::spawn(move || {
            let entry = PathBuf::from(std::fs::read_to_string(kernel).unwrap());
            let report_data: [u8; 64] = std::fs::read(entry.join("inblob")).unwrap().try_into().unwrap();
            let Evidence::Tdx(tdx) = pki.evidence(&guest, report_data, NOW) else { panic!() };
            std::fs::write(entry.join("generation"), format!("{writes}\n")).unwrap();
            std::fs::write(entry.join("outblob"), &tdx.quote).unwrap();
        })
    }
}

#[tokio::test]
async fn evidence_from_the_kernel_verifies() {
    let world = World::new();
    let kernel = world.kernel(1);
    let evidence = world.quoter().evidence([9; 64]).await.unwrap();
    kernel.join().unwrap();
    let verified = verify(&evidence, &world.pki.trust_anchors(), NOW, &[9; 64]).unwrap();
    assert_eq!(verified.app_id(), world.guest.app_id);
}

#[tokio::test]
async fn a_report_that_somebody_else_wrote_to_is_not_used() {
    let world = World::new();
    let kernel = world.kernel(2);
    let error = world.quoter().evidence([9; 64]).await.unwrap_err();
    kernel.join().unwrap();
    assert!(error.to_string().contains("generation 2 after 0 and one write"), "{error}");
}

#[tokio::test]
async fn missing_interface_and_other_providers_are_named() {
    let world = World::new();
    let quoter = TsmQuoter { create: |path| std::fs::create_dir(path), ..world.quoter() };
    let error = quoter.evidence([0; 64]).await.unwrap_err().to_string();
    assert!(error.contains("provider: ") && error.contains("mandate-"), "{error}");

    let quoter = TsmQuoter {
        create: |path| {
            std::fs::create_dir(path)?;
            std::fs::write(path.join("provider"), "sev_guest\n")
        },
        ..world.quoter()
    };
    let error = quoter.evidence([0; 64]).await.unwrap_err().to_string();
    assert!(error.contains("sev_guest"), "{error}");
}

#[test]
fn long_and_malformed_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, vec![b' '; 300 * 1024]).unwrap();
    assert!(event_log(&path).unwrap_err().to_string().contains("longer than"));
    for text in ["{}", "[{}]", r#"[{"imr":3,"event_type":1,"event":"x","event_payload":"0"}]"#] {
        std::fs::write(&path, text).unwrap();
        assert!(event_log(&path).is_err());
    }
    std::fs::write(&path, r#"[{"imr":3,"event_type":1,"event":"x","event_payload":"00","version":3}]"#)
        .unwrap();
    assert!(event_log(&path).is_err());
}
