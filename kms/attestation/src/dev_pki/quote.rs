// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Quotes as a quoting enclave signs them.

use dcap_qvl::{
    INTEL_QE_VENDOR_ID,
    quote::{
        AuthData, AuthDataV4, CertificationData, Data, EnclaveReport, Header, QEReportCertificationData,
        Quote, Report, TDReport10, TDReport15,
    },
};
use parity_scale_codec::Encode;
use sha2::{Digest, Sha256};

use super::{Defect, DevGuest, DevPki, QuoteVersion, certs::CPU_SVN, certs::Leaf};

/// Signer of the development quoting enclave.
pub(super) const QE_MR_SIGNER: [u8; 32] = [0xd0; 32];
/// Its product id.
pub(super) const QE_PRODUCT: u16 = 2;

const QE_SVN: u16 = 6;
const QE_AUTH_DATA: [u8; 32] = [0x20; 32];
const ECDSA_P256: u16 = 2;
const TEE_TYPE_TDX: u32 = 0x81;
const PCK_CHAIN: u16 = 5;
const QE_REPORT: u16 = 6;
const SEPT_VE_DISABLE: u64 = 1 << 28;

impl DevPki {
    pub(super) fn quote(&self, guest: &DevGuest, report_data: [u8; 64]) -> Vec<u8> {
        let mut auth = self.auth_data(&self.pck(guest), guest);
        let mut quote = Quote {
            header: header(guest.quote_version),
            report: report(guest, report_data),
            auth_data: AuthData::V4(auth.clone()),
        };
        let signed = quote.signed_length();
        let bytes = quote.encode();
        auth.ecdsa_signature = self.attestation_key.sign_raw(bytes.get(..signed).unwrap_or_default());
        quote.auth_data = AuthData::V4(auth);
        quote.encode()
    }

    fn auth_data(&self, pck: &Leaf, guest: &DevGuest) -> AuthDataV4 {
        let attestation_key = self.attestation_key.public_point();
        let qe_report = qe_report(&attestation_key, guest);
        let chain = format!("{}{}{}", pck.pem, self.platform.pem, self.root.pem);
        AuthDataV4 {
            ecdsa_signature: [0; 64],
            ecdsa_attestation_key: attestation_key,
            // The body is filled in by the encoding from `qe_report_data`.
            certification_data: CertificationData { cert_type: QE_REPORT, body: Data::new(Vec::new()) },
            qe_report_data: QEReportCertificationData {
                qe_report,
                qe_report_signature: pck.key.sign_raw(&qe_report),
                qe_auth_data: Data::new(QE_AUTH_DATA.to_vec()),
                certification_data: CertificationData {
                    cert_type: PCK_CHAIN,
                    body: Data::new(chain.into_bytes()),
                },
            },
        }
    }
}

fn header(version: QuoteVersion) -> Header {
    Header {
        version: version.number(),
        attestation_key_type: ECDSA_P256,
        tee_type: TEE_TYPE_TDX,
        qe_svn: 0,
        pce_svn: 0,
        qe_vendor_id: INTEL_QE_VENDOR_ID,
        user_data: [0; 20],
    }
}

fn qe_report(attestation_key: &[u8; 64], guest: &DevGuest) -> [u8; 384] {
    let mut report_data = [0; 64];
    let binding = Sha256::new().chain_update(attestation_key).chain_update(QE_AUTH_DATA).finalize();
    for (to, from) in report_data.iter_mut().zip(binding) {
        *to = from;
    }
    let mut attributes = [0; 16];
    attributes[0] = 0x11;
    let report = EnclaveReport {
        cpu_svn: CPU_SVN,
        misc_select: 0,
        reserved1: [0; 28],
        attributes,
        mr_enclave: [0xe0; 32],
        reserved2: [0; 32],
        mr_signer: if guest.defect == Some(Defect::ForeignQuotingEnclave) { [0; 32] } else { QE_MR_SIGNER },
        reserved3: [0; 96],
        isv_prod_id: QE_PRODUCT,
        isv_svn: QE_SVN,
        reserved4: [0; 60],
        report_data,
    };
    report.encode().try_into().unwrap_or([0; 384])
}

fn report(guest: &DevGuest, report_data: [u8; 64]) -> Report {
    let base = td_report(guest, report_data);
    match guest.quote_version {
        QuoteVersion::V4 => Report::TD10(base),
        QuoteVersion::V5 => Report::TD15(TDReport15 {
            base,
            tee_tcb_svn2: base.tee_tcb_svn,
            mr_service_td: if guest.defect == Some(Defect::ServiceTd) { [7; 48] } else { [0; 48] },
        }),
    }
}

pub(super) fn td_report(guest: &DevGuest, report_data: [u8; 64]) -> TDReport10 {
    let mut tee_tcb_svn = [5; 16];
    tee_tcb_svn[1] = 1; // module version, for the identity TDX_01
    let registers = guest.booted();
    TDReport10 {
        tee_tcb_svn,
        mr_seam: [0; 48],
        mr_signer_seam: [0; 48],
        seam_attributes: [0; 8],
        td_attributes: attributes(guest.defect).to_le_bytes(),
        xfam: [0xe7, 2, 6, 0, 0, 0, 0, 0],
        mr_td: registers.mrtd.into(),
        mr_config_id: guest.config_id(),
        mr_owner: [0; 48],
        mr_owner_config: [0; 48],
        rt_mr0: registers.rtmr0.into(),
        rt_mr1: registers.rtmr1.into(),
        rt_mr2: registers.rtmr2.into(),
        rt_mr3: guest.rtmr3(),
        report_data: if guest.defect == Some(Defect::OtherReportData) { [0; 64] } else { report_data },
    }
}

fn attributes(defect: Option<Defect>) -> u64 {
    match defect {
        Some(Defect::TudBit(bit)) => SEPT_VE_DISABLE | (1 << (bit % 8)),
        Some(Defect::Migratable) => SEPT_VE_DISABLE | (1 << 29),
        Some(Defect::ServiceTdAttribute) => SEPT_VE_DISABLE | (1 << 17),
        Some(Defect::ReservedAttribute) => SEPT_VE_DISABLE | (1 << 40),
        Some(Defect::SeptVeEnabled) => 0,
        _ => SEPT_VE_DISABLE,
    }
}
