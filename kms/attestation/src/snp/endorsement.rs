// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the root to the key that signs reports.
//!
//! ```text
//! ARK (anchor, one per product line) ─┬─ ASK ── VCEK (one per chip and TCB)
//!                                     ├─ ASVK ── VLEK (one per cloud provider and TCB)
//!                                     └─ CRL
//! ```
//! The library checks the signatures of the chain. Names, dates, revocation and what a key is for are checked here.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use alloy::primitives::B256;
use lru::LruCache;
use sev::{
    certs::snp::{Certificate, Chain, Verifiable, ca},
    firmware::guest::AttestationReport,
};
use sha2::{Digest, Sha256};

use super::{
    Endorsement, Endorser, KeyKind, Product, SnpError, bounded,
    certificate::{Parsed, Tcb},
    crl,
};
use crate::anchors::TrustAnchors;

/// Chains that are remembered: one of each host of a large fleet.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// An endorsement key whose chain led to the anchors. Holds at the times of `windows` alone.
#[derive(Debug)]
pub(crate) struct Endorsed {
    product: Product,
    kind: KeyKind,
    tcb: Tcb,
    chip_id: Option<Vec<u8>>,
    key: Certificate,
    windows: [Window; 4],
}

/// When something holds, in seconds since the epoch, both ends included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) of: Endorser,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// Chains that verified.
///
/// A signature that was right is right for ever; a date is not. So a chain is found by a digest of everything that its
/// verdict depended on, except the time, and its dates are looked at again whenever it is taken out. Nothing is kept that
/// did not verify, and a report is no part of the key: two reports meet here only in the certificates that they share. The
/// least recently used chain makes room for a new one.
pub(crate) struct Chains(Mutex<LruCache<B256, Arc<Endorsed>>>);

impl Default for Chains {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Chains {
    fn recall(&self, name: &B256) -> Option<Arc<Endorsed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn keep(&self, name: B256, endorsed: Arc<Endorsed>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(name, endorsed);
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl std::fmt::Debug for Chains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chains").field("len", &self.len()).finish()
    }
}

/// The endorsement's key, if it leads to one of the anchors' roots at `now_unix`. What a memory has is not verified
/// again, but for its dates.
pub(super) fn endorse(
    memory: Option<&Chains>,
    endorsement: &Endorsement,
    anchors: &TrustAnchors,
    now_unix: u64,
) -> Result<Arc<Endorsed>, SnpError> {
    let name = name_of(endorsement, anchors);
    let endorsed = match memory.and_then(|chains| chains.recall(&name)) {
        Some(endorsed) => endorsed,
        None => {
            let endorsed = Arc::new(verify(endorsement, anchors)?);
            if let Some(chains) = memory {
                chains.keep(name, Arc::clone(&endorsed));
            }
            endorsed
        }
    };
    endorsed.check_dates(now_unix)?;
    Ok(endorsed)
}

/// A digest of all that [`verify`] looks at; each part is preceded by its length, so that no two lists have one name.
fn name_of(endorsement: &Endorsement, anchors: &TrustAnchors) -> B256 {
    let mut hash = Sha256::new();
    for root in anchors.snp_fingerprints() {
        hash.update(root);
    }
    let Endorsement { key, authority, crl } = endorsement;
    for part in [key, authority, crl] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    B256::from(<[u8; 32]>::from(hash.finalize()))
}

impl Endorsed {
    pub(super) fn check_dates(&self, now_unix: u64) -> Result<(), SnpError> {
        match self.windows.iter().find(|window| now_unix < window.from || window.until < now_unix) {
            Some(window) => Err(SnpError::Expired(window.of)),
            None => Ok(()),
        }
    }

    /// That this key signed the report, and is the key for what the report claims.
    pub(super) fn check(&self, report: &AttestationReport, said: KeyKind) -> Result<(), SnpError> {
        if said != self.kind {
            return Err(SnpError::KeyKind { report: said, certificate: self.kind });
        }
        if !super::report::is_of(report, self.product) {
            return Err(SnpError::Product(self.product));
        }
        self.check_tcb(report)?;
        self.check_chip(&report.chip_id)?;
        (&self.key, report).verify().map_err(|e| SnpError::Signature(bounded(&e)))
    }

    /// Firmware derives the key from its own versions, so no firmware can sign for a newer one. The report's claim is
    /// worth nothing without this.
    fn check_tcb(&self, report: &AttestationReport) -> Result<(), SnpError> {
        let claimed = report.reported_tcb;
        let fmc = |tcb: Option<u8>| tcb.unwrap_or_default();
        let pairs = [
            ("boot loader", self.tcb.boot_loader, claimed.bootloader),
            ("TEE", self.tcb.tee, claimed.tee),
            ("SNP firmware", self.tcb.snp, claimed.snp),
            ("microcode", self.tcb.microcode, claimed.microcode),
            ("FMC", fmc(self.tcb.fmc), fmc(claimed.fmc)),
        ];
        match pairs.into_iter().find(|(_, certificate, report)| certificate != report) {
            Some((component, certificate, report)) => Err(SnpError::Tcb { component, certificate, report }),
            None => Ok(()),
        }
    }

    /// A VCEK is one chip's. A VLEK is a provider's, on any of its chips.
    fn check_chip(&self, reported: &[u8; 64]) -> Result<(), SnpError> {
        let Some(id) = &self.chip_id else { return Ok(()) };
        let rest = reported.strip_prefix(id.as_slice()).ok_or(SnpError::Chip)?;
        if rest.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(SnpError::Chip) }
    }
}

pub(super) fn verify(endorsement: &Endorsement, anchors: &TrustAnchors) -> Result<Endorsed, SnpError> {
    let traced = trace(endorsement, anchors)?;
    let crl = crl::verify(&endorsement.crl, &traced.root, &traced.authority)?;
    traced.endorsed(crl)
}

/// A chain whose names and signatures lead to a root.
pub(super) struct Traced {
    product: Product,
    kind: KeyKind,
    root: Parsed,
    authority: Parsed,
    key: Parsed,
}

pub(super) fn trace(endorsement: &Endorsement, anchors: &TrustAnchors) -> Result<Traced, SnpError> {
    let key = Parsed::read(Endorser::Key, &endorsement.key)?;
    let authority = Parsed::read(Endorser::Authority, &endorsement.authority)?;
    let (product, root) = root_of(&authority, anchors)?;
    let kind = check_names(product, &authority, &key)?;
    let chain = Chain {
        ca: ca::Chain { ark: root.signed.clone(), ask: authority.signed.clone() },
        vek: key.signed.clone(),
    };
    chain.verify().map_err(|e| SnpError::Untrusted(bounded(&e)))?;
    Ok(Traced { product, kind, root, authority, key })
}

impl Traced {
    /// The key with what it is for; `crl` is when the root's CRL holds that does not name this chain.
    pub(super) fn endorsed(self, crl: Window) -> Result<Endorsed, SnpError> {
        let Self { product, kind, root, authority, key } = self;
        let (tcb, chip_id) = (key.tcb()?, key.chip_id()?);
        check_form(product, kind, &tcb, chip_id.as_deref()).map_err(|what| key.bad(what))?;
        let windows = [root.window(), authority.window(), key.window(), crl];
        Ok(Endorsed { product, kind, tcb, chip_id, key: key.signed, windows })
    }
}

/// The one root by whose name the authority names its issuer.
fn root_of(authority: &Parsed, anchors: &TrustAnchors) -> Result<(Product, Parsed), SnpError> {
    for (product, der) in anchors.snp_roots() {
        let root = Parsed::read(Endorser::Root, der)?;
        if authority.names_as_issuer(&root) {
            return Ok((product, root));
        }
    }
    Err(SnpError::Untrusted("no root has the name of the authority's issuer".to_owned()))
}

/// Names and constraints. ARK signs ASK and ASVK alike, so that the names alone tell one from the other.
fn check_names(product: Product, authority: &Parsed, key: &Parsed) -> Result<KeyKind, SnpError> {
    let kind = match key.common_name()?.as_str() {
        "SEV-VCEK" => KeyKind::Vcek,
        "SEV-VLEK" => KeyKind::Vlek,
        other => return Err(key.bad(format!("its subject is {}", bounded(&other)))),
    };
    let expected = match kind {
        KeyKind::Vcek => format!("SEV-{product}"),
        KeyKind::Vlek => format!("SEV-VLEK-{product}"),
    };
    if authority.common_name()? != expected {
        return Err(authority.bad(format!("it signs a {kind} and is not {expected}")));
    }
    if !authority.is_authority()? {
        return Err(authority.bad("it may not sign certificates"));
    }
    if !key.names_as_issuer(authority) {
        return Err(key.bad("it names another issuer"));
    }
    match key.is_authority()? {
        true => Err(key.bad("it may sign certificates")),
        false => Ok(kind),
    }
}

/// Which extensions a key has depends on its kind and line.
fn check_form(
    product: Product,
    kind: KeyKind,
    tcb: &Tcb,
    chip_id: Option<&[u8]>,
) -> Result<(), &'static str> {
    let turin = product == Product::Turin;
    if tcb.fmc.is_some() != turin {
        return Err("Turin's keys are for a version of the FMC, and no others");
    }
    match (kind, chip_id.map(<[u8]>::len)) {
        (KeyKind::Vcek, Some(64)) if !turin => Ok(()),
        (KeyKind::Vcek, Some(8)) if turin => Ok(()),
        (KeyKind::Vcek, _) => Err("it does not name its chip"),
        (KeyKind::Vlek, None) => Ok(()),
        (KeyKind::Vlek, Some(_)) => Err("it is a provider's and names a chip"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endorsement(key: &[u8], authority: &[u8], crl: &[u8]) -> Endorsement {
        Endorsement { key: key.to_vec(), authority: authority.to_vec(), crl: crl.to_vec() }
    }

    /// The attack: shift a byte from one part to its neighbour, so that the concatenation stays.
    #[test]
    fn names_tell_where_a_part_ends_and_which_roots_are_trusted() {
        let anchors = TrustAnchors::production();
        let name = |e: &Endorsement| name_of(e, &anchors);
        assert_ne!(name(&endorsement(b"ab", b"c", b"")), name(&endorsement(b"a", b"bc", b"")));
        assert_ne!(name(&endorsement(b"", b"ab", b"c")), name(&endorsement(b"", b"a", b"bc")));
        let other = anchors.clone().with_snp_root(Product::Turin, vec![0x30, 0x82, 0, 1, 7]).unwrap();
        let one = endorsement(b"a", b"b", b"c");
        assert_ne!(name_of(&one, &other), name(&one));
    }
}
