// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which of the watched names a logged certificate is for.

use std::collections::BTreeSet;

use alloy::primitives::B256;
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::{TbsCertificate, X509Certificate},
    der_parser::asn1_rs::oid,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
    x509::X509Name,
};

use super::{
    entry::{Content, Entry},
    watched::Watched,
};

/// What concerns a watched name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its DER; of a precertificate that is not served, of what the log commits to.
    pub fingerprint: B256,
    /// SHA-256 of its public key (SPKI); none when it cannot be read.
    pub spki: Option<B256>,
    /// Whether it is a precertificate.
    pub precertificate: bool,
    /// When it ends; 0 when it cannot be read.
    pub not_after: u64,
    /// Who issued it.
    pub issuer: String,
    /// The watched names that it is for.
    pub names: BTreeSet<String>,
}

/// What `entry` says about the `watched` names; nothing when it is about others.
pub fn find(entry: &Entry, watched: &Watched) -> Option<Certificate> {
    match &entry.content {
        Content::Certificate(der) => {
            let parsed = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty());
            certificate(parsed.map(|(_, c)| c.tbs_certificate), der, watched, fingerprint(der), false)
        }
        Content::Precertificate { tbs, beside } => {
            let parsed =
                TbsCertificate::from_der(tbs).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, t)| t);
            let served = beside.as_deref().filter(|der| parsed.as_ref().is_some_and(|tbs| is_of(der, tbs)));
            let print = fingerprint(served.unwrap_or(tbs));
            certificate(parsed, tbs, watched, print, true)
        }
        Content::Unknown => certificate(None, &entry.leaf, watched, fingerprint(&entry.leaf), false),
    }
}

fn certificate(
    parsed: Option<TbsCertificate<'_>>,
    der: &[u8],
    watched: &Watched,
    fingerprint: B256,
    precertificate: bool,
) -> Option<Certificate> {
    let Some((tbs, named)) = parsed.and_then(|tbs| names(&tbs).map(|names| (tbs, names))) else {
        // Who makes a certificate that browsers read and we do not must not hide by that.
        let names = watched.mentioned(der);
        let issuer = "unreadable certificate".to_owned();
        return (!names.is_empty()).then_some(Certificate {
            fingerprint,
            spki: None,
            precertificate,
            not_after: 0,
            issuer,
            names,
        });
    };
    let names: BTreeSet<String> =
        named.iter().flat_map(|pattern| watched.covered(pattern)).cloned().collect();
    if names.is_empty() {
        return None;
    }
    const LONGEST: usize = 200;
    Some(Certificate {
        fingerprint,
        spki: Some(self::fingerprint(tbs.subject_pki.raw)),
        precertificate,
        not_after: u64::try_from(tbs.validity.not_after.timestamp()).unwrap_or(0),
        issuer: tbs.issuer.to_string().chars().take(LONGEST).collect(),
        names,
    })
}

/// Whether `der` is the precertificate of what the log committed to: all but its issuer, which may be a CA's special one
/// (RFC 6962, 3.2), and its poison are the same.
fn is_of(der: &[u8], logged: &TbsCertificate<'_>) -> bool {
    let Ok(([], served)) = X509Certificate::from_der(der) else { return false };
    let served = served.tbs_certificate;
    let extension = |tbs: &TbsCertificate<'_>| {
        let own = tbs.extensions().iter().filter(|e| {
            // Poison, and the issuer's key id.
            e.oid != oid!(1.3.6.1.4.1.11129.2.4.3) && e.oid != oid!(2.5.29.35)
        });
        own.map(|e| (e.oid.to_id_string(), e.critical, e.value.to_vec())).collect::<Vec<_>>()
    };
    served.raw_serial() == logged.raw_serial()
        && served.subject_pki.raw == logged.subject_pki.raw
        && served.subject.as_raw() == logged.subject.as_raw()
        && served.validity == logged.validity
        && extension(&served) == extension(logged)
}

/// Every DNS name of the certificate, as it is written; nothing when its names cannot be read.
fn names(tbs: &TbsCertificate<'_>) -> Option<Vec<String>> {
    let mut names = common_names(&tbs.subject);
    for extension in tbs.extensions().iter().filter(|e| e.oid == oid!(2.5.29.17)) {
        let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() else { return None };
        names.extend(san.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        }));
        if san.general_names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
            return None;
        }
    }
    Some(names)
}

fn common_names(subject: &X509Name<'_>) -> Vec<String> {
    subject.iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

fn fingerprint(der: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(der)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn watched(names: &[&str]) -> Watched {
        Watched::new(set(names)).unwrap()
    }

    fn made(names: &[&str], common_name: &str, poisoned: bool) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        if poisoned {
            let mut poison =
                CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 3], vec![5, 0]);
            poison.set_criticality(true);
            params.custom_extensions.push(poison);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn entry(content: Content) -> Entry {
        Entry { leaf: vec![], timestamp: 0, content }
    }

    #[test]
    fn certificate_is_found_by_name_wildcard_and_common_name() {
        let all = watched(&["a.example.org", "example.org", "b.example.org"]);
        for (names, common_name, expected) in [
            (&["A.Example.ORG"][..], "x", &["a.example.org"][..]),
            (&["*.example.org"], "x", &["a.example.org", "b.example.org"]),
            (&["other.example"], "example.org", &["example.org"]),
            (&["deep.a.example.org", "xexample.org", "example.org.evil.example"], "x", &[]),
            (&["*.a.example.org", "*.org"], "x", &["example.org"]),
        ] {
            let der = made(names, common_name, false);
            let found = find(&entry(Content::Certificate(der.clone())), &all);
            let names = found.as_ref().map(|found| found.names.clone()).unwrap_or_default();
            assert_eq!(names, set(expected));
            if let Some(found) = found {
                assert_eq!(found.fingerprint, fingerprint(&der));
                assert!(found.spki.is_some() && found.not_after > 0);
            }
        }
    }

    #[test]
    fn unreadable_certificate_is_found_by_what_stands_in_it() {
        let all = watched(&["a.example.org", "b.example.net"]);
        let mut der = made(&["a.EXAMPLE.org"], "x", false);
        der.pop();
        let found = find(&entry(Content::Certificate(der)), &all).unwrap();
        assert_eq!((found.names, found.spki), (set(&["a.example.org"]), None));
        let unknown = Entry { leaf: b"..*.example.net..".to_vec(), timestamp: 0, content: Content::Unknown };
        assert_eq!(find(&unknown, &all).unwrap().names, set(&["b.example.net"]));
        assert_eq!(find(&Entry { leaf: b"nothing".to_vec(), ..unknown }, &all), None);
    }

    /// What the log serves beside the leaf is not in its tree: another one must not lend its fingerprint.
    #[test]
    fn precertificate_beside_is_believed_only_when_it_is_that_of_the_leaf() {
        let all = watched(&["a.example.org"]);
        let (mine, other) = (made(&["a.example.org"], "x", true), made(&["a.example.org"], "x", true));
        let tbs = X509Certificate::from_der(&mine).unwrap().1.tbs_certificate.as_ref().to_vec();
        let of = |beside: Option<&Vec<u8>>| {
            let content = Content::Precertificate { tbs: tbs.clone(), beside: beside.cloned() };
            find(&entry(content), &all).unwrap()
        };
        assert_eq!(of(Some(&mine)).fingerprint, fingerprint(&mine));
        assert_eq!(of(Some(&other)).fingerprint, fingerprint(&tbs));
        assert_eq!(of(None).fingerprint, fingerprint(&tbs));
        assert!(of(None).precertificate);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let all = watched(&["a.example.org"]);
            let _ = find(&entry(Content::Certificate(bytes.clone())), &all);
            let _ = find(&entry(Content::Precertificate { tbs: bytes.clone(), beside: Some(bytes) }), &all);
        }
    }
}
