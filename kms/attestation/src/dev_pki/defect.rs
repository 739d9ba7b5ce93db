// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways in which evidence can be wrong.

use crate::evidence::TdxEvidence;

/// One defect of a guest's evidence. Everything else about the evidence stays right, signatures included, so that exactly
/// the check in question refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Defect {
    /// One bit of a measurement in the signed quote was flipped.
    TamperedQuote,
    /// The quote is cut off.
    TruncatedQuote,
    /// The quote says that it is of another version.
    QuoteVersion(u16),
    /// All of it was minted under another root with the same names.
    OtherRoot,
    /// This bit of the TUD byte (0-7) is set: the TD is under debug.
    TudBit(u8),
    /// The TD can be migrated.
    Migratable,
    /// EPT violations reach the guest as exceptions.
    SeptVeEnabled,
    /// A service TD is bound (needs a version 5 quote).
    ServiceTd,
    /// The attribute that announces service TDs is set.
    ServiceTdAttribute,
    /// A reserved attribute is set.
    ReservedAttribute,
    /// The collateral ran out a month ago.
    ExpiredCollateral,
    /// The collateral is of the day after tomorrow.
    FutureCollateral,
    /// The TCB info is another platform family's.
    OtherPlatformsCollateral,
    /// The TCB info was changed after it was signed.
    TamperedTcbInfo,
    /// The platform reaches none of the TCB levels.
    TcbBelowEveryLevel,
    /// The platform's TCB level is revoked.
    TcbRevoked,
    /// The platform's PCK certificate is revoked.
    RevokedPck,
    /// The quoting enclave is older than allowed.
    OldQuotingEnclave,
    /// The quoting enclave is somebody else's.
    ForeignQuotingEnclave,
    /// The quote was made for other report data.
    OtherReportData,
    /// MR_CONFIG_ID names another compose hash.
    OtherConfigId,
    /// The log shows another compose hash than was extended.
    ForgedLog,
    /// The log leaves an event out.
    ShortenedLog,
    /// A second compose hash was extended before `system-ready`.
    DuplicateEvent,
    /// Boot events were extended in another order.
    EventOrder,
    /// `system-ready` was never extended.
    NoSystemReady,
    /// A compose hash of 31 bytes was extended.
    ShortComposeHash,
    /// The log has an event of another register.
    ForeignEvent,
    /// Another OS booted and extended this image's hash.
    OtherOsBooted,
    /// The manifest is another image's.
    OtherManifest,
}

/// Offset of MRTD in a version 4 quote: header, then 16 + 48 + 48 + 8 + 8 + 8 bytes of TD report.
const MRTD_OFFSET: usize = 48 + 136;

impl Defect {
    /// Applies what happens after the quote was made.
    pub(super) fn tamper(self, evidence: &mut TdxEvidence) {
        match self {
            Self::TamperedQuote => flip(evidence.quote.get_mut(MRTD_OFFSET + 8)),
            Self::TruncatedQuote => evidence.quote.truncate(evidence.quote.len() / 2),
            Self::QuoteVersion(version) => {
                for (to, from) in evidence.quote.iter_mut().zip(version.to_le_bytes()) {
                    *to = from;
                }
            }
            Self::TamperedTcbInfo => {
                evidence.collateral.tcb_info = evidence.collateral.tcb_info.replace("UpToDate", "OutOfDate");
            }
            Self::ForgedLog => flip(payload_of(evidence, "compose-hash")),
            Self::ShortenedLog => evidence.event_log.retain(|event| event.name != "storage-fs"),
            Self::ForeignEvent => {
                if let Some(event) = evidence.event_log.first_mut() {
                    event.register = 0;
                }
            }
            Self::OtherManifest => evidence.image.push(b' '),
            _ => {}
        }
    }
}

fn flip(byte: Option<&mut u8>) {
    if let Some(byte) = byte {
        *byte ^= 1;
    }
}

fn payload_of<'a>(evidence: &'a mut TdxEvidence, name: &str) -> Option<&'a mut u8> {
    evidence.event_log.iter_mut().find(|event| event.name == name)?.payload.first_mut()
}
