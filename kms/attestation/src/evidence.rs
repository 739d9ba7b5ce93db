// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a TEE sends to be believed, and its encoding.

pub(crate) mod codec;

use std::fmt;

use dcap_qvl::QuoteCollateralV3;

use crate::{
    error::{EvidenceError, Part},
    event_log::Event,
    kind::Kind,
    nitro::NitroEvidence,
    snp::SnpEvidence,
    verified::{Tee, Verified},
    verifier::Trust,
};

pub(crate) use codec::Reader;

/// Longest encoded evidence.
pub const MAX_EVIDENCE: usize = 256 * 1024;

/// Caps of the parts; [`MAX_EVIDENCE`] bounds their sum.
pub(crate) mod cap {
    pub(crate) const QUOTE: usize = 16 * 1024;
    pub(crate) const EVENTS: usize = 256;
    pub(crate) const EVENT_NAME: usize = 128;
    pub(crate) const EVENT_PAYLOAD: usize = 4 * 1024;
    pub(crate) const IMAGE: usize = 64 * 1024;
    pub(crate) const CONFIG: usize = 16 * 1024;
    pub(crate) const CHAIN: usize = 16 * 1024;
    pub(crate) const CRL: usize = 64 * 1024;
    pub(crate) const TCB_INFO: usize = 64 * 1024;
    pub(crate) const QE_IDENTITY: usize = 16 * 1024;
    pub(crate) const SIGNATURE: usize = 64;
}

/// Evidence of one TEE kind. There is no mock variant: development differs in its trust anchors alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// Intel TDX.
    Tdx(Box<TdxEvidence>),
    /// AMD SEV-SNP.
    Snp(Box<SnpEvidence>),
    /// AWS Nitro Enclaves.
    Nitro(Box<NitroEvidence>),
}

/// The one place that goes from a value's variant to its kind.
macro_rules! of_its_kind {
    ($evidence:expr, $kind:ident => $body:expr) => {
        match $evidence {
            Evidence::Tdx($kind) => $body,
            Evidence::Snp($kind) => $body,
            Evidence::Nitro($kind) => $body,
        }
    };
}

/// A TDX quote with all that its verification needs: verifiers fetch nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct TdxEvidence {
    /// The quote, version 4 or 5.
    pub quote: Vec<u8>,
    /// All that was extended into RTMR3, in order.
    pub event_log: Vec<Event>,
    /// The manifest whose SHA-256 is the OS image hash: [`crate::OsImage`].
    pub image: Vec<u8>,
    /// Intel's statements about the platform.
    pub collateral: Collateral,
}

/// Collateral as a PCCS serves it: signed by Intel, so whoever fetched it need not be trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Collateral {
    /// PEM chain of the PCK CRL's issuer.
    pub pck_crl_issuer_chain: String,
    /// The root CA's CRL, DER.
    pub root_ca_crl: Vec<u8>,
    /// The PCK CA's CRL, DER.
    pub pck_crl: Vec<u8>,
    /// PEM chain of the TCB info's signer.
    pub tcb_info_issuer_chain: String,
    /// TCB info, the signed JSON text.
    pub tcb_info: String,
    /// Its signature, r ‖ s.
    pub tcb_info_signature: Vec<u8>,
    /// PEM chain of the QE identity's signer.
    pub qe_identity_issuer_chain: String,
    /// QE identity, the signed JSON text.
    pub qe_identity: String,
    /// Its signature, r ‖ s.
    pub qe_identity_signature: Vec<u8>,
    /// PEM chain of the PCK certificate, for quotes that do not carry it; empty otherwise.
    pub pck_certificate_chain: String,
}

impl Evidence {
    /// The kind of TEE.
    pub fn tee(&self) -> Tee {
        fn tee<K: Kind>(_: &K) -> Tee {
            K::TEE
        }
        of_its_kind!(self, kind => tee(&**kind))
    }

    /// The versioned encoding. One value has one encoding.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads the encoding.
    ///
    /// # Errors
    /// [`EvidenceError::TooLarge`] before anything of an oversized part is parsed or allocated; otherwise the first thing
    /// that is not as [`Evidence::encode`] writes it.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        codec::decode(bytes)
    }

    /// The encoding of the kind's own fields.
    fn put(&self, out: &mut Vec<u8>) {
        of_its_kind!(self, kind => kind.put(out));
    }

    fn take(tee: Tee, input: &mut Reader<'_>) -> Result<Self, EvidenceError> {
        match tee {
            Tee::Tdx => Ok(Self::Tdx(Box::new(Kind::take(input)?))),
            Tee::Snp => Ok(Self::Snp(Box::new(Kind::take(input)?))),
            Tee::Nitro => Ok(Self::Nitro(Box::new(Kind::take(input)?))),
        }
    }

    /// Evidence that was built and not decoded passes the same caps.
    pub(crate) fn verify(
        &self,
        trust: &Trust<'_>,
        now_unix: u64,
        expected_report_data: &[u8; 64],
    ) -> Result<Verified, EvidenceError> {
        of_its_kind!(self, kind => {
            kind.check_caps()?;
            kind.verify(trust, now_unix, expected_report_data)
        })
    }
}

impl TdxEvidence {
    pub(crate) fn caps(&self) -> Result<(), EvidenceError> {
        within(Part::Quote, self.quote.len(), cap::QUOTE)?;
        within(Part::EventLog, self.event_log.len(), cap::EVENTS)?;
        for event in &self.event_log {
            within(Part::EventName, event.name.len(), cap::EVENT_NAME)?;
            within(Part::EventPayload, event.payload.len(), cap::EVENT_PAYLOAD)?;
        }
        within(Part::Image, self.image.len(), cap::IMAGE)?;
        self.collateral.check_caps()
    }
}

impl Collateral {
    pub(crate) fn check_caps(&self) -> Result<(), EvidenceError> {
        let chains = [
            &self.pck_crl_issuer_chain,
            &self.tcb_info_issuer_chain,
            &self.qe_identity_issuer_chain,
            &self.pck_certificate_chain,
        ];
        for chain in chains {
            within(Part::CertificateChain, chain.len(), cap::CHAIN)?;
        }
        within(Part::Crl, self.root_ca_crl.len(), cap::CRL)?;
        within(Part::Crl, self.pck_crl.len(), cap::CRL)?;
        within(Part::TcbInfo, self.tcb_info.len(), cap::TCB_INFO)?;
        within(Part::QeIdentity, self.qe_identity.len(), cap::QE_IDENTITY)?;
        within(Part::Signature, self.tcb_info_signature.len(), cap::SIGNATURE)?;
        within(Part::Signature, self.qe_identity_signature.len(), cap::SIGNATURE)
    }
}

impl From<&Collateral> for QuoteCollateralV3 {
    fn from(of: &Collateral) -> Self {
        let of = of.clone();
        Self {
            pck_crl_issuer_chain: of.pck_crl_issuer_chain,
            root_ca_crl: of.root_ca_crl,
            pck_crl: of.pck_crl,
            tcb_info_issuer_chain: of.tcb_info_issuer_chain,
            tcb_info: of.tcb_info,
            tcb_info_signature: of.tcb_info_signature,
            qe_identity_issuer_chain: of.qe_identity_issuer_chain,
            qe_identity: of.qe_identity,
            qe_identity_signature: of.qe_identity_signature,
            pck_certificate_chain: Some(of.pck_certificate_chain).filter(|chain| !chain.is_empty()),
        }
    }
}

impl From<QuoteCollateralV3> for Collateral {
    fn from(of: QuoteCollateralV3) -> Self {
        Self {
            pck_crl_issuer_chain: of.pck_crl_issuer_chain,
            root_ca_crl: of.root_ca_crl,
            pck_crl: of.pck_crl,
            tcb_info_issuer_chain: of.tcb_info_issuer_chain,
            tcb_info: of.tcb_info,
            tcb_info_signature: of.tcb_info_signature,
            qe_identity_issuer_chain: of.qe_identity_issuer_chain,
            qe_identity: of.qe_identity,
            qe_identity_signature: of.qe_identity_signature,
            pck_certificate_chain: of.pck_certificate_chain.unwrap_or_default(),
        }
    }
}

// Quotes and collateral are kilobytes of bytes that say nothing to a reader of a log.
impl fmt::Debug for TdxEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TdxEvidence")
            .field("quote_len", &self.quote.len())
            .field("event_log", &self.event_log)
            .field("image_len", &self.image.len())
            .field("collateral", &self.collateral)
            .finish()
    }
}

impl fmt::Debug for Collateral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collateral")
            .field("tcb_info_len", &self.tcb_info.len())
            .field("qe_identity_len", &self.qe_identity.len())
            .finish_non_exhaustive()
    }
}

pub(crate) fn within(part: Part, got: usize, max: usize) -> Result<(), EvidenceError> {
    if got > max { Err(EvidenceError::TooLarge { part, got, max }) } else { Ok(()) }
}
