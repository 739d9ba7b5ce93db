// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways in which Nitro evidence can be wrong.

use crate::nitro::NitroEvidence;

super::super::defects! {
    /// One defect of an enclave's evidence. Everything else about the evidence stays right, signatures included, so that
    /// exactly the check in question refuses it.
    NitroDefect {
        /// One bit of a register in the signed document was flipped.
        TamperedDocument,
        /// The signature is another one.
        TamperedSignature,
        /// The document is cut off.
        TruncatedDocument,
        /// Bytes follow the document.
        TrailingDocument,
        /// Bytes follow the payload inside the signature.
        TrailingPayload,
        /// The document has a CBOR tag.
        Tagged,
        /// The header names another algorithm.
        OtherAlgorithm,
        /// The header says more than the algorithm.
        ExtraHeader,
        /// All of it was minted under another root with the same names.
        OtherRoot,
        /// A certificate between root and leaf is missing.
        MissingIntermediate,
        /// The signing certificate ran out an hour ago.
        ExpiredLeaf,
        /// The signing certificate starts in an hour.
        FutureLeaf,
        /// The registers are of another hash.
        OtherDigest,
        /// A field that nobody knows.
        UnknownField,
        /// A field twice.
        DoubleField,
        /// No module id.
        MissingField,
        /// A nonce of 1025 bytes.
        LongNonce,
        /// A register twice.
        DoubleRegister,
        /// A register with an index that no module has.
        RegisterOutOfRange,
        /// A register of 32 bytes.
        ShortRegister,
        /// The enclave runs in debug mode.
        Debug,
        /// PCR1 is not locked.
        UnlockedImage,
        /// PCR16 is not locked.
        UnlockedConfig,
        /// The module's name names no instance.
        NoInstance,
        /// The document was made without user data.
        NoUserData,
        /// The document was made for other report data.
        OtherReportData,
        /// The user data is the report data and a byte more.
        LongerUserData,
        /// The configuration is not the one in PCR16.
        OtherConfig,
        /// The configuration is no JSON.
        ConfigNoJson,
        /// Another OS was started.
        OtherOsStarted,
        /// The manifest is none.
        ManifestNoJson,
    }
}

impl NitroDefect {
    /// Applies what happens after the evidence was made.
    pub(super) fn tamper(self, evidence: &mut NitroEvidence) {
        let document = &mut evidence.document;
        match self {
            // The first register of a map of 48-byte strings: 0x58 0x30.
            Self::TamperedDocument => {
                let at = document.windows(2).position(|window| window == [0x58, 0x30]).unwrap_or_default();
                flip(document.get_mut(at + 2));
            }
            Self::TamperedSignature => flip(document.last_mut()),
            Self::TruncatedDocument => document.truncate(document.len() / 2),
            Self::TrailingDocument => document.push(0),
            Self::OtherConfig => evidence.config.push(b' '),
            Self::ManifestNoJson => evidence.image = b"dev-os".to_vec(),
            _ => {}
        }
    }
}

fn flip(byte: Option<&mut u8>) {
    if let Some(byte) = byte {
        *byte ^= 1;
    }
}
