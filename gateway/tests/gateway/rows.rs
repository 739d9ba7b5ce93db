// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rows of the store as somebody else may have written them.

use mandate_gateway::{
    certificates::{MAX_CHAIN, MAX_DER},
    store::{Damaged, Row, digest_of, split},
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use sha2::{Digest, Sha256};

use crate::world::{APP, DOMAIN, NOW};

/// Some certificate, with so many bytes of padding.
fn der(padding: usize) -> Vec<u8> {
    let mut params = CertificateParams::new(vec![DOMAIN.to_owned()]).unwrap();
    params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; padding]));
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn row_of(chain: Vec<u8>) -> Row {
    Row {
        generation: vec![1; 16],
        subject: DOMAIN.to_owned(),
        app: APP.to_vec(),
        digest: Sha256::digest(&chain).to_vec(),
        chain,
        issuer: "ca.test".to_owned(),
        account_uri: "https://ca.test/account/1".to_owned(),
        obtained_at: i64::try_from(NOW).unwrap(),
        renew_at: None,
        ask_at: None,
    }
}

fn refused(row: &Row) -> Damaged {
    row.parse().expect_err("it is damaged")
}

#[test]
fn row_says_what_was_written_and_nothing_that_cannot_have_been() {
    let good = row_of([der(0), der(1)].concat());
    let read = good.parse().unwrap();
    assert_eq!((read.slot.app, read.issued.chain.len(), read.obtained_at), (Some(APP), 2, NOW));
    assert_eq!(
        (read.issued.issuer, read.issued.account_uri),
        (good.issuer.clone(), good.account_uri.clone())
    );
    let planned = Row { renew_at: Some(5), ask_at: Some(6), ..good.clone() };
    let plan = planned.parse().unwrap().plan.unwrap();
    assert_eq!((plan.renew_at, plan.ask_at), (5, 6));

    let long = || "x".repeat(2_049);
    for (row, words) in [
        (Row { generation: vec![1; 15], ..good.clone() }, "16 bytes"),
        (Row { digest: vec![0; 32], ..good.clone() }, "digest"),
        // That of the leaf alone.
        (
            Row { digest: Sha256::digest(&good.chain[..good.chain.len() / 2]).to_vec(), ..good.clone() },
            "digest",
        ),
        (Row { issuer: long(), ..good.clone() }, "2048"),
        (Row { account_uri: long(), ..good.clone() }, "2048"),
        (Row { obtained_at: -1, ..good.clone() }, "range"),
        (Row { renew_at: Some(-1), ask_at: Some(1), ..good.clone() }, "range"),
        (Row { renew_at: Some(1), ask_at: Some(-1), ..good.clone() }, "range"),
        (Row { renew_at: Some(1), ..good.clone() }, "go together"),
        (Row { ask_at: Some(1), ..good.clone() }, "go together"),
        (Row { subject: format!("*.{DOMAIN}"), ..good.clone() }, "a wildcard has none"),
        (Row { app: Vec::new(), ..good.clone() }, "a domain has an app"),
        (Row { app: vec![1; 19], ..good.clone() }, "slice"),
        (Row { app: vec![1; 21], ..good.clone() }, "slice"),
        (row_of(Vec::new()), "no certificate"),
        (row_of([der(0), vec![0]].concat()), "certificate 2"),
    ] {
        let error = refused(&row);
        assert!(error.what.contains(words), "{words}: {error}");
    }
}

#[test]
fn attack_chain_is_read_to_its_bounds() {
    let chain = der(0).repeat(MAX_CHAIN);
    assert_eq!(split(&chain).unwrap().len(), MAX_CHAIN);
    assert!(split(&[chain, der(0)].concat()).unwrap_err().contains("more than"));
    assert!(split(&der(MAX_DER)).unwrap_err().contains("bytes"));
    let two = split(&[der(0), der(1)].concat()).unwrap();
    assert_ne!(digest_of(&two), digest_of(&two[..1]));
}

/// The message holds a statement that an operator may paste into a shell, and goes into a log.
#[test]
fn attack_subject_forges_neither_statement_nor_line() {
    let row = row_of(der(0));
    for subject in ["x'; DROP TABLE orders; --", "x\nERROR all is lost", "\u{1b}[2J", &"x".repeat(100_000)] {
        let error = refused(&Row { subject: subject.to_owned(), app: vec![7; 100_000], ..row.clone() });
        assert!(error.slot.is_none());
        assert!(!error.subject.contains('\'') && !error.subject.contains(char::is_control), "{error}");
        assert!(error.to_string().len() < 1_500, "{}", error.to_string().len());
    }
}
