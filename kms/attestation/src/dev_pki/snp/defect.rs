// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways in which SEV-SNP evidence can be wrong.

use crate::snp::SnpEvidence;

super::super::defects! {
    /// One defect of a guest's evidence. Everything else about the evidence stays right, signatures included, so that
    /// exactly the check in question refuses it.
    SnpDefect {
        /// One bit of a measurement in the signed report was flipped.
        TamperedReport,
        /// The signature is another one.
        TamperedSignature,
        /// The report is cut off.
        TruncatedReport,
        /// The report is of version 1.
        OldReportVersion,
        /// The report is of version 6.
        FutureReportVersion,
        /// A reserved byte of the report is set.
        ReservedByte,
        /// The policy lets the host debug the guest.
        Debug,
        /// The policy lets a migration agent be bound.
        MigrationAgentAllowed,
        /// A migration agent is bound.
        MigrationAgentBound,
        /// The policy has a bit without a meaning.
        ReservedPolicy,
        /// The report was asked for at VMPL 2.
        LessPrivileged,
        /// The signature algorithm is not the one there is.
        SignatureAlgorithm,
        /// The platform leaves reports unsigned.
        Unsigned,
        /// The report says that none of the known keys signed it.
        UnknownSigningKey,
        /// The report says that a VLEK signed it; a VCEK did.
        OtherKeyKind,
        /// The chip id is zero.
        MaskedChip,
        /// The report is of a Genoa, the chain is Milan's.
        OtherProcessor,
        /// The report claims a newer boot loader.
        ClaimedBootLoader,
        /// The report claims a newer TEE.
        ClaimedTee,
        /// The report claims newer SNP firmware.
        ClaimedFirmware,
        /// The report claims newer microcode.
        ClaimedMicrocode,
        /// The report claims a newer FMC (Turin).
        ClaimedFmc,
        /// The report names another chip than the VCEK.
        OtherChip,
        /// All of it was minted under other roots with the same names.
        OtherRoot,
        /// The authority was signed by another root with the right name.
        AuthorityOfAnotherRoot,
        /// The authority names an issuer that is no root.
        AuthorityOfNobody,
        /// A VCEK was signed by the ASVK, or a VLEK by the ASK.
        AuthorityOfTheOtherKind,
        /// The authority may not sign certificates.
        AuthorityNoCa,
        /// The authority ran out a month ago.
        ExpiredAuthority,
        /// The key's subject is something else.
        OtherKeyName,
        /// The key names another issuer.
        OtherKeyIssuer,
        /// The key may sign certificates.
        KeyIsCa,
        /// A VCEK without chip id, or a VLEK with one.
        ChipExtension,
        /// The key does not say which boot loader it is for.
        NoBootLoaderExtension,
        /// A key with the FMC extension that is not Turin's, or the other way round.
        FmcExtension,
        /// The key has the microcode extension twice.
        DoubleExtension,
        /// The key ran out a month ago.
        ExpiredKey,
        /// The key is of the day after tomorrow.
        FutureKey,
        /// The key was changed after it was signed.
        TamperedKey,
        /// Bytes follow the key's certificate.
        TrailingKey,
        /// The CRL ran out a month ago.
        ExpiredCrl,
        /// The CRL is of the day after tomorrow.
        FutureCrl,
        /// The CRL does not say until when it holds.
        EndlessCrl,
        /// The CRL was signed by another root with the right name.
        CrlOfAnotherRoot,
        /// The CRL names another issuer.
        CrlOfAnotherName,
        /// The CRL is signed with SHA-256.
        CrlOfAnotherHash,
        /// The CRL has a critical extension.
        CriticalCrlExtension,
        /// The CRL is cut off.
        TruncatedCrl,
        /// There is no CRL.
        NoCrl,
        /// The root is on its own CRL.
        RevokedRoot,
        /// The authority is on the CRL.
        RevokedAuthority,
        /// The report was made for other report data.
        OtherReportData,
        /// The configuration is not the one of the launch.
        OtherConfig,
        /// The configuration is no JSON.
        ConfigNoJson,
        /// The configuration names no app.
        ConfigWithoutApp,
        /// The configuration names no instance.
        ConfigWithoutInstance,
        /// Another OS was launched.
        OtherOsLaunched,
        /// The manifest is none.
        ManifestNoJson,
    }
}

/// Offset of MEASUREMENT.
const MEASUREMENT: usize = 0x90;
/// Offset of the signature.
const SIGNATURE: usize = 0x2a0;

impl SnpDefect {
    /// Applies what happens after the evidence was made.
    pub(super) fn tamper(self, evidence: &mut SnpEvidence) {
        let endorsement = &mut evidence.endorsement;
        match self {
            Self::TamperedReport => flip(evidence.report.get_mut(MEASUREMENT)),
            Self::TamperedSignature => flip(evidence.report.get_mut(SIGNATURE)),
            Self::TruncatedReport => evidence.report.truncate(1183),
            Self::TamperedKey => tamper_subject(&mut endorsement.key),
            Self::TrailingKey => endorsement.key.push(0),
            Self::TruncatedCrl => endorsement.crl.truncate(endorsement.crl.len() / 2),
            Self::NoCrl => endorsement.crl.clear(),
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

/// Changes the organisation in the subject, which nothing but the signature looks at.
fn tamper_subject(der: &mut [u8]) {
    let name = b"DEVELOPMENT ONLY";
    if let Some(at) = der.windows(name.len()).rposition(|window| window == name) {
        flip(der.get_mut(at));
    }
}
