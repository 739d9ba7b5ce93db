// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the root has revoked.
//!
//! AMD's roots list the authorities below them. Endorsement keys all have serial number 0, so that no list can name one:
//! a chip whose key is lost is left behind by a newer TCB.

use x509_parser::{
    prelude::{FromDer, SubjectPublicKeyInfo},
    revocation_list::CertificateRevocationList,
    signature_algorithm::SignatureAlgorithm,
};

use super::{
    Endorser, SnpError, bounded,
    certificate::{Parsed, strip_zeros},
    endorsement::Window,
};

/// SHA-384, the one hash that AMD's signatures use.
const SHA384: &str = "2.16.840.1.101.3.4.2.2";

/// Verifies the list and that neither the root nor the authority is on it; when it holds.
pub(super) fn verify(der: &[u8], root: &Parsed, authority: &Parsed) -> Result<Window, SnpError> {
    let bad = |what: &str| SnpError::Certificate { of: Endorser::Crl, what: what.to_owned() };
    let (rest, list) = CertificateRevocationList::from_der(der).map_err(|e| bad(&bounded(&e)))?;
    if !rest.is_empty() {
        return Err(bad("bytes follow it"));
    }
    check_signature(&list, root)?;
    // Scope, deltas and other issuers' entries are all announced by critical extensions; AMD uses none of them.
    let entries = list.iter_revoked_certificates();
    let extensions = list.extensions().iter().chain(entries.flat_map(|entry| entry.extensions().iter()));
    if extensions.into_iter().any(|extension| extension.critical) {
        return Err(bad("it has an extension that would have to be understood"));
    }
    for (of, certificate) in [(Endorser::Root, root), (Endorser::Authority, authority)] {
        let revoked = |serial: &[u8]| strip_zeros(serial) == certificate.serial();
        if list.iter_revoked_certificates().any(|entry| revoked(&entry.user_certificate.to_bytes_be())) {
            return Err(SnpError::Revoked(of));
        }
    }
    window(&list).ok_or_else(|| bad("it does not say until when it holds"))
}

fn check_signature(list: &CertificateRevocationList<'_>, root: &Parsed) -> Result<(), SnpError> {
    let foreign = |what: &str| SnpError::ForeignCrl(what.to_owned());
    if list.issuer().as_raw() != root.subject_der()? {
        return Err(foreign("it has another issuer"));
    }
    if list.signature_algorithm != list.tbs_cert_list.signature || !is_pss_sha384(list) {
        return Err(foreign("it is not signed with RSASSA-PSS and SHA-384"));
    }
    let key = root.key_der()?;
    let (_, key) = SubjectPublicKeyInfo::from_der(&key).map_err(|e| foreign(&bounded(&e)))?;
    list.verify_signature(&key).map_err(|e| foreign(&bounded(&e)))
}

fn is_pss_sha384(list: &CertificateRevocationList<'_>) -> bool {
    match SignatureAlgorithm::try_from(&list.signature_algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => {
            parameters.hash_algorithm_oid().to_id_string() == SHA384
        }
        _ => false,
    }
}

fn window(list: &CertificateRevocationList<'_>) -> Option<Window> {
    let at = |seconds: i64| u64::try_from(seconds).ok();
    let from = at(list.last_update().timestamp())?;
    Some(Window { of: Endorser::Crl, from, until: at(list.next_update()?.timestamp())? })
}
