// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a Nitro document was refused.

/// Why the document itself was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NitroError {
    /// Not a COSE_Sign1 structure with an attestation document in it.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// A field that is missing, of another kind, too long, given twice or not known.
    #[error("its field {field:?} is not as AWS makes it: {what}")]
    Field {
        /// Name of the field.
        field: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Not ES384, or headers that say more.
    #[error("it is not signed with ES384 and nothing else")]
    Algorithm,
    /// The certificates lead to another root.
    #[error("its certificates do not lead to the trusted root: {0}")]
    Untrusted(String),
    /// A certificate is expired or not yet valid.
    #[error("a certificate of it is not valid at this time: {0}")]
    Expired(String),
    /// The document's signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// The enclave runs in debug mode: the host reads its console, and nothing was measured.
    #[error("the enclave is in debug mode: PCR0 to PCR2 are zero")]
    Debug,
    /// A register that has to be there and locked.
    #[error("PCR{0} is not locked")]
    NotLocked(u8),
    /// The module's name names no instance.
    #[error("its module id names no EC2 instance")]
    NoDevice,
}
