// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a site answers about where its keys come from: no panic, no signature that its bytes do not bear, and what is read
//! writes and reads as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_attestation::Evidence;
use mandate_model::wire::provenance::{DomainProvenance, parse_nonce};

fuzz_target!(|bytes: &[u8]| {
    if let Some(nonce) = std::str::from_utf8(bytes).ok().and_then(|text| parse_nonce(text).ok()) {
        assert_eq!(parse_nonce(&nonce.to_string()), Ok(nonce));
    }
    let Ok(answer) = serde_json::from_slice::<DomainProvenance>(bytes) else { return };
    let text = serde_json::to_vec(&answer).expect("it was read");
    assert_eq!(serde_json::from_slice::<DomainProvenance>(&text).expect("it was written"), answer);
    let statement = &answer.statement;
    assert!(statement.encode().len() >= statement.domain.len() + statement.account_uri.len());
    let signer = answer.signature.as_ref().and_then(|signature| signature.app_key(statement));
    if let (Some(signer), Some(signature)) = (signer, &answer.signature) {
        let mut other = statement.clone();
        other.domain.push('x');
        assert_ne!(signature.app_key(&other), Some(signer));
    }
    let _ = answer.evidence.as_ref().map(|evidence| Evidence::decode(evidence));
});
