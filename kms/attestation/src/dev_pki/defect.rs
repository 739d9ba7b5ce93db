// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways in which evidence can be wrong.

use crate::evidence::TdxEvidence;

/// Makes [`Defect`] and the list of all of them in one, so that a new defect cannot be left out of the list.
macro_rules! defects {
    ($($(#[$doc:meta])* $name:ident $(($of:ty) in $samples:expr)?,)*) => {
        /// One defect of a guest's evidence. Everything else about the evidence stays right, signatures included, so that
        /// exactly the check in question refuses it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Defect {
            $($(#[$doc])* $name $(($of))?,)*
        }

        impl Defect {
            /// Every defect; of those with a parameter, every one worth trying.
            pub fn all() -> Vec<Self> {
                let mut all = Vec::new();
                $(defects!(@add all $name $(in $samples)?);)*
                all
            }
        }
    };
    (@add $all:ident $name:ident) => { $all.push(Defect::$name) };
    (@add $all:ident $name:ident in $samples:expr) => { $all.extend($samples.map(Defect::$name)) };
}

defects! {
    /// One bit of a measurement in the signed quote was flipped.
    TamperedQuote,
    /// The quote is cut off.
    TruncatedQuote,
    /// The quote says that it is of another version.
    QuoteVersion(u16) in [3, 5, 6],
    /// The quote says that it is an SGX enclave's.
    SgxQuote,
    /// The quote is of a quoting enclave that is not Intel's.
    OtherQeVendor,
    /// The attestation key is said to be of another kind.
    OtherKeyType,
    /// All of it was minted under another root with the same names.
    OtherRoot,
    /// This bit of the TUD byte (0-7) is set: the TD is under debug.
    TudBit(u8) in [0, 1, 2, 3, 4, 5, 6, 7],
    /// The TD can be migrated.
    Migratable,
    /// EPT violations reach the guest as exceptions.
    SeptVeEnabled,
    /// A service TD is bound (a TDX 1.5 report).
    ServiceTd,
    /// A service TD was bound after launch (an extended TDX 1.5 report).
    ServiceTdLater,
    /// The attribute that announces service TDs is set.
    ServiceTdAttribute,
    /// A reserved attribute is set.
    ReservedAttribute,
    /// Somebody else signed the TDX module.
    SeamSigner,
    /// Likewise, and the TCB info lists that signer.
    ListedSeamSigner,
    /// The TCB info lists another signer of the TDX module than the platform has.
    OtherListedSeamSigner,
    /// The TDX module runs with attributes.
    SeamAttributes,
    /// The TCB info knows no TDX module of this version.
    UnlistedModule,
    /// The TDX module is older than every level of its identity.
    OldModule,
    /// The TDX module's level is revoked.
    RevokedModule,
    /// The quoting enclave's report was changed after it was signed.
    TamperedQeReport,
    /// The quote is signed by a key that the quoting enclave's report does not name.
    OtherAttestationKey,
    /// The quoting enclave's authentication data is a byte short.
    ShortQeAuthData,
    /// The quoting enclave is older than allowed.
    OldQuotingEnclave,
    /// The quoting enclave's level is revoked.
    RevokedQuotingEnclave,
    /// The quoting enclave is somebody else's.
    ForeignQuotingEnclave,
    /// The quoting enclave is another product of its signer.
    OtherQeProduct,
    /// The quoting enclave runs in debug mode.
    DebugQuotingEnclave,
    /// The platform's PCK certificate is revoked.
    RevokedPck,
    /// The platform's PCK certificate ran out.
    ExpiredPck,
    /// The platform's PCK certificate is of the day after tomorrow.
    FuturePck,
    /// A platform CA of the same name, not under the root, issued the PCK certificate.
    OtherPlatformCa,
    /// The PCK certificate carries an empty provisioning id.
    NoPpid,
    /// The platform CA is revoked.
    RevokedPlatformCa,
    /// The signer of the TCB info is revoked.
    RevokedTcbSigner,
    /// The root has revoked itself.
    RevokedRoot,
    /// The certificate of the TCB info's signer ran out.
    ExpiredTcbSigner,
    /// The platform CA, and not the root, issued the certificate of the TCB info's signer.
    IndirectTcbSigner,
    /// The collateral ran out a month ago.
    ExpiredCollateral,
    /// The collateral is of the day after tomorrow.
    FutureCollateral,
    /// Only the TCB info ran out.
    ExpiredTcbInfo,
    /// Only the QE identity ran out.
    ExpiredQeIdentity,
    /// Only the root's CRL ran out.
    ExpiredRootCrl,
    /// Only the platform CA's CRL ran out.
    ExpiredPckCrl,
    /// The root's CRL is another root's of the same name.
    ForgedRootCrl,
    /// The platform CA's CRL is another CA's of the same name.
    ForgedPckCrl,
    /// The TCB info is another platform family's.
    OtherPlatformsCollateral,
    /// The TCB info is SGX's.
    SgxTcbInfo,
    /// The QE identity is SGX's.
    SgxQeIdentity,
    /// The TCB info was changed after it was signed.
    TamperedTcbInfo,
    /// The QE identity was changed after it was signed.
    TamperedQeIdentity,
    /// The signature of the TCB info is half of one.
    ShortTcbSignature,
    /// The platform reaches none of the TCB levels.
    TcbBelowEveryLevel,
    /// The platform's TCB level is revoked.
    TcbRevoked,
    /// The quote was made for other report data.
    OtherReportData,
    /// MR_CONFIG_ID names another compose hash.
    OtherConfigId,
    /// MR_CONFIG_ID, in its second form, was made for another app.
    OtherConfigIdApp,
    /// The log shows another compose hash than was extended.
    ForgedLog,
    /// The log leaves an event out.
    ShortenedLog,
    /// The log shows another boot event than was extended.
    ForgedBootLog,
    /// A second compose hash was extended before `system-ready`.
    DuplicateEvent,
    /// Boot events were extended in another order.
    EventOrder,
    /// `system-ready` was never extended.
    NoSystemReady,
    /// A compose hash of 31 bytes was extended.
    ShortComposeHash,
    /// An event with a colon in its name was extended.
    AmbiguousName,
    /// The log has an event of another register.
    ForeignEvent,
    /// Another OS booted and extended this image's hash.
    OtherOsBooted,
    /// The manifest is another image's.
    OtherManifest,
    /// There is no manifest, and nobody knows the registers.
    NoManifest,
    /// There is a manifest, but the OS extended no image hash.
    NoImageHash,
}

/// Offset of MRTD in a version 4 quote: header, then 16 + 48 + 48 + 8 + 8 + 8 bytes of TD report.
const MRTD_OFFSET: usize = 48 + 136;

impl Defect {
    /// Applies what happens after the quote was made.
    pub(super) fn tamper(self, evidence: &mut TdxEvidence) {
        let collateral = &mut evidence.collateral;
        match self {
            Self::TamperedQuote => flip(evidence.quote.get_mut(MRTD_OFFSET + 8)),
            Self::TruncatedQuote => evidence.quote.truncate(evidence.quote.len() / 2),
            Self::QuoteVersion(version) => put(&mut evidence.quote, 0, &version.to_le_bytes()),
            Self::OtherKeyType => put(&mut evidence.quote, 2, &[3]),
            Self::SgxQuote => put(&mut evidence.quote, 4, &[0]),
            Self::TamperedTcbInfo => {
                collateral.tcb_info = collateral.tcb_info.replace("UpToDate", "OutOfDate")
            }
            Self::TamperedQeIdentity => {
                collateral.qe_identity = collateral.qe_identity.replace("UpToDate", "OutOfDate");
            }
            Self::ShortTcbSignature => collateral.tcb_info_signature.truncate(31),
            Self::ForgedLog => flip(payload_of(evidence, "compose-hash")),
            Self::ShortenedLog => evidence.event_log.retain(|event| event.name != "storage-fs"),
            Self::ForeignEvent => {
                if let Some(event) = evidence.event_log.first_mut() {
                    event.register = 0;
                }
            }
            Self::OtherManifest => evidence.image.push(b' '),
            Self::NoManifest => evidence.image.clear(),
            _ => {}
        }
    }
}

fn put(quote: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in quote.iter_mut().skip(at).zip(bytes) {
        *to = *from;
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
