// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates that are minted here, with timestamps that a log of this test signs.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::EncodePublicKey,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair};
use serde_json::json;

use super::*;
use crate::ct::logs::{Purpose, parse};

const NOW: u64 = 1_790_000_000;
const OID: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

type Issuer = CertifiedIssuer<'static, KeyPair>;

struct TestLog(SigningKey);

impl TestLog {
    fn new(byte: u8) -> Self {
        Self(SigningKey::from_slice(&[byte; 32]).unwrap())
    }

    fn spki(&self) -> Vec<u8> {
        self.0.verifying_key().to_public_key_der().unwrap().as_bytes().to_vec()
    }

    fn sct(&self, issuer: &Issuer, tbs: &[u8], timestamp: u64) -> Vec<u8> {
        self.sct_as(&self.spki(), issuer, tbs, timestamp)
    }

    /// A timestamp that says that it is of the log with the key `of`.
    fn sct_as(&self, of: &[u8], issuer: &Issuer, tbs: &[u8], timestamp: u64) -> Vec<u8> {
        let issuer = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(issuer.key()));
        let words = signed_words(timestamp, &issuer.into(), tbs, &[]).unwrap();
        let signature: Signature = self.0.sign(&words);
        let signature = signature.to_der();
        let length = (signature.as_bytes().len() as u16).to_be_bytes();
        let id = Sha256::digest(of);
        let parts: [&[u8]; 7] =
            [&[0], &id, &timestamp.to_be_bytes(), &[0, 0], &[4, 3], &length, signature.as_bytes()];
        parts.concat()
    }
}

fn known(logs: &[(&str, &TestLog)]) -> Vec<Log> {
    let listed = logs.iter().map(
        |(name, log)| json!({"url": format!("https://{name}.example"), "key": BASE64.encode(log.spki())}),
    );
    let list = json!({"operators": [{"logs": listed.collect::<Vec<_>>()}]});
    parse(list.to_string().as_bytes(), Purpose::Vouch, NOW).unwrap()
}

fn issuer() -> Issuer {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "an issuer");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate, and the same with whatever timestamps `stamp` makes of what an authority would submit to logs.
struct Minted {
    params: CertificateParams,
    key: KeyPair,
}

impl Minted {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.serial_number = Some(7u64.into());
        Self { params, key: KeyPair::generate().unwrap() }
    }

    fn tbs(&self, issuer: &Issuer) -> Vec<u8> {
        let plain = self.params.signed_by(&self.key, issuer).unwrap();
        let (_, parsed) = X509Certificate::from_der(plain.der()).unwrap();
        parsed.tbs_certificate.as_ref().to_vec()
    }

    fn with(&self, issuer: &Issuer, scts: &[Vec<u8>]) -> Vec<u8> {
        let vector = |data: &[u8]| [&(data.len() as u16).to_be_bytes()[..], data].concat();
        let list = vector(&scts.iter().flat_map(|sct| vector(sct)).collect::<Vec<u8>>());
        let octets = x509_cert::der::asn1::OctetString::new(list).unwrap().to_der().unwrap();
        let mut params = self.params.clone();
        params.custom_extensions.push(CustomExtension::from_oid_content(&OID, octets));
        params.signed_by(&self.key, issuer).unwrap().der().to_vec()
    }
}

fn look(leaf: &[u8], issuer: &Issuer, logs: &[Log]) -> Result<Vouched, SctError> {
    vouched(leaf, &[issuer.der().clone()], &[], logs, NOW)
}

const STAMPED: u64 = (NOW - 3_600) * 1000;

#[test]
fn certificate_is_vouched_for_by_the_logs_that_stamped_it() {
    let (one, two, strange, ca) = (TestLog::new(1), TestLog::new(2), TestLog::new(3), issuer());
    let minted = Minted::new("app.example.org");
    let tbs = minted.tbs(&ca);
    let scts = [&one, &two, &strange].map(|log| log.sct(&ca, &tbs, STAMPED));
    let leaf = minted.with(&ca, &scts);
    let logs = known(&[("one", &one), ("two", &two)]);
    let found = look(&leaf, &ca, &logs).unwrap();
    assert_eq!(found.by, BTreeSet::from(["https://one.example", "https://two.example"].map(str::to_owned)));
    assert_eq!(found.unknown, 1);
    // The issuer's key alone is enough, where a root is not sent along.
    let key = rcgen::PublicKeyData::subject_public_key_info(ca.key());
    assert_eq!(vouched(&leaf, &[], &[key], &logs, NOW).unwrap(), found);
    assert_eq!(vouched(&leaf, &[], &[], &logs, NOW), Err(SctError::NoIssuer));
}

#[test]
fn certificate_without_timestamps_is_vouched_for_by_nobody() {
    let (one, ca) = (TestLog::new(1), issuer());
    let minted = Minted::new("app.example.org");
    let plain = minted.params.signed_by(&minted.key, &ca).unwrap();
    assert_eq!(look(plain.der(), &ca, &known(&[("one", &one)])), Ok(Vouched::default()));
}

/// Timestamps are public: anybody can copy those of a certificate that is logged into one that is not.
#[test]
fn attack_timestamp_of_another_certificate_is_refused() {
    let (one, ca) = (TestLog::new(1), issuer());
    let (logged, hidden) = (Minted::new("harmless.example.org"), Minted::new("app.example.org"));
    let sct = one.sct(&ca, &logged.tbs(&ca), STAMPED);
    let logs = known(&[("one", &one)]);
    let forged = Err(SctError::Forged { log: "https://one.example".to_owned() });
    assert!(look(&logged.with(&ca, std::slice::from_ref(&sct)), &ca, &logs).is_ok());
    assert_eq!(look(&hidden.with(&ca, std::slice::from_ref(&sct)), &ca, &logs), forged);
    // A good one beside does not make it better.
    let good = one.sct(&ca, &hidden.tbs(&ca), STAMPED);
    assert_eq!(look(&hidden.with(&ca, &[good, sct]), &ca, &logs), forged);
}

#[test]
fn attack_timestamp_under_another_issuer_is_refused() {
    let (one, ca, other) = (TestLog::new(1), issuer(), issuer());
    let minted = Minted::new("app.example.org");
    let sct = one.sct(&other, &minted.tbs(&ca), STAMPED);
    let refused = look(&minted.with(&ca, &[sct]), &ca, &known(&[("one", &one)]));
    assert!(matches!(refused, Err(SctError::Forged { .. })), "{refused:?}");
}

#[test]
fn attack_timestamp_that_another_key_signed_or_was_changed_is_refused() {
    let (one, two, ca) = (TestLog::new(1), TestLog::new(2), issuer());
    let minted = Minted::new("app.example.org");
    let (tbs, logs) = (minted.tbs(&ca), known(&[("one", &one)]));
    let claimed = two.sct_as(&one.spki(), &ca, &tbs, STAMPED);
    let mut later = one.sct(&ca, &tbs, STAMPED);
    later[40] ^= 1;
    for sct in [claimed, later] {
        let refused = look(&minted.with(&ca, &[sct]), &ca, &logs);
        assert!(matches!(refused, Err(SctError::Forged { .. })), "{refused:?}");
    }
    let future = one.sct(&ca, &tbs, (NOW + 3_600) * 1000);
    let refused = look(&minted.with(&ca, &[future]), &ca, &logs);
    assert!(matches!(refused, Err(SctError::Future { .. })), "{refused:?}");
}

#[test]
fn timestamps_that_are_none_are_refused() {
    let (one, ca) = (TestLog::new(1), issuer());
    let logs = known(&[("one", &one)]);
    for scts in [&[][..], &[vec![0; 10]]] {
        let refused = look(&Minted::new("app.example.org").with(&ca, scts), &ca, &logs);
        assert!(matches!(refused, Err(SctError::Unreadable(_))), "{refused:?}");
    }
    assert!(matches!(look(b"no certificate", &ca, &logs), Err(SctError::Unreadable(_))));
}
