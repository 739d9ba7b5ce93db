// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the agent says of itself under the domains that it serves.

use mandate_attestation::{Evidence, verify};
use mandate_model::wire::provenance::{DomainProvenance, DomainStatement};

use super::*;

async fn page(world: &World, name: &str, path: &str) -> (u16, Vec<u8>, Vec<u8>) {
    let mut stream = connect(world.serve().await, name, &[b"http/1.1"]).await.unwrap();
    let key = spki(&leaf(&stream));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    let told = std::str::from_utf8(&answer[..head]).unwrap().contains("cache-control: no-store");
    assert!(status != 200 || told, "no cache may keep it");
    (status, answer[head..].to_vec(), key)
}

#[tokio::test]
async fn evidence_binds_domain_key_account_and_nonce_of_the_connection() {
    use sha2::{Digest, Sha256};

    let world = World::new(app().await, None);
    world.certified().await;
    let path = format!("/.well-known/mandate/domain/{DOMAIN}?nonce={}", "ab".repeat(32));
    let (status, body, key) = page(&world, DOMAIN, &path).await;
    let answer: DomainProvenance = serde_json::from_slice(&body).unwrap();
    let account = world.keys().key(mandate_acme::ACCOUNT_KEY, mandate_acme::P256).await.unwrap();
    let account = mandate_acme::keys::P256Key::derive(&account).unwrap();
    let sha256 = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes)).into();
    let expected = DomainStatement {
        chain_id: DEPLOYED.chain_id,
        kms_auth: DEPLOYED.kms_auth,
        domain_registry: DEPLOYED.domain_registry,
        domain: DOMAIN.to_owned(),
        app: APP,
        spki_hash: sha256(&key),
        issuer: "ca.test".to_owned(),
        account_uri: "https://ca.test/account/1".to_owned(),
        account_key_hash: sha256(account.spki()),
        nonce: Some([0xab; 32].into()),
    };
    let statement = &answer.statement;
    assert_eq!((status, answer.development, answer.made_at), (200, false, NOW));
    assert_eq!(statement, &expected);
    let evidence = Evidence::decode(&answer.evidence.unwrap()).unwrap();
    let anchors = pki().trust_anchors();
    let verified = verify(&evidence, &anchors, NOW, &statement.report_data()).unwrap();
    assert_eq!(verified.app_id(), APP);
    let mut other = statement.clone();
    other.nonce = None;
    verify(&evidence, &anchors, NOW, &other.report_data()).unwrap_err();
    // The committee has not said anything of the app's keys yet.
    assert_eq!((answer.keys, answer.signature), (None, None));
}

#[tokio::test]
async fn pages_are_of_the_apps_domains_alone_and_under_their_names() {
    let world = World::new(app().await, None);
    world.certified().await;
    for (path, status) in [
        ("/.well-known/mandate/domain/other.example.org", 404),
        ("/.well-known/mandate/domain/not_a_domain", 400),
        ("/.well-known/mandate/domain/app.example.org?nonce=12", 400),
        ("/.well-known/mandate/gateway", 404),
    ] {
        assert_eq!(page(&world, DOMAIN, path).await.0, status, "{path}");
    }
    // A gateway that ends TLS itself passes on the request of a client of its own: it is the app's.
    let mut stream = connect(world.serve().await, "id.gw.test", &[b"http/1.1"]).await.unwrap();
    let said = b"GET /.well-known/mandate/domain/app.example.org HTTP/1.1\r\n\r\n";
    assert_eq!(exchange(&mut stream, said).await, said);
}

#[tokio::test]
async fn committees_word_on_the_keys_comes_with_a_signature_by_them() {
    let world = World::new(app().await, None);
    world.certified().await;
    let signer = alloy::signers::local::PrivateKeySigner::from_slice(world.held.secret.k256_key().as_slice());
    let ethereum = signer.unwrap().address();
    let statement = mandate_threshold::AppStatement {
        chain_id: DEPLOYED.chain_id,
        kms_auth: DEPLOYED.kms_auth.into(),
        app: APP.into(),
        generation: 7,
        ca_spki_sha256: [0x11; 32],
        ethereum: ethereum.into(),
    };
    world.held.stated.set(crate::keys::Stated { statement, signature: vec![0x22; 2] }).unwrap();
    let path = format!("/.well-known/mandate/domain/{DOMAIN}");
    let answer: DomainProvenance = serde_json::from_slice(&page(&world, DOMAIN, &path).await.1).unwrap();
    let word = mandate_model::wire::provenance::AppKeys {
        chain_id: DEPLOYED.chain_id,
        kms_auth: DEPLOYED.kms_auth,
        app: APP,
        generation: 7,
        ca_spki_hash: [0x11; 32].into(),
        ethereum,
        signature: vec![0x22; 2].into(),
    };
    assert_eq!(answer.keys, Some(word));
    assert_eq!(answer.signature.unwrap().app_key(&answer.statement), Some(ethereum));
}
