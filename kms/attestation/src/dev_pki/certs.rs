// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates and CRLs in the shape of Intel's.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType, IsCa,
    Issuer, KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use time::OffsetDateTime;
use yasna::{DERWriter, models::ObjectIdentifier};

use super::keys::DevKey;

/// Security version of every CPU component of a development platform.
pub(super) const CPU_SVN: [u8; 16] = [5; 16];
/// Security version of its provisioning enclave.
pub(super) const PCE_SVN: u16 = 13;
/// Its platform family.
pub(super) const FMSPC: [u8; 6] = [0xde, 0x7e, 0x10, 0, 0, 0];

pub(super) const ROOT_SERIAL: u64 = 1;
pub(super) const PLATFORM_SERIAL: u64 = 2;
pub(super) const TCB_SIGNER_SERIAL: u64 = 4;

const NOT_BEFORE: i64 = 1_577_836_800;
const NOT_AFTER: i64 = 4_102_444_800;
/// rcgen refuses parameters for reasons (names, times, key kinds) that the constants here rule out.
const FIXED: &str = "parameters are fixed and valid";

/// A certificate authority.
pub(super) struct Ca {
    pub(super) der: Vec<u8>,
    pub(super) pem: String,
    issuer: Issuer<'static, DevKey>,
}

impl Ca {
    /// A self-signed one.
    pub(super) fn root(seed: &[u8; 32], name: &str) -> Self {
        let (key, params) = (DevKey::derive(seed, name), ca_params(name, ROOT_SERIAL, 1));
        let certificate = params.self_signed(&key).expect(FIXED);
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// One below `parent`.
    pub(super) fn intermediate(seed: &[u8; 32], name: &str, parent: &Self) -> Self {
        let (key, params) = (DevKey::derive(seed, name), ca_params(name, PLATFORM_SERIAL, 0));
        let certificate = params.signed_by(&key, &parent.issuer).expect(FIXED);
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Its revocation list.
    pub(super) fn crl(&self, revoked: &[u64], from: OffsetDateTime, until: OffsetDateTime) -> Vec<u8> {
        let entry = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: from,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: from,
            next_update: until,
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect(FIXED).der().to_vec()
    }
}

/// An end-entity certificate with its key.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) pem: String,
    pub(super) key: DevKey,
}

/// When a certificate holds, in seconds since the epoch.
#[derive(Clone, Copy)]
pub(super) struct Validity {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Validity {
    /// For as long as the CAs hold.
    pub(super) const LONG: Self = Self { from: NOT_BEFORE, until: NOT_AFTER };
}

impl Leaf {
    pub(super) fn issue(
        key: DevKey,
        name: &str,
        serial: u64,
        parent: &Ca,
        validity: Validity,
        extension: Option<CustomExtension>,
    ) -> Self {
        let mut params = params(name, serial);
        params.not_before = at(validity.from);
        params.not_after = at(validity.until);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment];
        params.custom_extensions.extend(extension);
        let certificate = params.signed_by(&key, &parent.issuer).expect(FIXED);
        Self { pem: certificate.pem(), key }
    }
}

/// A self-signed certificate with evidence in it.
#[cfg(feature = "x509")]
pub(super) fn attested(key: &DevKey, extension: Vec<u8>, now: i64) -> Vec<u8> {
    let mut params = params("Mandate Development App", 5);
    (params.not_before, params.not_after) = (at(now - 3_600), at(now + 3_600));
    params.use_authority_key_identifier_extension = false;
    params.custom_extensions = vec![CustomExtension::from_oid_content(&crate::x509::CMW_OID, extension)];
    params.self_signed(key).expect(FIXED).der().to_vec()
}

fn ca_params(name: &str, serial: u64, path_length: u8) -> CertificateParams {
    let mut params = params(name, serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "DEVELOPMENT ONLY");
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = at(NOT_BEFORE);
    params.not_after = at(NOT_AFTER);
    params.use_authority_key_identifier_extension = true;
    params
}

/// A time that certificates can name; others are moved to the nearest one.
pub(super) fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix.clamp(NOT_BEFORE, NOT_AFTER))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Intel's SGX extension (1.2.840.113741.1.13.1) as a platform CA's PCK certificate carries it.
pub(super) fn sgx_extension(ppid: &[u8], device: &[u8; 16]) -> CustomExtension {
    let der = yasna::construct_der(|writer| {
        writer.write_sequence(|list| {
            field(list.next(), &[1], |value| value.write_bytes(ppid));
            field(list.next(), &[2], write_tcb);
            field(list.next(), &[3], |value| value.write_bytes(&[0, 0]));
            field(list.next(), &[4], |value| value.write_bytes(&FMSPC));
            field(list.next(), &[5], |value| value.write_enum(1));
            field(list.next(), &[6], |value| value.write_bytes(device));
            field(list.next(), &[7], write_configuration);
        });
    });
    CustomExtension::from_oid_content(&SGX_OID, der)
}

const SGX_OID: [u64; 7] = [1, 2, 840, 113_741, 1, 13, 1];

fn field(writer: DERWriter<'_>, tail: &[u64], value: impl FnOnce(DERWriter<'_>)) {
    let oid = ObjectIdentifier::from_slice(&[&SGX_OID, tail].concat());
    writer.write_sequence(|pair| {
        pair.next().write_oid(&oid);
        value(pair.next());
    });
}

fn write_tcb(writer: DERWriter<'_>) {
    writer.write_sequence(|list| {
        for (number, svn) in (1..).zip(CPU_SVN) {
            field(list.next(), &[2, number], |value| value.write_u8(svn));
        }
        field(list.next(), &[2, 17], |value| value.write_u16(PCE_SVN));
        field(list.next(), &[2, 18], |value| value.write_bytes(&CPU_SVN));
    });
}

/// Not a dynamic platform, no cached keys, SMT on.
fn write_configuration(writer: DERWriter<'_>) {
    writer.write_sequence(|list| {
        for (number, flag) in (1..).zip([false, false, true]) {
            field(list.next(), &[7, number], |value| value.write_bool(flag));
        }
    });
}
