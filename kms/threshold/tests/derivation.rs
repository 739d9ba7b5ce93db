// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is made of partials: secrets, keys, encryption to an app, statements. The numbers are fixed: a change of any of
//! them loses every app its disks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::HashSet;

use mandate_threshold::{
    AppSecret, CombineError, GroupSignature, Partial,
    derive::{APP_NAMESPACE, app_message},
    identity::{self, IdentityError},
    statement::{AppStatement, INSTANCE_NAMESPACE, InstanceStatement, STATEMENT_NAMESPACE},
};
use support::{Done, genesis, message, run};

fn partials(done: &Done, namespace: &[u8], message: &[u8]) -> Vec<Partial> {
    done.shares.iter().map(|(_, share)| share.sign(namespace, message)).collect()
}

fn signature(done: &Done, message: &[u8]) -> GroupSignature {
    done.output.public().combine(APP_NAMESPACE, message, &partials(done, APP_NAMESPACE, message)).unwrap()
}

fn secret() -> AppSecret {
    AppSecret::from_bytes([0x11; 32])
}

#[test]
fn vectors_of_derived_keys_stay() {
    let secret = secret();
    let named = [
        ("disk", hex::encode(secret.disk_key([0x22; 20]))),
        ("environment", hex::encode(secret.environment_key())),
        ("k256", hex::encode(secret.k256_key())),
        ("ca", hex::encode(secret.ca_key())),
        ("path", hex::encode(secret.path_key("acme-account", "p256"))),
    ];
    let expected = [
        ("disk", "0946bc9f6f9808f4e280eb8c5eca4158ead589dd203cf05c40b869408c76fbcb"),
        ("environment", "f692b2174867cbd08acdb5ec94b298a3e3d086f31ede293e136cce8d5cb55c6c"),
        ("k256", "3082161282c0281094afd0caa8c5379569ddbd4cdbdafe02f393e7c96efe7b14"),
        ("ca", "2069f470c6f5ce699e635ed064a9a582576a807bdb0ee9e19787d96b0500e579"),
        ("path", "639f9f5df842b440190f5c162e49970808b33513d0f7f2542697358adfd5609b"),
    ];
    assert_eq!(named.map(|(name, key)| (name, key)), expected.map(|(name, key)| (name, key.to_owned())));
}

#[test]
fn vectors_of_message_and_secret_stay() {
    let message = app_message(31_337, [0xbb; 20], [0xaa; 20], 1, &[0xcc; 48]);
    assert_eq!(
        hex::encode(&message),
        concat!(
            "6d616e646174652d7631",
            "0000000000000003",
            "617070",
            "0000000000000008",
            "0000000000000005",
            "0000000000000008",
            "0000000000007a69",
            "0000000000000014",
            "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
            "0000000000000014",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "0000000000000008",
            "0000000000000001",
            "0000000000000030",
            "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
        )
    );
    // The whole way from the ceremony's seeds: also a change in the library's arithmetic or transcripts shows here.
    let done = genesis(4);
    let text = support::message(&done.output);
    let secret = AppSecret::derive(&signature(&done, &text), &text);
    assert_eq!(
        hex::encode(done.output.group_key()),
        "8dce6cb36101046ac0ef8e533ead22891ba55268d630c763ff99122454e06198e2b5b235374617b29e40ff0b847408b9"
    );
    assert_eq!(
        hex::encode(secret.expose()),
        "0beb6c85f74689031767529a002984ebbda49fb47b4ebcddc496db9e941e1258"
    );
}

#[test]
fn every_key_differs_by_purpose_instance_path_and_secret() {
    let (one, two) = (secret(), AppSecret::from_bytes([0x12; 32]));
    let mut seen = HashSet::new();
    for secret in [&one, &two] {
        let mut keys = vec![
            *secret.disk_key([1; 20]),
            *secret.disk_key([2; 20]),
            *secret.environment_key(),
            *secret.k256_key(),
            *secret.ca_key(),
            *secret.expose(),
        ];
        // Concatenation would make these collide.
        for (path, purpose) in [("a", "b"), ("ab", ""), ("", "ab"), ("a", ""), ("", "a"), ("", "")] {
            keys.push(*secret.path_key(path, purpose));
        }
        for key in keys {
            assert!(seen.insert(key), "two keys are the same");
        }
    }
}

#[test]
fn path_keys_are_scalars_of_both_curves() {
    for i in 0..64u8 {
        let key = secret().path_key(&i.to_string(), "signing");
        assert!(k256::SecretKey::from_slice(key.as_slice()).is_ok());
        assert!(p256::SecretKey::from_slice(key.as_slice()).is_ok());
    }
}

#[test]
fn secrets_differ_by_chain_deployment_app_generation_and_root() {
    let (done, other) = (genesis(4), run(2, None, &support::keys(0..4), &support::keys(0..4)));
    let key = done.output.group_key();
    let messages = [
        app_message(1, [1; 20], [2; 20], 1, &key),
        app_message(2, [1; 20], [2; 20], 1, &key),
        app_message(1, [3; 20], [2; 20], 1, &key),
        app_message(1, [1; 20], [3; 20], 1, &key),
        app_message(1, [1; 20], [2; 20], 2, &key),
    ];
    let mut seen = HashSet::new();
    for text in &messages {
        assert!(seen.insert(*AppSecret::derive(&signature(&done, text), text).expose()));
    }
    let text = app_message(1, [1; 20], [2; 20], 1, &other.output.group_key());
    assert!(seen.insert(*AppSecret::derive(&signature(&other, &text), &text).expose()));
}

#[test]
fn wrong_partials_are_named_and_do_no_harm_while_enough_are_right() {
    let done = genesis(4);
    let (public, text) = (done.output.public(), message(&done.output));
    let mut given = partials(&done, APP_NAMESPACE, &text);
    let liar = given[2].index();
    // A partial of another message, and one of another namespace.
    given[2] = done.shares[2].1.sign(APP_NAMESPACE, b"another message");
    assert!(!public.verify_partial(APP_NAMESPACE, &text, &given[2]));
    let combined = public.combine(APP_NAMESPACE, &text, &given).unwrap();
    assert_eq!(combined, signature(&done, &text));

    given[0] = done.shares[0].1.sign(STATEMENT_NAMESPACE, &text);
    let mut wrong = vec![given[0].index(), liar];
    wrong.sort_unstable();
    let error = public.combine(APP_NAMESPACE, &text, &given).unwrap_err();
    assert_eq!(error, CombineError::TooFew { needed: 3, valid: 2, wrong: wrong.clone() });
    assert!(error.to_string().contains(&format!("{wrong:?}")));
}

#[test]
fn a_partial_that_claims_another_index_or_none_of_the_committee_is_wrong() {
    let done = genesis(4);
    let (public, text) = (done.output.public(), message(&done.output));
    let mine = done.shares[0].1.sign(APP_NAMESPACE, &text);
    for claimed in (0u8..6).filter(|i| u32::from(*i) != mine.index()) {
        let mut bytes = mine.encode().to_vec();
        bytes[0] = claimed;
        let claims = Partial::decode(&bytes).unwrap();
        assert_eq!(claims.index(), u32::from(claimed));
        assert!(!public.verify_partial(APP_NAMESPACE, &text, &claims));
    }
    assert_eq!(*Partial::decode(&mine.encode()).unwrap().encode(), *mine.encode());
}

#[test]
fn a_polynomial_of_another_committee_does_not_combine() {
    let (done, other) = (genesis(4), run(5, None, &support::keys(4..8), &support::keys(4..8)));
    let text = message(&done.output);
    let given = partials(&done, APP_NAMESPACE, &text);
    assert!(matches!(
        other.output.public().combine(APP_NAMESPACE, &text, &given),
        Err(CombineError::TooFew { valid: 0, .. })
    ));
}

#[test]
fn environment_encrypted_before_the_first_boot_opens_with_the_group_signature_only() {
    let done = genesis(4);
    let key = done.output.group_key();
    let text = message(&done.output);
    let long: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
    for plaintext in [b"".as_slice(), b"TOKEN=1", &long] {
        let sealed = identity::encrypt_to_app(&key, &text, plaintext, [5; 32]).unwrap();
        assert_eq!(
            identity::decrypt(&signature(&done, &text), &text, &sealed).unwrap().as_slice(),
            plaintext
        );

        let next = app_message(31_337, [0xbb; 20], [0xaa; 20], 2, &key);
        let foreign = signature(&done, &next);
        assert_eq!(identity::decrypt(&foreign, &text, &sealed), Err(IdentityError::NotForThisApp));
        assert_eq!(identity::decrypt(&foreign, &next, &sealed), Err(IdentityError::NotForThisApp));
        for at in [1, 60, 100, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(identity::decrypt(&signature(&done, &text), &text, &changed).is_err());
        }
        for cut in [0, 1, 50, 113, sealed.len() - 1] {
            assert!(identity::decrypt(&signature(&done, &text), &text, &sealed[..cut]).is_err());
        }
        let mut newer = sealed.clone();
        newer[0] = 2;
        assert_eq!(
            identity::decrypt(&signature(&done, &text), &text, &newer),
            Err(IdentityError::Version(2))
        );
    }
    assert!(identity::encrypt_to_app(&[0; 48], &text, b"x", [5; 32]).is_err());
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    assert!(identity::encrypt_to_app(&infinity, &text, b"x", [5; 32]).is_err());
}

#[test]
fn environment_stays_readable_after_a_reshare() {
    let first = genesis(4);
    let text = message(&first.output);
    let sealed = identity::encrypt_to_app(&first.output.group_key(), &text, b"TOKEN=1", [5; 32]).unwrap();
    let grown = run(2, Some(&first), &support::keys(0..4), &support::keys(0..7));
    assert_eq!(identity::decrypt(&signature(&grown, &text), &text, &sealed).unwrap().as_slice(), b"TOKEN=1");
}

fn statement() -> AppStatement {
    AppStatement {
        chain_id: 31_337,
        kms_auth: [1; 20],
        app: [2; 20],
        generation: 1,
        ca_spki_sha256: [3; 32],
        ethereum: [4; 20],
    }
}

#[test]
fn statements_verify_under_the_group_key_and_only_as_said() {
    let done = genesis(4);
    let (key, said) = (done.output.group_key(), statement());
    let parts: Vec<Partial> = done.shares.iter().map(|(_, share)| share.sign_statement(&said)).collect();
    let signed = said.combine(&done.output.public(), &parts[1..]).unwrap();
    assert_eq!(signed.len(), 96);
    said.verify(&key, &signed).unwrap();
    assert_eq!(said.combine(&done.output.public(), &parts[..3]).unwrap(), signed);
    assert!(said.combine(&done.output.public(), &parts[..2]).is_err());

    let others = [
        AppStatement { chain_id: 1, ..said },
        AppStatement { kms_auth: [9; 20], ..said },
        AppStatement { app: [9; 20], ..said },
        AppStatement { generation: 2, ..said },
        AppStatement { ca_spki_sha256: [9; 32], ..said },
        AppStatement { ethereum: [9; 20], ..said },
    ];
    for other in others {
        assert!(other.verify(&key, &signed).is_err());
    }
    let foreign = run(2, None, &support::keys(0..4), &support::keys(0..4));
    assert!(said.verify(&foreign.output.group_key(), &signed).is_err());
    assert!(said.verify(&key, &signed[..95]).is_err());
    assert!(said.verify(&key, &[0; 96]).is_err());
}

#[test]
fn a_statement_is_never_an_app_secret() {
    let done = genesis(4);
    let said = statement();
    let parts: Vec<Partial> = done.shares.iter().map(|(_, share)| share.sign_statement(&said)).collect();
    assert!(done.output.public().combine(APP_NAMESPACE, &said.message(), &parts).is_err());
}

#[test]
fn instance_statements_verify_under_the_group_key_and_only_as_said() {
    let done = genesis(4);
    let (key, registration) = (done.output.group_key(), [5; 64]);
    let said = InstanceStatement {
        chain_id: 31_337,
        kms_auth: [1; 20],
        boot_request: &[2; 70],
        registration: &registration,
        until: 9,
    };
    let parts: Vec<Partial> = done.shares.iter().map(|(_, share)| share.sign_instance(&said)).collect();
    let combine =
        |parts: &[Partial]| done.output.public().combine(INSTANCE_NAMESPACE, &said.message(), parts);
    let signed = combine(&parts[1..]).unwrap();
    said.verify(&key, signed.as_bytes()).unwrap();
    assert!(matches!(combine(&parts[..2]), Err(CombineError::TooFew { needed: 3, valid: 2, .. })));

    let elsewhere = [6; 64];
    let others = [
        InstanceStatement { chain_id: 1, ..said },
        InstanceStatement { kms_auth: [9; 20], ..said },
        InstanceStatement { boot_request: &[2; 69], ..said },
        InstanceStatement { boot_request: &[3; 70], ..said },
        InstanceStatement { registration: &elsewhere, ..said },
        InstanceStatement { until: 10, ..said },
    ];
    for other in others {
        assert!(other.verify(&key, signed.as_bytes()).is_err(), "{other:?}");
    }
    let foreign = run(2, None, &support::keys(0..4), &support::keys(0..4));
    assert!(said.verify(&foreign.output.group_key(), signed.as_bytes()).is_err());
    // Neither the app's secret nor its statement, though the same text were signed.
    for namespace in [APP_NAMESPACE, STATEMENT_NAMESPACE] {
        let parts = partials(&done, namespace, &said.message());
        let passed_off = done.output.public().combine(namespace, &said.message(), &parts).unwrap();
        assert!(said.verify(&key, passed_off.as_bytes()).is_err());
    }
}

/// Another implementation is checked against the page.
#[test]
fn page_has_every_vector() {
    let page = include_str!("../../../docs/key-hierarchy.md");
    let here = include_str!("derivation.rs");
    let is_vector =
        |word: &&str| [64, 96].contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let vectors: Vec<&str> =
        here.split('"').filter(is_vector).filter(|word| !word.starts_with("cccc")).collect();
    assert!(vectors.len() >= 7, "{vectors:?}");
    for vector in vectors {
        assert!(page.contains(vector), "docs/key-hierarchy.md lacks {vector}");
    }
}
