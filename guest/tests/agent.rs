// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent on its socket, asked as upstream's published clients ask.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use alloy::primitives::{B256, FixedBytes, keccak256};
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use mandate_attestation::{
    Evidence, Verifier,
    x509::{upstream, verify_certificate},
};
use mandate_guest::{
    Config, Service, StartError,
    agent::{
        EvidenceAnswer, GetKeyAnswer, GetQuoteAnswer, GetTlsKeyAnswer, InfoAnswer, KeyState, StatementAnswer,
        VersionAnswer,
    },
    config::{AppConfig, ChainConfig, LogConfig, RetryConfig},
};
use mandate_runtime::http::{Client, HttpError};
use mandate_threshold::AppStatement;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use support::{APP, Manner, World, ambient, quoter};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, Pem, X509Certificate, parse_x509_pem};

struct Running {
    world: World,
    dir: tempfile::TempDir,
    client: Client,
    stop: CancellationToken,
    served: JoinHandle<()>,
    operations: String,
}

fn config(world: &World, socket: PathBuf) -> Config {
    Config {
        socket,
        operations: Some(([127, 0, 0, 1], 0).into()),
        relayers: vec![world.relayer.clone()],
        generation: 0,
        lease: Duration::from_secs(3_600),
        retry: RetryConfig::default(),
        chain: ChainConfig {
            chain_id: world.pinned.chain_id,
            kms_auth: world.pinned.kms_auth,
            committee: world.pinned.committee,
            group_key: FixedBytes(world.pinned.group_key),
        },
        app: AppConfig { name: "shop".to_owned(), compose: None },
        evidence: None,
        ingress: None,
        log: LogConfig::default(),
    }
}

impl Running {
    async fn start(manners: &[Manner]) -> Self {
        let world = World::start(manners).await;
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("dstack.sock");
        let compose = dir.path().join("app-compose.json");
        std::fs::write(&compose, r#"{"name":"shop"}"#).unwrap();
        let mut config = config(&world, socket.clone());
        config.app.compose = Some(compose);
        let service = Service::start(config, ambient(), Arc::new(quoter())).await.unwrap();
        let operations = format!("http://{}", service.operations_address().unwrap());
        let (stop, mut keys) = (CancellationToken::new(), service.keys());
        let served = tokio::spawn(service.run(stop.clone()));
        // Until it holds the secret, or was refused once.
        keys.wait_for(|state| !matches!(state, KeyState::Waiting(why) if why == "nothing was asked yet"))
            .await
            .unwrap();
        Self { world, dir, client: Client::unix(socket), stop, served, operations }
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, method: &str, body: Value) -> Result<T, HttpError> {
        self.client.post_json(&format!("http://localhost/{method}"), &body).await
    }

    async fn refused(&self, method: &str, body: Value) -> (u16, String) {
        let error = self.ask::<Value>(method, body).await.unwrap_err();
        (error.status().unwrap(), error.to_string())
    }
}

#[tokio::test]
async fn get_key_gives_the_same_key_for_the_same_path_with_a_signature_of_the_app_key() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    // As the Python client sends it.
    let body = json!({"path": "acme-account", "purpose": "p256", "algorithm": "secp256k1"});
    let answer: GetKeyAnswer = agent.ask("GetKey", body).await.unwrap();
    let again: GetKeyAnswer =
        agent.ask("GetKey", json!({"path": "acme-account", "purpose": "p256"})).await.unwrap();
    assert_eq!((&answer.key, &answer.signature_chain), (&again.key, &again.signature_chain));
    let key = hex::decode(&answer.key).unwrap();
    assert_eq!(key.len(), 32);
    assert!(p256::SecretKey::from_slice(&key).is_ok());

    let public = SigningKey::from_slice(&key).unwrap().verifying_key().to_sec1_bytes();
    let hash = keccak256(format!("p256:{}", hex::encode(public)));
    let signed = hex::decode(&answer.signature_chain[0]).unwrap();
    let (signature, recovery) =
        (Signature::from_slice(&signed[..64]).unwrap(), RecoveryId::from_byte(signed[64]).unwrap());
    let app = VerifyingKey::recover_from_prehash(hash.as_slice(), &signature, recovery).unwrap();
    // Every key is signed by the one app key.
    let other: GetKeyAnswer = agent.ask("GetKey", json!({"path": "x"})).await.unwrap();
    let public =
        SigningKey::from_slice(&hex::decode(&other.key).unwrap()).unwrap().verifying_key().to_sec1_bytes();
    let hash = keccak256(format!(":{}", hex::encode(public)));
    let signed = hex::decode(&other.signature_chain[0]).unwrap();
    let (signature, recovery) =
        (Signature::from_slice(&signed[..64]).unwrap(), RecoveryId::from_byte(signed[64]).unwrap());
    assert_eq!(VerifyingKey::recover_from_prehash(hash.as_slice(), &signature, recovery).unwrap(), app);

    let mut seen = vec![answer.key, other.key];
    for body in [
        json!({}),
        json!({"path": "acme-account"}),
        json!({"purpose": "acme-account"}),
        json!({"path": "", "purpose": "p"}),
    ] {
        seen.push(agent.ask::<GetKeyAnswer>("GetKey", body).await.unwrap().key);
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[tokio::test]
async fn two_instances_of_an_app_get_the_same_keys() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    let dir = tempfile::tempdir().unwrap();
    let mut second = quoter();
    second.guest.instance_id = alloy::primitives::Address::repeat_byte(0x22);
    let socket = dir.path().join("s");
    let service =
        Service::start(config(&agent.world, socket.clone()), ambient(), Arc::new(second)).await.unwrap();
    let mut keys = service.keys();
    let stop = CancellationToken::new();
    let served = tokio::spawn(service.run(stop.clone()));
    keys.wait_for(|state| matches!(state, KeyState::Held(_))).await.unwrap();
    let one: GetKeyAnswer = agent.ask("GetKey", json!({})).await.unwrap();
    let two: GetKeyAnswer =
        Client::unix(socket).post_json("http://localhost/GetKey", &json!({})).await.unwrap();
    assert_eq!(one.key, two.key);
    stop.cancel();
    served.await.unwrap();
}

#[tokio::test]
async fn statement_is_the_committees_word_on_the_keys_that_the_agent_gives() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    let said = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            match agent.ask::<StatementAnswer>("Statement", json!({})).await {
                Ok(said) => return said,
                Err(error) => assert_eq!(error.status(), Some(503), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let said = said.await.unwrap();
    let info: InfoAnswer = agent.ask("Info", json!({})).await.unwrap();
    let (_, ca) = parse_x509_pem(info.app_cert.as_bytes()).unwrap();
    let ca = ca.parse_x509().unwrap();
    assert_eq!(said.ca_spki_sha256, hex::encode(Sha256::digest(ca.public_key().raw)));
    assert_eq!(said.app_id, info.app_id);
    let statement = AppStatement {
        chain_id: said.chain_id,
        kms_auth: agent.world.pinned.kms_auth.into(),
        app: APP.into(),
        generation: said.generation,
        ca_spki_sha256: hex::decode(&said.ca_spki_sha256).unwrap().try_into().unwrap(),
        ethereum: hex::decode(&said.ethereum).unwrap().try_into().unwrap(),
    };
    let signature = hex::decode(&said.signature).unwrap();
    statement.verify(&agent.world.pinned.group_key, &signature).unwrap();
}

#[tokio::test]
async fn get_tls_key_gives_a_key_under_the_apps_ca_and_a_quote_that_binds_it() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    let body = json!({
        "subject": "shop.example", "alt_names": ["shop.example", "10.0.0.1"], "usage_ra_tls": true,
        "usage_server_auth": true, "usage_client_auth": false, "with_app_info": true,
    });
    let answer: GetTlsKeyAnswer = agent.ask("GetTlsKey", body).await.unwrap();
    assert!(answer.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    let pems: Vec<Pem> = answer
        .certificate_chain
        .iter()
        .map(|pem| Pem::iter_from_buffer(pem.as_bytes()).next().unwrap().unwrap())
        .collect();
    let certificates: Vec<X509Certificate> = pems.iter().map(|pem| pem.parse_x509().unwrap()).collect();
    let [leaf, ca] = certificates.as_slice() else { panic!() };
    leaf.verify_signature(Some(ca.public_key())).unwrap();
    ca.verify_signature(None).unwrap();
    assert!(ca.is_ca() && !leaf.is_ca());
    assert!(leaf.subject().to_string().contains("shop.example"));

    let extension = |n: u64| {
        let oid = x509_parser::oid_registry::Oid::from(&[1, 3, 6, 1, 4, 1, 62397, 1, n]).unwrap();
        let value = leaf.get_extension_unique(&oid).unwrap().unwrap().value;
        x509_parser::der_parser::ber::parse_ber_octetstring(value).unwrap().1.as_slice().unwrap().to_vec()
    };
    let quote = extension(1);
    let bound: [u8; 64] =
        Sha512::new().chain_update(b"ratls-cert:").chain_update(leaf.public_key().raw).finalize().into();
    assert!(quote.windows(64).any(|window| window == bound));
    assert!(serde_json::from_slice::<Value>(&extension(2)).unwrap().is_array());
    assert_eq!(extension(3), APP.as_slice());

    // The key is fresh each time, the authority is not.
    let again: GetTlsKeyAnswer = agent.ask("GetTlsKey", json!({})).await.unwrap();
    assert_ne!(again.key, answer.key);
    let pem = Pem::iter_from_buffer(again.certificate_chain[1].as_bytes()).next().unwrap().unwrap();
    assert_eq!(X509Certificate::from_der(&pem.contents).unwrap().1.public_key().raw, ca.public_key().raw);
}

#[tokio::test]
async fn get_tls_key_gives_a_certificate_whose_evidence_verifies() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    // The quoter's time.
    let then = 1_790_000_000u64;
    let body = json!({"usage_ra_tls": true, "not_before": then - 1, "not_after": then + 1});
    let answer: GetTlsKeyAnswer = agent.ask("GetTlsKey", body).await.unwrap();
    let pem = Pem::iter_from_buffer(answer.certificate_chain[0].as_bytes()).next().unwrap().unwrap();
    let verifier = Verifier::new(quoter().pki.trust_anchors());
    let believed = verify_certificate(&pem.contents, &verifier, then).unwrap();
    assert_eq!(believed.spki(), pem.parse_x509().unwrap().public_key().raw);
    assert_eq!(believed.facts().app_id(), APP);
    let read = upstream::read(&pem.contents, then).unwrap();
    assert_eq!(read.claims().app_id.as_deref(), Some(APP.as_slice()));
}

#[tokio::test]
async fn get_tls_key_refuses_what_no_certificate_can_hold() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    let refusals = [
        json!({"not_before": 2_000_000_000u64, "not_after": 1_000_000_000u64}),
        json!({"alt_names": vec!["x"; 101]}),
        json!({"subject": "x".repeat(300)}),
        json!({"alt_names": ["näme"]}),
        json!({"alt_names": "x"}),
    ];
    for body in refusals {
        let (status, text) = agent.refused("GetTlsKey", body.clone()).await;
        assert_eq!(status, 400, "{body}: {text}");
    }
}

#[tokio::test]
async fn get_quote_carries_the_report_data() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    let answer: GetQuoteAnswer = agent.ask("GetQuote", json!({"report_data": "cafe"})).await.unwrap();
    let mut expected = [0; 64];
    expected[..2].copy_from_slice(&[0xca, 0xfe]);
    assert_eq!(answer.report_data, hex::encode(expected));
    assert!(hex::decode(&answer.quote).unwrap().windows(64).any(|window| window == expected));
    let events: Vec<Value> = serde_json::from_str(&answer.event_log).unwrap();
    for field in ["imr", "event_type", "digest", "event", "event_payload"] {
        assert!(events.iter().all(|event| event.get(field).is_some()), "{field}");
    }
    for bad in ["", "0x", "zz", "abc", &"00".repeat(65)] {
        assert_eq!(agent.refused("GetQuote", json!({"report_data": bad})).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn evidence_is_whole_and_carries_the_report_data() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    let answer: EvidenceAnswer = agent.ask("Evidence", json!({"report_data": "cafe"})).await.unwrap();
    let mut expected = [0; 64];
    expected[..2].copy_from_slice(&[0xca, 0xfe]);
    assert_eq!(answer.report_data, hex::encode(expected));
    let evidence = Evidence::decode(&hex::decode(&answer.evidence).unwrap()).unwrap();
    let verifier = Verifier::new(quoter().pki.trust_anchors());
    // The quoter's time.
    let now = 1_790_000_000;
    assert_eq!(verifier.verify(&evidence, now, &expected).unwrap().app_id(), APP);
    assert!(verifier.verify(&evidence, now, &[0; 64]).is_err());
    for bad in ["", "zz", &"00".repeat(65)] {
        assert_eq!(agent.refused("Evidence", json!({"report_data": bad})).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn info_and_version_have_the_fields_that_clients_read() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    let info: InfoAnswer = agent.ask("Info", json!({})).await.unwrap();
    assert_eq!((info.app_id.as_str(), info.app_name.as_str()), (hex::encode(APP).as_str(), "shop"));
    assert_eq!(info.compose_hash, hex::encode(B256::repeat_byte(0xcc)));
    assert!(info.app_cert.contains("BEGIN CERTIFICATE"));
    let tcb: Value = serde_json::from_str(&info.tcb_info).unwrap();
    for field in [
        "mrtd",
        "rtmr0",
        "rtmr1",
        "rtmr2",
        "rtmr3",
        "event_log",
        "app_compose",
        "mr_aggregated",
        "os_image_hash",
        "compose_hash",
        "device_id",
    ] {
        assert!(tcb.get(field).is_some(), "{field}");
    }
    assert_eq!(tcb["app_compose"], r#"{"name":"shop"}"#);
    let version: VersionAnswer = agent.client.get_json("http://localhost/Version").await.unwrap();
    assert_eq!(version.rev, "mandate");
}

#[tokio::test]
async fn keys_are_refused_with_the_nodes_reasons_until_the_secret_is_there() {
    let agent = Running::start(&[Manner::Denies; 4]).await;
    for method in ["GetKey", "GetTlsKey"] {
        let (status, text) = agent.refused(method, json!({})).await;
        assert_eq!(status, 503);
        assert!(text.contains("code hash revoked"), "{text}");
    }
    // What needs no secret works.
    agent.ask::<GetQuoteAnswer>("GetQuote", json!({"report_data": "00"})).await.unwrap();
    assert_eq!(agent.ask::<InfoAnswer>("Info", json!({})).await.unwrap().app_cert, "");
    let health = Client::new(ambient().net).get_json::<Value>(&format!("{}/healthz", agent.operations)).await;
    assert_eq!(health.unwrap_err().status(), Some(503));
}

#[tokio::test]
async fn hostile_requests_are_refused() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    assert_eq!(agent.refused("GetKey", json!({"path": 7})).await.0, 400);
    assert_eq!(agent.refused("GetKey", json!([])).await.0, 400);
    assert_eq!(agent.refused("GetKey", json!({"algorithm": "ed25519"})).await.0, 400);
    assert_eq!(agent.refused("GetKey", json!({"path": "x".repeat(2_000)})).await.0, 400);
    assert_eq!(agent.refused("GetKey", json!({"path": "x".repeat(70_000)})).await.0, 413);
    let (status, text) = agent.refused("EmitEvent", json!({})).await;
    assert!(status == 404 && text.contains("EmitEvent"), "{text}");
}

#[tokio::test]
async fn socket_is_private_replaces_a_dead_one_and_goes_with_the_agent() {
    let agent = Running::start(&[Manner::Honest; 4]).await;
    let socket = agent.dir.path().join("dstack.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = Service::start(config(&agent.world, socket.clone()), ambient(), Arc::new(quoter())).await;
    let Err(error @ StartError::Listen { .. }) = taken else { panic!() };
    assert!(error.to_string().contains(&socket.display().to_string()), "{error}");

    agent.stop.cancel();
    agent.served.await.unwrap();
    assert!(!socket.exists());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    Service::start(config(&agent.world, socket), ambient(), Arc::new(quoter())).await.unwrap();
}
