// SPDX-License-Identifier: Apache-2.0 OR MIT
use alloy::signers::{SignerSync, local::PrivateKeySigner};
use proptest::prelude::*;

use super::*;

fn statement() -> DomainStatement {
    DomainStatement {
        chain_id: 1,
        kms_auth: Address::repeat_byte(1),
        domain_registry: Address::repeat_byte(2),
        domain: "app.example.org".to_owned(),
        app: Address::repeat_byte(3),
        spki_hash: B256::repeat_byte(4),
        issuer: "ca.example".to_owned(),
        account_uri: "https://ca.example/acct/1".to_owned(),
        account_key_hash: B256::repeat_byte(5),
        nonce: Some(B256::repeat_byte(6)),
    }
}

/// Short texts over two letters, so that bytes often could belong to one field as well as to the next.
fn any_statement() -> impl Strategy<Value = DomainStatement> {
    let text = || "[ab]{0,3}";
    let byte = 0..2_u8;
    let nonce = proptest::option::of(byte.clone());
    (text(), text(), text(), nonce, (byte.clone(), byte.clone(), byte.clone(), byte.clone(), byte), 0..2_u64)
        .prop_map(|(domain, issuer, account_uri, nonce, (a, b, c, d, e), chain_id)| DomainStatement {
            chain_id,
            kms_auth: Address::repeat_byte(a),
            domain_registry: Address::repeat_byte(b),
            domain,
            app: Address::repeat_byte(c),
            spki_hash: B256::repeat_byte(d),
            issuer,
            account_uri,
            account_key_hash: B256::repeat_byte(e),
            nonce: nonce.map(B256::repeat_byte),
        })
}

/// The fields that were put together.
fn parts(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (part, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        parts.push(part.to_vec());
        bytes = rest;
    }
    assert!(bytes.is_empty());
    parts
}

proptest! {
    #[test]
    fn statements_encode_alike_only_when_they_are_the_same(one in any_statement(), two in any_statement()) {
        prop_assert_eq!(one == two, one.encode() == two.encode());
        prop_assert_eq!(one == two, one.report_data() == two.report_data());
    }

    #[test]
    fn every_field_can_be_read_back(statement in any_statement()) {
        let read = parts(&statement.encode());
        let fixed = |i: usize| B256::from_slice(&read[i]);
        let text = |i: usize| String::from_utf8(read[i].clone()).unwrap();
        prop_assert_eq!(read.len(), 11);
        prop_assert_eq!(&read[0][..], DOMAIN_STATEMENT);
        prop_assert_eq!(DomainStatement {
            chain_id: u64::from_be_bytes(read[1][..].try_into().unwrap()),
            kms_auth: Address::from_slice(&read[2]),
            domain_registry: Address::from_slice(&read[3]),
            domain: text(4),
            app: Address::from_slice(&read[5]),
            spki_hash: fixed(6),
            issuer: text(7),
            account_uri: text(8),
            account_key_hash: fixed(9),
            nonce: (!read[10].is_empty()).then(|| fixed(10)),
        }, statement);
    }
}

/// With lengths left out these two would be one: the attack is to move a byte over a border.
#[test]
fn bytes_that_move_to_the_next_field_make_another_statement() {
    let mut one = statement();
    (one.issuer, one.account_uri) = ("ca".to_owned(), "xyz".to_owned());
    let mut two = one.clone();
    (two.issuer, two.account_uri) = ("cax".to_owned(), "yz".to_owned());
    assert_ne!(one.report_data(), two.report_data());
}

#[test]
fn each_field_changes_what_is_quoted() {
    let changes: [fn(&mut DomainStatement); 10] = [
        |s| s.chain_id += 1,
        |s| s.kms_auth = Address::ZERO,
        |s| s.domain_registry = Address::ZERO,
        |s| s.domain.push('x'),
        |s| s.app = Address::ZERO,
        |s| s.spki_hash = B256::ZERO,
        |s| s.issuer.clear(),
        |s| s.account_uri.clear(),
        |s| s.account_key_hash = B256::ZERO,
        |s| s.nonce = None,
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut changed = statement();
        change(&mut changed);
        assert_ne!(changed.report_data(), statement().report_data(), "{i}");
        assert_ne!(changed.signing_hash(), statement().signing_hash(), "{i}");
    }
}

#[test]
fn absent_nonce_is_not_a_nonce_of_zeros() {
    let (mut none, mut zeros) = (statement(), statement());
    (none.nonce, zeros.nonce) = (None, Some(B256::ZERO));
    assert_ne!(none.encode(), zeros.encode());
}

/// The encoding is a protocol: whoever checks it is built at another time.
#[test]
fn encoding_stays_what_it_was() {
    let digest = hex::encode(&statement().report_data()[..16]);
    assert_eq!(digest, REPORT_DATA, "a change needs another version in DOMAIN_STATEMENT");
}

const REPORT_DATA: &str = "333c37ac03501d8043f01f8d0438fd02";

fn signed_by(app: &PrivateKeySigner, key: &PrivateKeySigner, purpose: &str) -> StatementSignature {
    let public = key.credential().verifying_key().to_encoded_point(true).as_bytes().to_vec();
    let vouched = keccak256(format!("{purpose}:{}", hex::encode(&public)));
    StatementSignature {
        vouched: app.sign_hash_sync(&vouched).unwrap().as_bytes().to_vec().into(),
        signature: key.sign_hash_sync(&statement().signing_hash()).unwrap().as_bytes().to_vec().into(),
        public_key: public.into(),
    }
}

fn signer(byte: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(byte)).unwrap()
}

#[test]
fn signature_leads_to_the_app_key_and_to_no_other() {
    let (app, key) = (signer(7), signer(8));
    let good = signed_by(&app, &key, KEY_PURPOSE);
    assert_eq!(good.app_key(&statement()), Some(app.address()));

    // Of another statement.
    let mut other = statement();
    other.spki_hash = B256::ZERO;
    assert_eq!(good.app_key(&other), None);
    // Vouched for by somebody else.
    assert_ne!(signed_by(&key, &key, KEY_PURPOSE).app_key(&statement()), Some(app.address()));
    // The app gave out this key for something else.
    assert_ne!(signed_by(&app, &key, "p256").app_key(&statement()), Some(app.address()));
    // A key that was vouched for, and a signature by one that was not.
    let mut swapped = good.clone();
    swapped.signature = signed_by(&app, &signer(9), KEY_PURPOSE).signature;
    assert_eq!(swapped.app_key(&statement()), None);
}

#[test]
fn broken_signatures_lead_nowhere() {
    let good = signed_by(&signer(7), &signer(8), KEY_PURPOSE);
    for length in [0, 1, 64, 66] {
        let mut cut = good.clone();
        cut.signature = vec![1; length].into();
        assert_eq!(cut.app_key(&statement()), None);
        let mut cut = good.clone();
        cut.vouched = vec![1; length].into();
        assert_eq!(cut.app_key(&statement()), None);
    }
    let mut nobody = good.clone();
    nobody.public_key = Bytes::new();
    assert_eq!(nobody.app_key(&statement()), None);
}

#[test]
fn answer_survives_json_and_unknown_fields_are_refused() {
    let answer = DomainProvenance {
        statement: statement(),
        made_at: 5,
        development: false,
        evidence: Some(vec![1, 2].into()),
        keys: None,
        signature: Some(signed_by(&signer(7), &signer(8), KEY_PURPOSE)),
    };
    let text = serde_json::to_string(&answer).unwrap();
    assert_eq!(serde_json::from_str::<DomainProvenance>(&text).unwrap(), answer);
    let more = text.replacen('{', "{\"more\":1,", 1);
    assert!(serde_json::from_str::<DomainProvenance>(&more).is_err());
}

#[test]
fn nonces_are_32_bytes() {
    let nonce = B256::repeat_byte(0xab);
    assert_eq!(parse_nonce(&hex::encode(nonce)), Ok(nonce));
    assert_eq!(parse_nonce(&nonce.to_string()), Ok(nonce));
    for bad in ["", "0x", "ab", &"ab".repeat(33), &"zz".repeat(32), &format!("{nonce} ")] {
        assert_eq!(parse_nonce(bad), Err(NotANonce));
    }
}
