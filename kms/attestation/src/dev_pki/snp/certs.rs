// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates and CRLs in the shape of AMD's.

use std::{str::FromStr, time::Duration};

use x509_cert::{
    Certificate, TbsCertificate, Version,
    crl::{CertificateList, RevokedCert, TbsCertList},
    der::{
        DateTime, Encode,
        asn1::{BitString, GeneralizedTime, Ia5String, ObjectIdentifier, OctetString, UtcTime},
    },
    ext::{Extension, pkix::BasicConstraints},
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoOwned,
    time::{Time, Validity},
};

use super::{
    DevSnpGuest, SnpDefect,
    keys::{EcKey, RsaKey},
};
use crate::snp::{KeyKind, Product};

const NOT_BEFORE: u64 = 1_577_836_800;
const NOT_AFTER: u64 = 2_524_607_999;
const DAY: u64 = 86_400;
const ROOT_SERIAL: u8 = 1;
const AUTHORITY_SERIAL: u8 = 2;
/// Encoders refuse names, times and keys that the constants here rule out.
const FIXED: &str = "parameters are fixed and valid";

/// Who is certified, by whom, and until when.
struct Subject {
    name: String,
    serial: u8,
    key: SubjectPublicKeyInfoOwned,
    issuer: String,
    validity: (u64, u64),
    extensions: Vec<Extension>,
}

/// A line's root.
pub(super) fn root(key: &RsaKey, product: Product) -> Vec<u8> {
    let name = format!("ARK-{product}");
    let subject = Subject {
        serial: ROOT_SERIAL,
        key: key.public(),
        issuer: name.clone(),
        validity: (NOT_BEFORE, NOT_AFTER),
        extensions: vec![constraints(true)],
        name,
    };
    certificate(subject, key)
}

/// The ASK or ASVK.
pub(super) fn authority(root: &RsaKey, key: &RsaKey, guest: &DevSnpGuest, now: u64) -> Vec<u8> {
    let product = guest.product;
    let subject = Subject {
        name: authority_name(product, guest.authority()),
        serial: AUTHORITY_SERIAL,
        key: key.public(),
        issuer: match guest.defect {
            Some(SnpDefect::AuthorityOfNobody) => "ARK-Naples".to_owned(),
            _ => format!("ARK-{product}"),
        },
        validity: validity(guest.defect == Some(SnpDefect::ExpiredAuthority), false, now),
        extensions: vec![constraints(guest.defect != Some(SnpDefect::AuthorityNoCa))],
    };
    certificate(subject, root)
}

/// The VCEK or VLEK. All of AMD's have serial number 0.
pub(super) fn endorsement_key(authority: &RsaKey, key: &EcKey, guest: &DevSnpGuest, now: u64) -> Vec<u8> {
    let defect = guest.defect;
    let name = match (defect, guest.key) {
        (Some(SnpDefect::OtherKeyName), _) => "SEV-OTHER",
        (_, KeyKind::Vcek) => "SEV-VCEK",
        (_, KeyKind::Vlek) => "SEV-VLEK",
    };
    let issuer = match defect {
        Some(SnpDefect::OtherKeyIssuer) => "SEV-Naples".to_owned(),
        _ => authority_name(guest.product, guest.authority()),
    };
    let subject = Subject {
        name: name.to_owned(),
        serial: 0,
        key: key.public(),
        issuer,
        validity: validity(defect == Some(SnpDefect::ExpiredKey), defect == Some(SnpDefect::FutureKey), now),
        extensions: key_extensions(guest),
    };
    certificate(subject, authority)
}

fn key_extensions(guest: &DevSnpGuest) -> Vec<Extension> {
    let (defect, version) = (guest.defect, guest.tcb.reported);
    let mut components = vec!["3.2", "3.3", "3.8"];
    if defect != Some(SnpDefect::NoBootLoaderExtension) {
        components.push("3.1");
    }
    if (guest.product == Product::Turin) != (defect == Some(SnpDefect::FmcExtension)) {
        components.push("3.9");
    }
    if defect == Some(SnpDefect::DoubleExtension) {
        components.push("3.8");
    }
    let mut extensions = vec![
        amd("1", 0u8.to_der().expect(FIXED)),
        amd("2", Ia5String::new(&guest.product.to_string()).expect(FIXED).to_der().expect(FIXED)),
    ];
    extensions.extend(components.into_iter().map(|tail| amd(tail, version.to_der().expect(FIXED))));
    if (guest.key == KeyKind::Vcek) != (defect == Some(SnpDefect::ChipExtension)) {
        extensions.push(amd("4", chip(guest)));
    }
    if guest.key == KeyKind::Vlek {
        extensions.push(amd("5", Ia5String::new("development").expect(FIXED).to_der().expect(FIXED)));
    }
    if defect == Some(SnpDefect::KeyIsCa) {
        extensions.push(constraints(true));
    }
    extensions
}

/// The chip id: bare bytes on older lines, an OCTET STRING on Turin.
fn chip(guest: &DevSnpGuest) -> Vec<u8> {
    let id = guest.chip_id();
    match guest.product {
        Product::Turin => OctetString::new(&id[..8]).expect(FIXED).to_der().expect(FIXED),
        _ => id.to_vec(),
    }
}

/// The root's CRL.
pub(super) fn crl(root: &RsaKey, guest: &DevSnpGuest, now: u64) -> Vec<u8> {
    let defect = guest.defect;
    let sha256 = defect == Some(SnpDefect::CrlOfAnotherHash);
    let algorithm = if sha256 { root.algorithm_sha256() } else { root.algorithm() };
    let issued = match defect {
        Some(SnpDefect::ExpiredCrl) => now.saturating_sub(60 * DAY),
        Some(SnpDefect::FutureCrl) => now + 2 * DAY,
        _ => now.saturating_sub(DAY),
    };
    let issuer = match defect {
        Some(SnpDefect::CrlOfAnotherName) => "ARK-Naples".to_owned(),
        _ => format!("ARK-{}", guest.product),
    };
    let tbs = TbsCertList {
        version: Version::V2,
        signature: algorithm.clone(),
        issuer: name(&issuer),
        this_update: time(issued),
        next_update: (defect != Some(SnpDefect::EndlessCrl)).then(|| time(issued + 31 * DAY)),
        revoked_certificates: Some(revoked(defect, issued)),
        crl_extensions: (defect == Some(SnpDefect::CriticalCrlExtension)).then(|| vec![critical()]),
    };
    let message = tbs.to_der().expect(FIXED);
    let signature = if sha256 { root.sign_sha256(&message) } else { root.sign(&message) };
    let list = CertificateList {
        tbs_cert_list: tbs,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&signature).expect(FIXED),
    };
    list.to_der().expect(FIXED)
}

/// Somebody else's serial number, and the one of the defect.
fn revoked(defect: Option<SnpDefect>, at: u64) -> Vec<RevokedCert> {
    let mut serials = vec![99];
    match defect {
        Some(SnpDefect::RevokedRoot) => serials.push(ROOT_SERIAL),
        Some(SnpDefect::RevokedAuthority) => serials.push(AUTHORITY_SERIAL),
        _ => {}
    }
    let entry = |serial: u8| RevokedCert {
        serial_number: SerialNumber::from(serial),
        revocation_date: time(at),
        crl_entry_extensions: None,
    };
    serials.into_iter().map(entry).collect()
}

/// A delta CRL's indicator.
fn critical() -> Extension {
    let value = OctetString::new(1u8.to_der().expect(FIXED)).expect(FIXED);
    Extension { extn_id: ObjectIdentifier::new_unwrap("2.5.29.27"), critical: true, extn_value: value }
}

fn certificate(subject: Subject, signer: &RsaKey) -> Vec<u8> {
    let (from, until) = subject.validity;
    let tbs = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::from(subject.serial),
        signature: signer.algorithm(),
        issuer: name(&subject.issuer),
        validity: Validity { not_before: time(from), not_after: time(until) },
        subject: name(&subject.name),
        subject_public_key_info: subject.key,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(subject.extensions),
    };
    let signature = signer.sign(&tbs.to_der().expect(FIXED));
    let certificate = Certificate {
        signature_algorithm: tbs.signature.clone(),
        tbs_certificate: tbs,
        signature: BitString::from_bytes(&signature).expect(FIXED),
    };
    certificate.to_der().expect(FIXED)
}

fn authority_name(product: Product, kind: KeyKind) -> String {
    match kind {
        KeyKind::Vcek => format!("SEV-{product}"),
        KeyKind::Vlek => format!("SEV-VLEK-{product}"),
    }
}

fn validity(expired: bool, future: bool, now: u64) -> (u64, u64) {
    match (expired, future) {
        (true, _) => (NOT_BEFORE, now.saturating_sub(30 * DAY)),
        (_, true) => (now + 2 * DAY, NOT_AFTER),
        _ => (NOT_BEFORE, NOT_AFTER),
    }
}

fn constraints(ca: bool) -> Extension {
    let value = BasicConstraints { ca, path_len_constraint: None }.to_der().expect(FIXED);
    let extn_value = OctetString::new(value).expect(FIXED);
    Extension { extn_id: ObjectIdentifier::new_unwrap("2.5.29.19"), critical: true, extn_value }
}

/// One of AMD's own extensions.
fn amd(tail: &str, value: Vec<u8>) -> Extension {
    let extn_id = ObjectIdentifier::new(&format!("1.3.6.1.4.1.3704.1.{tail}")).expect(FIXED);
    Extension { extn_id, critical: false, extn_value: OctetString::new(value).expect(FIXED) }
}

fn name(common: &str) -> Name {
    Name::from_str(&format!("CN={common},O=DEVELOPMENT ONLY")).expect(FIXED)
}

/// A time as certificates write it: two digits of the year until 2049.
fn time(unix: u64) -> Time {
    let unix = Duration::from_secs(unix.clamp(NOT_BEFORE, NOT_AFTER));
    let date = DateTime::from_unix_duration(unix).expect(FIXED);
    match UtcTime::from_date_time(date) {
        Ok(time) => Time::UtcTime(time),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_date_time(date)),
    }
}
