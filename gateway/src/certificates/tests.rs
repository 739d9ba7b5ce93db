// SPDX-License-Identifier: Apache-2.0 OR MIT

use rcgen::{CertificateParams, date_time_ymd};
use zeroize::Zeroizing;

use mandate_acme::{
    issuer::{Issued, signing_key},
    keys::P256Key,
    name::Subject,
};

use super::*;

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
fn expired_certificate_is_not_found() {
    let certificates = Certificates::default();
    certificates.install(Address::ZERO, check(issued(&["app.example.org"], &key(1)), FROM).unwrap());
    assert!(certificates.find(&name(), TO - 1).is_some());
    assert!(certificates.find(&name(), TO).is_none());
}

#[test]
fn gateways_own_names_are_answered_with_the_wildcard_and_domains_with_theirs() {
    let certificates = Certificates::default();
    let of = |name: &str| certificates.key_for(&DomainName::try_from(name).unwrap());
    assert!(of("app.example.org").is_none() && certificates.base(FROM).is_none());
    let base = check_base(&["app.example.org", "*.app.example.org"]).unwrap();
    certificates.install_base(base.clone());
    let is_base = |name| of(name).is_some_and(|key| Arc::ptr_eq(&key, base.key()));
    assert!(is_base("app.example.org") && is_base("x.app.example.org"));
    assert!(!is_base("xapp.example.org") && !is_base("example.org"));
    assert!(certificates.base(TO - 1).is_some() && certificates.base(TO).is_none());
}
