// SPDX-License-Identifier: Apache-2.0 OR MIT
//! G-1 under tampering: whatever is changed, the facts stay or the evidence is refused; nothing panics.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::LazyLock;

use common::{NOW, REPORT_DATA, check, check_under, guest, minted, pki};
use mandate_attestation::{
    Collateral, DigestVersion, Evidence, TdxEvidence, TrustAnchors, Verified, Verifier,
    dev_pki::{DevGuest, QuoteVersion},
    tdx::verify_quote,
    verify,
};
use proptest::{prelude::*, sample::Index};

struct Good {
    evidence: TdxEvidence,
    facts: Verified,
    anchors: TrustAnchors,
}

fn good(quote_version: QuoteVersion) -> Good {
    let evidence = minted(&DevGuest { quote_version, ..guest() });
    Good { facts: check(evidence.clone()).unwrap(), evidence, anchors: pki().trust_anchors() }
}

static V4: LazyLock<Good> = LazyLock::new(|| good(QuoteVersion::V4));
static V5: LazyLock<Good> = LazyLock::new(|| good(QuoteVersion::V5));
static V5_EX: LazyLock<Good> = LazyLock::new(|| good(QuoteVersion::V5Ex));

/// A verifier that has seen them all.
static WARM: LazyLock<Verifier> = LazyLock::new(|| {
    let warm = Verifier::new(pki().trust_anchors());
    for good in [&*V4, &*V5, &*V5_EX] {
        let evidence = Evidence::Tdx(Box::new(good.evidence.clone()));
        assert_eq!(warm.verify(&evidence, NOW, &REPORT_DATA).as_ref(), Ok(&good.facts));
    }
    warm
});

impl Good {
    /// Refused, or exactly the same facts; and a warm verifier says what a cold one says.
    fn holds(&self, tampered: TdxEvidence) -> Result<(), TestCaseError> {
        let cold = check_under(tampered.clone(), &self.anchors);
        if let Ok(facts) = &cold {
            prop_assert_eq!(facts, &self.facts);
        }
        let warm = WARM.verify(&Evidence::Tdx(Box::new(tampered)), NOW, &REPORT_DATA);
        prop_assert_eq!(warm, cold);
        Ok(())
    }

    fn tampered(&self, change: impl FnOnce(&mut TdxEvidence)) -> TdxEvidence {
        let mut evidence = self.evidence.clone();
        change(&mut evidence);
        evidence
    }
}

/// The signed part, byte by byte: header and TD report.
#[test]
fn g1_no_byte_of_the_signed_quote_can_change() {
    for (good, signed) in [(&*V4, 48 + 584), (&*V5, 48 + 6 + 648), (&*V5_EX, 48 + 6 + 885)] {
        for index in 0..signed {
            let tampered = good.tampered(|e| e.quote[index] ^= 0x01);
            let tampered = Evidence::Tdx(Box::new(tampered));
            assert!(WARM.verify(&tampered, NOW, &REPORT_DATA).is_err(), "byte {index}");
        }
    }
}

#[test]
fn a_quote_cut_at_any_length_is_refused_without_panic() {
    for good in [&*V4, &*V5, &*V5_EX] {
        for length in 0..good.evidence.quote.len() {
            let quote = &good.evidence.quote[..length];
            assert!(verify_quote(quote, &good.evidence.collateral, &good.anchors, NOW).is_err(), "{length}");
        }
    }
}

/// Every text and blob of the collateral, cut anywhere.
#[test]
fn collateral_cut_at_any_length_is_refused_without_panic() {
    let cut = |what: &dyn Fn(&mut Collateral, usize) -> bool| {
        let mut length = 0;
        loop {
            let mut tampered = V4.evidence.clone();
            if !what(&mut tampered.collateral, length) {
                break;
            }
            let tampered = Evidence::Tdx(Box::new(tampered));
            assert!(WARM.verify(&tampered, NOW, &REPORT_DATA).is_err(), "{length}");
            // Every length up to where the text is under way, then some.
            length += if length < 64 { 1 } else { 7 };
        }
        assert!(length > 32);
    };
    let text = |text: &mut String, length| {
        length + 1 < text.len() && {
            text.truncate(length);
            true
        }
    };
    let blob = |blob: &mut Vec<u8>, length| {
        length < blob.len() && {
            blob.truncate(length);
            true
        }
    };
    cut(&|c, n| blob(&mut c.root_ca_crl, n));
    cut(&|c, n| blob(&mut c.pck_crl, n));
    cut(&|c, n| text(&mut c.tcb_info, n));
    cut(&|c, n| text(&mut c.qe_identity, n));
    cut(&|c, n| blob(&mut c.tcb_info_signature, n));
    cut(&|c, n| blob(&mut c.qe_identity_signature, n));
}

/// A chain is PEM: cut inside its first certificate it has none, later the first is whole and the signer's own.
#[test]
fn a_certificate_chain_cut_at_any_length_changes_no_fact() {
    let whole = &V4.evidence.collateral.tcb_info_issuer_chain;
    for length in (0..whole.len()).step_by(3) {
        let tampered = V4.tampered(|e| e.collateral.tcb_info_issuer_chain.truncate(length));
        let verdict = WARM.verify(&Evidence::Tdx(Box::new(tampered)), NOW, &REPORT_DATA);
        assert!(verdict.is_err() || verdict == Ok(V4.facts.clone()), "{length}: {verdict:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn g1_tampering_with_the_quote_never_changes_a_fact(at: Index, flip in 1..=u8::MAX, which in 0..3usize) {
        let good = [&*V4, &*V5, &*V5_EX][which];
        good.holds(good.tampered(|e| {
            let at = at.index(e.quote.len());
            e.quote[at] ^= flip;
        }))?;
    }

    #[test]
    fn g1_tampering_with_an_event_is_refused(event: Index, at: Index, flip in 1..=u8::MAX, what in 0..5u8) {
        let tampered = V4.tampered(|e| {
            let count = e.event_log.len();
            let event = &mut e.event_log[event.index(count)];
            match what {
                0 => event.register ^= u32::from(flip),
                1 => event.kind ^= u32::from(flip) << 8,
                2 => event.digest_version = DigestVersion::V2,
                3 => event.name.insert(at.index(event.name.len()), 'x'),
                _ if event.payload.is_empty() => event.payload.push(flip),
                _ => {
                    let at = at.index(event.payload.len());
                    event.payload[at] ^= flip;
                }
            }
        });
        prop_assert!(check_under(tampered, &V4.anchors).is_err());
    }

    #[test]
    fn g1_events_cannot_be_dropped_doubled_or_moved(from: Index, to: Index, what in 0..3u8) {
        let tampered = V4.tampered(|e| {
            let (from, to) = (from.index(e.event_log.len()), to.index(e.event_log.len()));
            match what {
                0 => drop(e.event_log.remove(from)),
                1 => e.event_log.insert(to, e.event_log[from].clone()),
                _ => e.event_log.swap(from, to),
            }
        });
        V4.holds(tampered)?;
    }

    #[test]
    fn g1_tampering_with_the_image_or_collateral_never_changes_a_fact(at: Index, flip in 1..=u8::MAX, what in 0..6u8) {
        let flipped = |bytes: &mut Vec<u8>| {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        };
        let flipped_text = |text: &mut String| {
            let mut bytes = text.clone().into_bytes();
            flipped(&mut bytes);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        };
        V4.holds(V4.tampered(|e| match what {
            0 => flipped(&mut e.image),
            1 => flipped(&mut e.collateral.pck_crl),
            2 => flipped(&mut e.collateral.root_ca_crl),
            3 => flipped_text(&mut e.collateral.tcb_info),
            4 => flipped_text(&mut e.collateral.qe_identity),
            _ => flipped_text(&mut e.collateral.tcb_info_issuer_chain),
        }))?;
    }

    #[test]
    fn tampering_with_the_encoding_never_changes_a_fact(at: Index, flip in 1..=u8::MAX) {
        let mut bytes = Evidence::Tdx(Box::new(V4.evidence.clone())).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(evidence) = Evidence::decode(&bytes)
            && let Ok(facts) = verify(&evidence, &V4.anchors, NOW, &REPORT_DATA)
        {
            prop_assert_eq!(&facts, &V4.facts);
        }
    }
}
