// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A decision bundle: everything on which one receipt rests, so that anybody can judge again, offline (G-8).
//!
//! The bundle is JSON as its fields stand here, without spaces: one bundle has one text, and [`Bundle::decode`] refuses any
//! other. Nothing in it is believed. The receipt is signed by its node and commits to the rest by hashes; the evidence and
//! the witnesses prove themselves.

use alloy::primitives::{Address, Bytes};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{receipt::Receipt, wire::kms::ReleaseRequest};

/// The version that this build writes and reads.
pub const VERSION: u8 = 1;

/// The longest bundle, in bytes: two whole witnesses and the largest evidence in hex.
pub const MAX_BUNDLE: usize = 12 << 20;

/// One decision, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// [`VERSION`].
    pub version: u8,
    /// The `KmsCommittee` of the deployment: part of what the receipt's signature is about.
    pub committee: Address,
    /// What the guest sent, with its evidence. It names the chain and the `KmsAuth`.
    pub request: ReleaseRequest,
    /// The ABI-encoded question to the contracts; nothing when the evidence did not verify.
    pub boot_request: Option<Bytes>,
    /// The witness of `KmsAuth.decide` at the finalised block, where it came to that.
    pub finalized: Option<Bytes>,
    /// The same at the head, where it came to that.
    pub head: Option<Bytes>,
    /// What the node signed.
    pub receipt: Receipt,
}

/// Why bytes are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BundleError {
    /// More bytes than any bundle has.
    #[error("a bundle of {0} bytes: the limit is {MAX_BUNDLE}")]
    TooLong(usize),
    /// No JSON of this shape. The text names the place.
    #[error("no bundle: {0}")]
    Json(String),
    /// Another format.
    #[error("bundle version {0} is not known here: this build reads version {VERSION}")]
    Version(u8),
    /// The same content is written otherwise.
    #[error("the bundle is not written as bundles are: spaces, another order or other spellings")]
    NotCanonical,
}

impl Bundle {
    /// The one text of this bundle.
    pub fn encode(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always have a text.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// When it is too long, no bundle, of another version or not written as [`Bundle::encode`] does.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE {
            return Err(BundleError::TooLong(bytes.len()));
        }
        let bundle: Self = serde_json::from_slice(bytes).map_err(|e| BundleError::Json(e.to_string()))?;
        match bundle.version {
            VERSION if bundle.encode() == bytes => Ok(bundle),
            VERSION => Err(BundleError::NotCanonical),
            other => Err(BundleError::Version(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, B512};
    use proptest::{collection::vec, option, prelude::*, strategy::ValueTree};

    use super::*;
    use crate::{
        outcome::{Outcome, PolicyReason, Reason},
        wire::kms::{AppKeys, Candidate, NodeNonce, RouteWish, Wish},
    };

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            any::<u64>().prop_map(|valid_until| Outcome::Allowed { valid_until }),
            any::<String>().prop_map(|text| Outcome::Denied { reason: Reason::Evidence(text) }),
            (0..PolicyReason::ALL.len())
                .prop_map(|n| Outcome::Denied { reason: Reason::Policy(PolicyReason::ALL[n]) }),
        ]
    }

    fn bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..80).prop_map(Bytes::from)
    }

    prop_compose! {
        fn bundle()(
            seed in any::<[u8; 8]>(), outcome in outcome(), evidence in bytes(), boot_request in option::of(bytes()),
            finalized in option::of(bytes()), head in option::of(bytes()), number in any::<u64>(),
            kind in 0..5,
        ) -> Bundle {
            let (hash, address) = (|i: usize| B256::repeat_byte(seed[i]), |i: usize| Address::repeat_byte(seed[i]));
            let nonces = vec![NodeNonce { node: address(0), nonce: hash(1) }];
            let wish = match kind {
                0 => Wish::Secret,
                1 => Wish::Statement(AppKeys { ca_spki_sha256: hash(6), ethereum: address(7) }),
                2 => Wish::Vouch(Candidate {
                    node: address(6), dealing_key: hash(5), sealing_key: hash(4), demand: number, until: number,
                }),
                3 => Wish::Copy(address(5)),
                _ => Wish::Instance(RouteWish { registration: B512::repeat_byte(seed[6]), until: number }),
            };
            Bundle {
                version: VERSION,
                committee: address(2),
                request: ReleaseRequest {
                    chain_id: number, kms_auth: address(3), generation: number, epoch: number, transport_key: hash(4),
                    nonces, wish, evidence,
                },
                boot_request, finalized, head,
                receipt: Receipt {
                    node: address(5), sequence: number, previous: hash(6), judged_at: number, block_number: number,
                    block_hash: hash(7), head_number: number, head_hash: hash(0), request_hash: hash(1),
                    evidence_hash: hash(2), binding_hash: hash(3), outcome, transport_key_hash: hash(4),
                    dev_anchors: number % 2 == 0, signature: vec![seed[5]; 65].into(),
                },
            }
        }
    }

    proptest! {
        #[test]
        fn bundle_roundtrips_and_has_one_text(bundle in bundle(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let text = bundle.encode();
            prop_assert_eq!(Bundle::decode(&text), Ok(bundle.clone()));
            let mut other = text.clone();
            let at = at.index(other.len());
            other[at] = byte;
            // Another text is another bundle, or none.
            if other != text && let Ok(read) = Bundle::decode(&other) {
                prop_assert_ne!(read, bundle);
            }
        }
    }

    #[test]
    fn bundle_is_refused_when_cut_anywhere() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let text = bundle().new_tree(&mut runner).unwrap().current().encode();
        for length in 0..text.len() {
            assert!(matches!(Bundle::decode(&text[..length]), Err(BundleError::Json(_))), "{length}");
        }
        let spaced = [text.clone(), b" ".to_vec()].concat();
        assert_eq!(Bundle::decode(&spaced), Err(BundleError::NotCanonical));
        let later = String::from_utf8(text.clone()).unwrap().replacen("\"version\":1", "\"version\":2", 1);
        assert_eq!(Bundle::decode(later.as_bytes()), Err(BundleError::Version(2)));
        let upper = String::from_utf8(text).unwrap().replacen("\"finalized\"", "\"Finalized\"", 1);
        assert!(matches!(Bundle::decode(upper.as_bytes()), Err(BundleError::Json(_))));
        assert_eq!(Bundle::decode(&vec![b' '; MAX_BUNDLE + 1]), Err(BundleError::TooLong(MAX_BUNDLE + 1)));
    }
}
