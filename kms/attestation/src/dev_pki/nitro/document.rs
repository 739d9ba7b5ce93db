// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents as the Nitro module writes and signs them.

use ciborium::Value;
use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable, iana::Algorithm};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose, SerialNumber};
use time::OffsetDateTime;

use super::{DevEnclave, NitroDefect, NitroMeasurement, config_pcr, keys::Key};

const HOUR: u64 = 3_600;
const NOT_BEFORE: u64 = 1_577_836_800;
const NOT_AFTER: u64 = 2_524_607_999;
/// rcgen and ciborium refuse what the constants here rule out.
const FIXED: &str = "parameters are fixed and valid";

/// The certificates below the root, and the key that signs documents.
pub(super) struct Chain {
    key: Key,
    leaf: Vec<u8>,
    bundle: Vec<Vec<u8>>,
}

impl Chain {
    pub(super) fn of(seed: &[u8; 32], enclave: &DevEnclave, now: u64) -> Self {
        let root = root_issuer(seed);
        let region = Key::derive(seed, "region");
        let region_params = params("development region", 2, (NOT_BEFORE, NOT_AFTER), Some(0));
        let region_der = region_params.signed_by(&region, &root).expect(FIXED).der().to_vec();
        let issuer = Issuer::new(region_params, region);
        let key = Key::derive(seed, &format!("host {}", enclave.parent));
        let validity = match enclave.defect {
            Some(NitroDefect::ExpiredLeaf) => (now.saturating_sub(4 * HOUR), now.saturating_sub(HOUR)),
            Some(NitroDefect::FutureLeaf) => (now + HOUR, now + 4 * HOUR),
            _ => (now.saturating_sub(HOUR), now + 2 * HOUR),
        };
        let leaf = params(&module_id(enclave), 3, validity, None);
        let leaf = leaf.signed_by(&key, &issuer).expect(FIXED).der().to_vec();
        let mut bundle = vec![self::root(seed), region_der];
        if enclave.defect == Some(NitroDefect::MissingIntermediate) {
            bundle.truncate(1);
        }
        Self { key, leaf, bundle }
    }
}

/// The root certificate.
pub(super) fn root(seed: &[u8; 32]) -> Vec<u8> {
    root_params().self_signed(&Key::derive(seed, "root")).expect(FIXED).der().to_vec()
}

fn root_issuer(seed: &[u8; 32]) -> Issuer<'static, Key> {
    Issuer::new(root_params(), Key::derive(seed, "root"))
}

fn root_params() -> CertificateParams {
    params("development.nitro-enclaves", 1, (NOT_BEFORE, NOT_AFTER), Some(1))
}

/// `path_length` for a CA.
fn params(name: &str, serial: u64, validity: (u64, u64), path_length: Option<u8>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "DEVELOPMENT ONLY");
    params.serial_number = Some(SerialNumber::from(serial));
    (params.not_before, params.not_after) = (at(validity.0), at(validity.1));
    match path_length {
        Some(length) => {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        None => params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
    }
    params
}

fn at(unix: u64) -> OffsetDateTime {
    let unix = i64::try_from(unix.clamp(NOT_BEFORE, NOT_AFTER)).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(unix).expect(FIXED)
}

fn module_id(enclave: &DevEnclave) -> String {
    match enclave.defect {
        Some(NitroDefect::NoInstance) => "development".to_owned(),
        _ => format!("{}-enc0123456789abcdef", enclave.parent),
    }
}

/// The enclave's document.
pub(super) fn signed(chain: &Chain, enclave: &DevEnclave, report_data: [u8; 64], now: u64) -> Vec<u8> {
    let defect = enclave.defect;
    let mut payload = Vec::new();
    ciborium::into_writer(&Value::Map(fields(chain, enclave, report_data, now)), &mut payload).expect(FIXED);
    if defect == Some(NitroDefect::TrailingPayload) {
        payload.push(0);
    }
    let algorithm = match defect {
        Some(NitroDefect::OtherAlgorithm) => Algorithm::ES256,
        _ => Algorithm::ES384,
    };
    let mut header = HeaderBuilder::new().algorithm(algorithm);
    if defect == Some(NitroDefect::ExtraHeader) {
        header = header.key_id(b"key".to_vec());
    }
    let document = CoseSign1Builder::new()
        .protected(header.build())
        .payload(payload)
        .create_signature(&[], |message| chain.key.sign_raw(message))
        .build();
    match defect {
        Some(NitroDefect::Tagged) => document.to_tagged_vec().expect(FIXED),
        _ => document.to_vec().expect(FIXED),
    }
}

fn fields(chain: &Chain, enclave: &DevEnclave, report_data: [u8; 64], now: u64) -> Vec<(Value, Value)> {
    let defect = enclave.defect;
    let text = |text: &str| Value::Text(text.to_owned());
    let digest = if defect == Some(NitroDefect::OtherDigest) { "SHA512" } else { "SHA384" };
    let bundle = chain.bundle.iter().cloned().map(Value::Bytes).collect();
    let mut fields = vec![
        (text("module_id"), text(&module_id(enclave))),
        (text("digest"), text(digest)),
        (text("timestamp"), Value::from(now * 1_000)),
        (text("pcrs"), Value::Map(registers(enclave))),
        (text("certificate"), Value::Bytes(chain.leaf.clone())),
        (text("cabundle"), Value::Array(bundle)),
        (text("public_key"), Value::Null),
        (text("user_data"), user_data(defect, report_data)),
        (text("nonce"), nonce(defect)),
    ];
    match defect {
        Some(NitroDefect::UnknownField) => fields.push((text("signature"), Value::Null)),
        Some(NitroDefect::DoubleField) => fields.push((text("digest"), text("SHA384"))),
        Some(NitroDefect::MissingField) => drop(fields.remove(0)),
        _ => {}
    }
    fields
}

fn nonce(defect: Option<NitroDefect>) -> Value {
    match defect {
        Some(NitroDefect::LongNonce) => Value::Bytes(vec![0; 1025]),
        _ => Value::Null,
    }
}

fn user_data(defect: Option<NitroDefect>, report_data: [u8; 64]) -> Value {
    match defect {
        Some(NitroDefect::NoUserData) => Value::Null,
        Some(NitroDefect::OtherReportData) => Value::Bytes(vec![0; 64]),
        Some(NitroDefect::LongerUserData) => Value::Bytes([&report_data[..], &[0]].concat()),
        _ => Value::Bytes(report_data.to_vec()),
    }
}

fn registers(enclave: &DevEnclave) -> Vec<(Value, Value)> {
    let NitroMeasurement { pcr0, pcr1, pcr2 } = enclave.measured();
    let config = config_pcr(&enclave.config());
    let mut all: Vec<(u8, Vec<u8>)> = [(0, pcr0), (1, pcr1), (2, pcr2), (16, config)]
        .into_iter()
        .map(|(index, value)| (index, value.to_vec()))
        .collect();
    match enclave.defect {
        Some(NitroDefect::UnlockedImage) => all.retain(|(index, _)| *index != 1),
        Some(NitroDefect::UnlockedConfig) => all.retain(|(index, _)| *index != 16),
        Some(NitroDefect::DoubleRegister) => all.push((0, vec![9; 48])),
        Some(NitroDefect::RegisterOutOfRange) => all.push((32, vec![9; 48])),
        Some(NitroDefect::ShortRegister) => all.push((3, vec![9; 32])),
        _ => {}
    }
    all.into_iter().map(|(index, value)| (Value::from(index), Value::Bytes(value))).collect()
}
