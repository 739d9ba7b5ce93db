// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the committee's word on the gateway app's keys is worth.

use alloy::{
    primitives::keccak256,
    signers::{SignerSync, local::PrivateKeySigner},
};
use mandate_model::wire::provenance::{AppKeys, KEY_PURPOSE, StatementSignature};
use mandate_threshold::{CeremonyInfo, DealerSession, DealingKey, GROUP_KEY_LENGTH, PlayerSession};

use super::*;

/// The word of a committee of one, and its group key.
fn group_signature(keys: &AppKeys) -> ([u8; GROUP_KEY_LENGTH], Vec<u8>) {
    let node = DealingKey::from_seed([1; 32]);
    let only = vec![node.public()];
    let info = CeremonyInfo {
        namespace: b"test committee".to_vec(),
        round: 1,
        previous: None,
        dealers: only.clone(),
        players: only,
    };
    let mut player = PlayerSession::new(&info, &node).unwrap();
    let (mut dealer, dealings) = DealerSession::start(&info, &node, None, [42; 32]).unwrap();
    for dealing in dealings {
        let acknowledged = player.deal(&node.public(), &dealing.body).unwrap();
        dealer.acknowledge(&dealing.recipient, &acknowledged).unwrap();
    }
    let (output, share) = player.finish(&[(node.public(), dealer.finish())]).unwrap();
    let statement = AppStatement {
        chain_id: keys.chain_id,
        kms_auth: keys.kms_auth.into_array(),
        app: keys.app.into_array(),
        generation: keys.generation,
        ca_spki_sha256: keys.ca_spki_hash.0,
        ethereum: keys.ethereum.into_array(),
    };
    let signature = statement.combine(&output.public(), &[share.sign_statement(&statement)]).unwrap();
    (output.group_key(), signature)
}

fn signer(byte: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(byte)).unwrap()
}

/// The committee's word, with a signature that a real group would have to make.
fn keys() -> AppKeys {
    AppKeys {
        chain_id: deployment().chain_id,
        kms_auth: deployment().kms_auth,
        app: GATEWAY,
        generation: 1,
        ca_spki_hash: B256::ZERO,
        ethereum: signer(9).address(),
        signature: vec![0; 96].into(),
    }
}

#[test]
fn word_of_another_committee_or_on_another_app_fails() {
    let mut answer = answer_of(GATEWAY, statement());
    is_undecided(&committee(&answer, GATEWAY, &deployment(), &[]), "no word");
    answer.keys = Some(keys());
    fails(
        &committee(&answer, GATEWAY, &deployment(), &[[1; GROUP_KEY_LENGTH]]),
        "not signed by the committee",
    );
    fails(&committee(&answer, APP, &deployment(), &[]), "another app");
}

#[test]
fn statement_that_another_key_signed_fails() {
    let (group_key, signature) = group_signature(&keys());
    let mut answer = answer_of(GATEWAY, statement());
    answer.keys = Some(AppKeys { signature: signature.into(), ..keys() });
    answer.signature = Some(signed(&signer(9), &statement()));
    is_ok(&committee(&answer, GATEWAY, &deployment(), &[group_key]));

    answer.signature = Some(signed(&signer(10), &statement()));
    fails(&committee(&answer, GATEWAY, &deployment(), &[group_key]), "not signed by the key");
    let mut other = statement();
    other.nonce = None;
    answer.signature = Some(signed(&signer(9), &other));
    fails(&committee(&answer, GATEWAY, &deployment(), &[group_key]), "not signed by the key");
    answer.signature = None;
    fails(&committee(&answer, GATEWAY, &deployment(), &[group_key]), "not signed by the key");
}

fn signed(app: &PrivateKeySigner, statement: &DomainStatement) -> StatementSignature {
    let key = signer(8);
    let public = key.credential().verifying_key().to_encoded_point(true).as_bytes().to_vec();
    let vouched = keccak256(format!("{KEY_PURPOSE}:{}", hex::encode(&public)));
    StatementSignature {
        vouched: app.sign_hash_sync(&vouched).unwrap().as_bytes().to_vec().into(),
        signature: key.sign_hash_sync(&statement.signing_hash()).unwrap().as_bytes().to_vec().into(),
        public_key: public.into(),
    }
}
