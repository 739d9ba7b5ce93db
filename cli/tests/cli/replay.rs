// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate verify evidence`, `mandate bundle` and `mandate replay` against a committee of real nodes.

use alloy::{
    hex,
    primitives::{Address, B256, Bytes},
};
use mandate_attestation::{Evidence, KnownImage, OsImage, Verifier, dev_pki::DevPki};
use mandate_cli::{
    ConfigFile,
    replay::{Expected, Place, ReplayError, replay},
};
use mandate_model::{Outcome, Reason, bundle::Bundle, deployment::Deployment, outcome::PolicyReason};
use mandate_witness::Witness;
use serde_json::Value;
use tokio::process::Command;

use crate::{shell::Ran, town::Town};

const UNKNOWN: B256 = B256::repeat_byte(0x77);

fn outcome(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_is_verified_and_replayed_offline_to_the_same_verdict() {
    let town = Town::found().await;
    let v1 = mandate_cli::demo::bench::v1();

    // What evidence proves, and what the contracts say of it now.
    let evidence = town.world.evidence_of(v1, [5; 64]).await.unwrap();
    town.write("v1.bin", &evidence);
    town.write("v1.hex", hex::encode_prefixed(&evidence).as_bytes());
    let report_data = hex::encode([5u8; 64]);
    for line in ["v1.bin".to_owned(), "v1.hex".to_owned(), format!("v1.bin --report-data {report_data}")] {
        let ran = town.run(&format!("verify evidence {line} --anchor root.der --json")).await;
        let told = ran.json();
        assert_eq!((&told["outcome"], &told["facts"]["tee"]), (&"allowed".into(), &"TDX".into()), "{told}");
        assert_eq!(told["facts"]["app"], format!("{:#x}", town.world.app()));
        assert!(told["anchors"].as_str().unwrap().starts_with("DEVELOPMENT"), "{told}");
        assert!(told["blockHash"].is_string() && told["checks"].as_array().unwrap().len() == 3, "{told}");
    }
    let other = hex::encode([6u8; 64]);
    let ran =
        town.run(&format!("verify evidence v1.bin --anchor root.der --report-data {other} --json")).await;
    assert_eq!((ran.code, &outcome(&ran)["outcome"]), (1, &"denied".into()), "{ran:?}");
    // Under the vendors' own anchors a development quote proves nothing.
    let ran = town.run("verify evidence v1.bin --json").await;
    assert_eq!((ran.code, &outcome(&ran)["outcome"]), (1, &"denied".into()), "{ran:?}");
    town.write("unknown.bin", &town.world.evidence_of(UNKNOWN, [5; 64]).await.unwrap());
    let ran = town.run("verify evidence unknown.bin --anchor root.der --json").await;
    let told = outcome(&ran);
    assert_eq!((ran.code, &told["reasonCode"]), (1, &8.into()), "{ran:?}");
    assert!(told["explained"].as_str().unwrap().contains("never allowed this code"), "{told}");
    town.write("garbage.bin", b"no evidence");
    assert!(
        town.run("verify evidence garbage.bin --anchor root.der").await.error(65).contains("no evidence")
    );
    assert!(
        town.run("verify evidence nowhere.bin --anchor root.der").await.error(65).contains("cannot read")
    );
    let dead = "verify evidence v1.bin --anchor root.der --rpc http://127.0.0.1:1";
    assert!(town.run(dead).await.error(69).contains("127.0.0.1:1"));

    images_without_a_manifest_are_known_by_a_file(&town, &evidence).await;

    // Two decisions of a node, and their bundles.
    assert!(town.world.lets_in(v1).await.unwrap());
    let allowed = town.bundle("allowed.json", "allowed").await;
    assert!(!town.world.lets_in(UNKNOWN).await.unwrap());
    let denied = town.bundle("denied.json", "denied").await;

    // A machine that never sees the chain: no service and no chain is left to ask.
    let Town { world, dir, config } = town;
    world.shutdown().await;
    let offline = ConfigFile { rpc: Some("http://127.0.0.1:1".into()), ..config.clone() };
    std::fs::write(dir.path().join("mandate.toml"), toml::to_string(&offline).unwrap()).unwrap();
    let run = |line: String| {
        let dir = dir.path().to_owned();
        async move {
            let mut command = Command::new(env!("CARGO_BIN_EXE_mandate"));
            let output =
                command.args(line.split_whitespace()).current_dir(dir).env_clear().output().await.unwrap();
            Ran {
                code: output.status.code().unwrap(),
                stdout: String::from_utf8(output.stdout).unwrap(),
                stderr: String::from_utf8(output.stderr).unwrap(),
            }
        }
    };
    let ran = run("replay allowed.json --anchor root.der --json".into()).await;
    assert_eq!(
        (&ran.json()["replayed"], &ran.json()["facts"]["tee"]),
        (&"allowed".into(), &"TDX".into()),
        "{ran:?}"
    );
    let ran =
        run(format!("replay allowed.json --anchor root.der --block {}", allowed.receipt.block_hash)).await;
    assert!(ran.code == 0 && ran.stdout.contains("given"), "{ran:?}");
    let ran = run("replay denied.json --anchor root.der --json".into()).await;
    assert_eq!((ran.code, &outcome(&ran)["replayed"]), (1, &"denied".into()), "{ran:?}");
    assert!(outcome(&ran)["receipt"].as_str().unwrap().contains("code hash not allowed"), "{ran:?}");
    let ran = run("replay allowed.json".into()).await;
    assert!(ran.error(65).contains("anchors: the receipt says development"), "{ran:?}");
    let ran = run(format!("replay allowed.json --anchor root.der --block {UNKNOWN}")).await;
    assert!(ran.error(65).contains("receipt: it judges at block"), "{ran:?}");
    std::fs::write(dir.path().join("cut.json"), &allowed.encode()[..1000]).unwrap();
    assert!(run("replay cut.json --anchor root.der".into()).await.error(65).contains("no bundle"));

    tampered_parts_are_named(&allowed, &denied, &config.deployment);
}

/// Evidence as upstream's guests make it: nothing in it says what its registers mean.
async fn images_without_a_manifest_are_known_by_a_file(town: &Town, evidence: &[u8]) {
    let Evidence::Tdx(mut tdx) = Evidence::decode(evidence).unwrap() else { panic!("a TDX guest") };
    let manifest = std::mem::take(&mut tdx.image);
    town.write("bare.bin", &Evidence::Tdx(tdx).encode());
    let line = "verify evidence bare.bin --anchor root.der --json";
    let ran = town.run(line).await;
    assert_eq!((ran.code, &outcome(&ran)["outcome"]), (1, &"denied".into()), "{ran:?}");
    let known = KnownImage {
        version: 1,
        os_image_hash: OsImage::hash(&manifest),
        name: "known".to_owned(),
        measurements: OsImage::parse(&manifest).unwrap().measurements,
        snp: Vec::new(),
    };
    town.write("known.json", &serde_json::to_vec(&known).unwrap());
    let told = town.run(&format!("{line} --known-image known.json")).await.json();
    assert_eq!(told["facts"]["osImage"], format!("{:#x}", known.os_image_hash), "{told}");
    town.write("broken.json", b"{}");
    let ran = town.run(&format!("{line} --known-image broken.json")).await;
    assert!(ran.error(65).contains("broken.json"), "{ran:?}");
}

/// G-8: whatever is changed in a bundle is found, and named.
fn tampered_parts_are_named(allowed: &Bundle, denied: &Bundle, deployment: &Deployment) {
    let verifier = Verifier::new(DevPki::from_seed([7; 32]).trust_anchors());
    let expected = Expected { deployment, verifier: &verifier, node: None, block: None };
    let after = |bundle: &Bundle, change: &dyn Fn(&mut Bundle)| {
        let mut changed = bundle.clone();
        change(&mut changed);
        replay(&changed, &expected)
    };
    let refused = |bundle: &Bundle, change: &dyn Fn(&mut Bundle)| after(bundle, change).unwrap_err();
    assert!(matches!(after(allowed, &|_| {}).unwrap().outcome, Outcome::Allowed { .. }));
    let by_policy = Outcome::Denied { reason: Reason::Policy(PolicyReason::CodeUnknown) };
    assert_eq!(after(denied, &|_| {}).unwrap().outcome, by_policy);

    type Change = Box<dyn Fn(&mut Bundle)>;
    let signed: Vec<Change> = vec![
        Box::new(|b| b.receipt.outcome = Outcome::Allowed { valid_until: 1 }),
        Box::new(|b| b.receipt.sequence += 1),
        Box::new(|b| b.receipt.previous = UNKNOWN),
        Box::new(|b| b.receipt.judged_at += 1),
        Box::new(|b| b.receipt.block_number += 1),
        Box::new(|b| b.receipt.block_hash = UNKNOWN),
        Box::new(|b| b.receipt.head_number += 1),
        Box::new(|b| b.receipt.head_hash = UNKNOWN),
        Box::new(|b| b.receipt.request_hash = UNKNOWN),
        Box::new(|b| b.receipt.evidence_hash = UNKNOWN),
        Box::new(|b| b.receipt.binding_hash = UNKNOWN),
        Box::new(|b| b.receipt.transport_key_hash = UNKNOWN),
        Box::new(|b| b.receipt.dev_anchors = false),
        Box::new(|b| b.receipt.node = Address::repeat_byte(1)),
        Box::new(|b| b.receipt.signature = Bytes::from(vec![0; 65])),
    ];
    for (index, change) in signed.iter().enumerate() {
        for bundle in [allowed, denied] {
            assert!(matches!(refused(bundle, change), ReplayError::Signature(_)), "{index}");
        }
    }

    let deployment_of = |change: &dyn Fn(&mut Bundle)| refused(allowed, change);
    assert!(matches!(deployment_of(&|b| b.committee = Address::ZERO), ReplayError::Deployment { .. }));
    assert!(matches!(deployment_of(&|b| b.request.chain_id += 1), ReplayError::Deployment { .. }));
    assert!(matches!(deployment_of(&|b| b.request.kms_auth = Address::ZERO), ReplayError::Deployment { .. }));

    let committed = |part: &'static str| ReplayError::Commitment { part };
    let flip = |bytes: &Bytes, at: usize| {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        Bytes::from(changed)
    };
    for at in [0, 100, 5000] {
        let error = refused(allowed, &|b| b.request.evidence = flip(&b.request.evidence, at));
        assert_eq!(error, committed("evidence"));
    }
    assert_eq!(refused(allowed, &|b| b.request.generation += 1), committed("request"));
    assert_eq!(refused(allowed, &|b| b.request.transport_key = UNKNOWN), committed("request"));
    assert_eq!(refused(allowed, &|b| b.request.nonces.clear()), committed("request"));
    assert_eq!(refused(allowed, &|b| b.boot_request = None), committed("boot request"));
    let question = |b: &mut Bundle| b.boot_request = b.boot_request.as_ref().map(|r| flip(r, 200));
    assert_eq!(refused(allowed, &question), committed("boot request"));

    let missing = |part: &'static str| ReplayError::Presence { part, missing: true };
    assert_eq!(refused(allowed, &|b| b.finalized = None), missing("witness at the finalised block"));
    assert_eq!(refused(allowed, &|b| b.head = None), missing("witness at the head"));
    let extra = ReplayError::Presence { part: "witness at the head", missing: false };
    assert_eq!(refused(denied, &|b| b.head = b.finalized.clone()), extra);

    // Every byte of either witness, but not each in turn: some hundreds in all.
    let length = allowed.finalized.as_ref().unwrap().len();
    for at in (0..length).step_by(97) {
        let error = refused(allowed, &|b| b.finalized = b.finalized.as_ref().map(|w| flip(w, at)));
        let named = matches!(
            error,
            ReplayError::Codec { place: Place::Finalized, .. }
                | ReplayError::Witness { place: Place::Finalized, .. }
        );
        assert!(named, "byte {at}: {error}");
    }
    let swapped = refused(allowed, &|b| std::mem::swap(&mut b.finalized, &mut b.head));
    assert!(matches!(swapped, ReplayError::Witness { place: Place::Finalized, .. }), "{swapped}");
    let lean = |w: &Bytes| Bytes::from(Witness::decode(w).unwrap().without(&[]).encode());
    assert!(after(allowed, &|b| b.finalized = b.finalized.as_ref().map(lean)).is_ok());

    // Other expectations than the bundle meets.
    let node = Expected { node: Some(Address::repeat_byte(9)), ..expected.clone() };
    assert!(matches!(replay(allowed, &node), Err(ReplayError::Node { .. })));
    let block = Expected { block: Some(UNKNOWN), ..expected.clone() };
    assert!(matches!(replay(allowed, &block), Err(ReplayError::Block { .. })));
    let strangers = Verifier::new(DevPki::from_seed([8; 32]).trust_anchors());
    let stranger = Expected { verifier: &strangers, ..expected.clone() };
    assert!(matches!(replay(allowed, &stranger), Err(ReplayError::Evidence(_))));
}
