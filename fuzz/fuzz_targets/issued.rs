// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A certificate overwritten from an offset on, or any bytes, as what an authority issued: refused, or for the name and the key
//! that it was ordered for, and within its dates; never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mandate_acme::{
    certificate::{Certificate, MAX_CHAIN, MAX_DER},
    issuer::{Issued, signing_key},
    keys::P256Key,
    name::{DomainName, Subject},
    parse_chain,
};
use rcgen::CertificateParams;
use zeroize::Zeroizing;

const NOW: u64 = 1_795_392_000;

static GOOD: LazyLock<(Vec<u8>, P256Key, Subject)> = LazyLock::new(|| {
    let key = P256Key::derive(&Zeroizing::new([7; 32])).expect("a key");
    let params = CertificateParams::new(vec!["app.example.org".to_owned()]).expect("a name");
    let signed = params.self_signed(&signing_key(&key).expect("the same key")).expect("a certificate");
    let name = DomainName::try_from("app.example.org").expect("a name");
    (signed.der().to_vec(), key, Subject::Domain(name))
});

fn check(chain: Vec<Vec<u8>>) {
    let (_, key, subject) = &*GOOD;
    let chain: Vec<_> = chain.into_iter().map(Into::into).collect();
    let issued = Issued { chain, issuer: "ca.example".to_owned(), account_uri: String::new() };
    let Ok(certificate) = Certificate::check(subject.clone(), issued, key.secret(), NOW) else { return };
    let chain = &certificate.issued().chain;
    assert!((1..=MAX_CHAIN).contains(&chain.len()) && chain.iter().all(|der| der.len() <= MAX_DER));
    assert!(certificate.not_before() <= NOW && !certificate.is_expired(NOW));
    // The key and the name stand in it as they stood in the good one.
    let spki = key.spki();
    assert!(chain[0].windows(spki.len()).any(|window| window == spki));
    assert!(chain[0].windows(15).any(|window| window == b"app.example.org"));
}

fuzz_target!(|input: (u16, &[u8])| {
    let (offset, bytes) = input;
    let mut changed = GOOD.0.clone();
    for (to, from) in changed.iter_mut().skip(usize::from(offset)).zip(bytes) {
        *to = *from;
    }
    check(vec![changed.clone()]);
    check(vec![bytes.to_vec()]);
    check(vec![GOOD.0.clone(), bytes.to_vec()]);
    if let Some(chain) = std::str::from_utf8(bytes).ok().and_then(parse_chain) {
        check(chain.into_iter().map(|der| der.to_vec()).collect());
    }
});
