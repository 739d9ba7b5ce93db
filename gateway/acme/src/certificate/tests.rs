// SPDX-License-Identifier: Apache-2.0 OR MIT

use rcgen::{CertificateParams, date_time_ymd};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::*;
use crate::{issuer::signing_key, keys::P256Key};

/// 2021-01-01 and 2021-04-01, Unix seconds.
const FROM: u64 = 1_609_459_200;
const TO: u64 = 1_617_235_200;

fn name() -> DomainName {
    DomainName::try_from("app.example.org").unwrap()
}

fn key(byte: u8) -> P256Key {
    P256Key::derive(&Zeroizing::new([byte; 32])).unwrap()
}

fn issued(names: &[&str], key: &P256Key) -> Issued {
    let mut params =
        CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2021, 1, 1), date_time_ymd(2021, 4, 1));
    let der = params.self_signed(&signing_key(key).unwrap()).unwrap().der().clone();
    Issued { chain: vec![der], issuer: "ca.test".to_owned(), account_uri: String::new() }
}

fn check(issued: Issued, now: u64) -> Result<Certificate, CertificateError> {
    Certificate::check(Subject::Domain(name()), issued, key(1).secret(), now)
}

fn check_base(names: &[&str]) -> Result<Certificate, CertificateError> {
    Certificate::check(Subject::Wildcard(name()), issued(names, &key(1)), key(1).secret(), FROM)
}

#[test]
fn certificate_counts_only_within_its_dates() {
    let good = || issued(&["app.example.org"], &key(1));
    assert!(check(good(), FROM).is_ok() && check(good(), TO - 1).is_ok());
    for now in [0, FROM - 1, TO, u64::MAX] {
        assert!(matches!(check(good(), now), Err(CertificateError::Dates { .. })), "{now}");
    }
    let certificate = check(good(), FROM).unwrap();
    assert!(!certificate.is_expired(TO - 1) && certificate.is_expired(TO));
}

#[test]
fn certificate_counts_only_for_the_one_name_and_key() {
    for names in [&["other.org"][..], &["app.example.org", "other.org"], &["*.example.org"], &[]] {
        assert_eq!(
            check(issued(names, &key(1)), FROM).unwrap_err(),
            CertificateError::Names(Subject::Domain(name()))
        );
    }
    assert_eq!(check(issued(&["app.example.org"], &key(2)), FROM).unwrap_err(), CertificateError::Key);
}

#[test]
fn malformed_chains_are_refused() {
    let good = issued(&["app.example.org"], &key(1));
    let with = |chain| Issued { chain, ..good.clone() };
    assert_eq!(check(with(Vec::new()), FROM).unwrap_err(), CertificateError::Chain);
    assert_eq!(check(with(vec![good.chain[0].clone(); 9]), FROM).unwrap_err(), CertificateError::Chain);
    let large: CertificateDer<'static> = vec![0x30; MAX_DER + 1].into();
    let chain = vec![good.chain[0].clone(), large];
    assert_eq!(check(with(chain), FROM).unwrap_err(), CertificateError::Chain);
    let trailing = [good.chain[0].as_ref(), &[0]].concat();
    assert_eq!(check(with(vec![trailing.into()]), FROM).unwrap_err(), CertificateError::Malformed);
    let garbage: CertificateDer<'static> = vec![1, 2, 3].into();
    assert_eq!(check(with(vec![garbage]), FROM).unwrap_err(), CertificateError::Malformed);
}

#[test]
fn wildcard_counts_for_the_base_and_one_label_and_for_nothing_else() {
    check_base(&["app.example.org", "*.app.example.org"]).unwrap();
    check_base(&["*.app.example.org", "app.example.org"]).unwrap();
    for names in [
        &["app.example.org"][..],
        &["*.app.example.org"],
        &["*.app.example.org", "*.app.example.org"],
        &["app.example.org", "*.example.org"],
        &["app.example.org", "*.app.example.org", "other.org"],
    ] {
        let refused = CertificateError::Names(Subject::Wildcard(name()));
        assert_eq!(check_base(names).unwrap_err(), refused, "{names:?}");
    }
}

#[test]
fn certificate_of_somebody_elses_key_counts_for_its_one_name_and_within_its_dates() {
    let presented =
        |names: &[&str], now| Presented::check(&Subject::Domain(name()), &issued(names, &key(2)).chain, now);
    let good = presented(&["app.example.org"], FROM).unwrap();
    assert_eq!((good.not_before, good.not_after), (FROM, TO));
    assert_eq!(good.spki_sha256, <[u8; 32]>::from(Sha256::digest(key(2).spki())));
    for names in [&["other.org"][..], &["app.example.org", "other.org"], &["*.example.org"], &[]] {
        assert!(matches!(presented(names, FROM), Err(CertificateError::Names(_))), "{names:?}");
    }
    assert!(matches!(presented(&["app.example.org"], TO), Err(CertificateError::Dates { .. })));
    let none = Presented::check(&Subject::Domain(name()), &[], FROM);
    assert_eq!(none.unwrap_err(), CertificateError::Chain);
}
