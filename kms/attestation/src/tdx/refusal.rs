// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names for what the verification library refuses.
//!
//! The library answers with text. Which variant a text becomes decides nothing, since every one is a refusal; it tells an
//! operator whether to fetch new collateral, look for an attacker, or look at the anchors. The library's version is
//! pinned and the tests hold the names.

use std::fmt::Display;

use crate::error::QuoteError;

/// Longest text that is taken over: parts of it may come from whoever made the evidence.
const MAX_TEXT: usize = 200;

/// A cause and its context in one bounded line.
pub(super) fn text(error: &impl Display) -> String {
    format!("{error:#}").chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

type Named = fn(String) -> QuoteError;

/// Fragments of the library's texts, the first match counts.
const NAMES: [(&[&str], Named); 10] = [
    (&["TCB status is invalid: Revoked"], |_| QuoteError::TcbRevoked),
    (&["CertRevoked"], QuoteError::CertificateRevoked),
    (&["expired", "Expired", "NotValidYet", "in the future"], QuoteError::Expired),
    (
        &[
            "UnknownIssuer",
            "root CA CRL",
            "UnknownRevocationStatus",
            "InvalidCrl",
            "InvalidSignature",
            "issued directly by the root",
        ],
        QuoteError::Untrusted,
    ),
    (&["No matching TCB level"], QuoteError::TcbUnlisted),
    (&["TDX module"], QuoteError::TdxModule),
    (
        &["QE MRSIGNER", "QE ISV", "QE MISCSELECT", "QE ATTRIBUTES", "QE report validation", "QE vendor"],
        QuoteError::QuotingEnclave,
    ),
    (&["ignature is invalid", "QE report hash", "QE auth data", "key length"], QuoteError::Signature),
    (&["Fmspc mismatch", "non-TDX TCB info", "QE Identity id"], QuoteError::WrongCollateral),
    (&["Failed to decode", "Failed to parse", "too short", "Unsupported DCAP"], QuoteError::Malformed),
];

pub(super) fn classify(error: &impl Display) -> QuoteError {
    let text = text(error);
    let named = NAMES.iter().find(|(fragments, _)| fragments.iter().any(|f| text.contains(f)));
    named.map_or(QuoteError::Other as Named, |(_, name)| *name)(text)
}
