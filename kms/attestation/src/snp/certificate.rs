// SPDX-License-Identifier: Apache-2.0 OR MIT
//! AMD's certificates: what is read from them. Signatures are the library's business.

use sev::certs::snp::Certificate;
use x509_cert::{
    TbsCertificate,
    der::{Decode, Encode, asn1::ObjectIdentifier, oid::db::rfc4519::CN},
    ext::pkix::BasicConstraints,
    time::Time,
};

use super::{Endorser, SnpError, Window, bounded};

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const CHIP_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
/// The components of the TCB with their extensions (AMD 57230, table "Extensions").
const COMPONENTS: [(&str, ObjectIdentifier); 5] = [
    ("boot loader", ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1")),
    ("TEE", ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2")),
    ("SNP firmware", ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3")),
    ("microcode", ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8")),
    (FMC, ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9")),
];
/// The one component that Turin has and the others lack.
const FMC: &str = "FMC";

/// A certificate read once, by the library that verifies its signature.
#[derive(Debug)]
pub(super) struct Parsed {
    of: Endorser,
    pub(super) signed: Certificate,
    tbs: TbsCertificate,
}

impl Parsed {
    /// Reads DER, and nothing that would be written differently: the signature is checked over what is written again.
    pub(super) fn read(of: Endorser, der: &[u8]) -> Result<Self, SnpError> {
        let bad = |what: String| SnpError::Certificate { of, what };
        let signed = Certificate::from_der(der).map_err(|e| bad(bounded(&e)))?;
        if signed.to_der().map_err(|e| bad(bounded(&e)))? != der {
            return Err(bad("it is not DER".to_owned()));
        }
        let tbs = x509_cert::Certificate::from(signed.clone()).tbs_certificate;
        Ok(Self { of, signed, tbs })
    }

    pub(super) fn bad(&self, what: impl Into<String>) -> SnpError {
        SnpError::Certificate { of: self.of, what: what.into() }
    }

    /// When it holds.
    pub(super) fn window(&self) -> Window {
        let at = |time: Time| time.to_unix_duration().as_secs();
        Window { of: self.of, from: at(self.tbs.validity.not_before), until: at(self.tbs.validity.not_after) }
    }

    /// Whether `issuer` bears the name by which this names its issuer.
    pub(super) fn names_as_issuer(&self, issuer: &Self) -> bool {
        self.tbs.issuer == issuer.tbs.subject
    }

    /// The one common name of its subject.
    pub(super) fn common_name(&self) -> Result<String, SnpError> {
        let all = self.tbs.subject.0.iter().flat_map(|rdn| rdn.0.iter());
        let mut names = all.filter(|attribute| attribute.oid == CN);
        match (names.next(), names.next()) {
            (Some(name), None) => Ok(String::from_utf8_lossy(name.value.value()).into_owned()),
            _ => Err(self.bad("its subject has no common name, or several")),
        }
    }

    /// Whether it may sign certificates.
    pub(super) fn is_authority(&self) -> Result<bool, SnpError> {
        let Some(value) = self.extension(BASIC_CONSTRAINTS)? else { return Ok(false) };
        let constraints = BasicConstraints::from_der(value).map_err(|e| self.bad(bounded(&e)))?;
        Ok(constraints.ca)
    }

    /// Serial number, big-endian, without leading zeros.
    pub(super) fn serial(&self) -> &[u8] {
        strip_zeros(self.tbs.serial_number.as_bytes())
    }

    /// Subject, DER.
    pub(super) fn subject_der(&self) -> Result<Vec<u8>, SnpError> {
        self.tbs.subject.to_der().map_err(|e| self.bad(bounded(&e)))
    }

    /// Subject public key info, DER.
    pub(super) fn key_der(&self) -> Result<Vec<u8>, SnpError> {
        self.tbs.subject_public_key_info.to_der().map_err(|e| self.bad(bounded(&e)))
    }

    /// The security versions that an endorsement key is for; the last is there on Turin alone.
    pub(super) fn tcb(&self) -> Result<Tcb, SnpError> {
        let [boot_loader, tee, snp, microcode, fmc] = COMPONENTS.map(|(name, oid)| {
            let value = self.extension(oid)?;
            value.map(|der| u8::from_der(der).map_err(|e| self.bad(format!("{name}: {e}")))).transpose()
        });
        let present = |name: &str, value: Option<u8>| {
            value.ok_or_else(|| self.bad(format!("it does not say which version of the {name} it is for")))
        };
        Ok(Tcb {
            boot_loader: present("boot loader", boot_loader?)?,
            tee: present("TEE", tee?)?,
            snp: present("SNP firmware", snp?)?,
            microcode: present("microcode", microcode?)?,
            fmc: fmc?,
        })
    }

    /// The chip that a VCEK belongs to. Older certificates carry the bare bytes, newer ones an OCTET STRING.
    pub(super) fn chip_id(&self) -> Result<Option<Vec<u8>>, SnpError> {
        let value = self.extension(CHIP_ID)?;
        Ok(value.map(|value| match value {
            [4, length, id @ ..] if [8, 64].contains(&id.len()) && usize::from(*length) == id.len() => {
                id.to_vec()
            }
            bare => bare.to_vec(),
        }))
    }

    /// The value of an extension that occurs once at most.
    fn extension(&self, oid: ObjectIdentifier) -> Result<Option<&[u8]>, SnpError> {
        let all = self.tbs.extensions.iter().flatten();
        let mut found = all.filter(|extension| extension.extn_id == oid);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(self.bad(format!("it has extension {oid} twice"))),
            (one, None) => Ok(one.map(|extension| extension.extn_value.as_bytes())),
        }
    }
}

/// Security versions that an endorsement key is derived for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tcb {
    pub(super) boot_loader: u8,
    pub(super) tee: u8,
    pub(super) snp: u8,
    pub(super) microcode: u8,
    pub(super) fmc: Option<u8>,
}

pub(super) fn strip_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
