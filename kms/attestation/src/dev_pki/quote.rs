// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Quotes as a quoting enclave signs them.

use dcap_qvl::{
    INTEL_QE_VENDOR_ID,
    quote::{
        AuthData, AuthDataV4, CertificationData, Data, EnclaveReport, Header, QEReportCertificationData,
        Quote, Report, TDReport10, TDReport15, TDReport15Ex,
    },
};
use parity_scale_codec::Encode;
use sha2::{Digest, Sha256};

use super::{
    Defect, DevGuest, DevPki, QuoteVersion,
    certs::{CPU_SVN, Leaf},
    keys::DevKey,
};

/// A signer of TDX modules who is not Intel.
pub(super) const OTHER_SEAM_SIGNER: [u8; 48] = [0x5e; 48];
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
    pub(super) fn quote(&self, guest: &DevGuest, report_data: [u8; 64], now: u64) -> Vec<u8> {
        let mut auth = self.auth_data(&self.pck(guest, now), guest);
        let mut quote = Quote {
            header: header(guest),
            report: report(guest, report_data),
            auth_data: AuthData::V4(auth.clone()),
        };
        let signed = quote.signed_length();
        let bytes = quote.encode();
        let key = self.quoting_key(guest);
        auth.ecdsa_signature = key.sign_raw(bytes.get(..signed).unwrap_or_default());
        quote.auth_data = AuthData::V4(auth);
        quote.encode()
    }

    fn quoting_key(&self, guest: &DevGuest) -> DevKey {
        match guest.defect {
            Some(Defect::OtherAttestationKey) => DevKey::derive(&self.seed, "another attestation key"),
            _ => self.attestation_key.clone(),
        }
    }

    fn auth_data(&self, pck: &Leaf, guest: &DevGuest) -> AuthDataV4 {
        let signed_report = qe_report(&self.attestation_key.public_point(), guest);
        let mut qe_report = signed_report;
        if guest.defect == Some(Defect::TamperedQeReport) {
            qe_report[0] ^= 1;
        }
        let mut qe_auth_data = QE_AUTH_DATA.to_vec();
        if guest.defect == Some(Defect::ShortQeAuthData) {
            qe_auth_data.pop();
        }
        let chain = format!("{}{}{}", pck.pem, self.platform.pem, self.root.pem);
        AuthDataV4 {
            ecdsa_signature: [0; 64],
            ecdsa_attestation_key: self.quoting_key(guest).public_point(),
            // The body is filled in by the encoding from `qe_report_data`.
            certification_data: CertificationData { cert_type: QE_REPORT, body: Data::new(Vec::new()) },
            qe_report_data: QEReportCertificationData {
                qe_report,
                qe_report_signature: pck.key.sign_raw(&signed_report),
                qe_auth_data: Data::new(qe_auth_data),
                certification_data: CertificationData {
                    cert_type: PCK_CHAIN,
                    body: Data::new(chain.into_bytes()),
                },
            },
        }
    }
}

fn header(guest: &DevGuest) -> Header {
    let vendor = if guest.defect == Some(Defect::OtherQeVendor) { [0; 16] } else { INTEL_QE_VENDOR_ID };
    Header {
        version: guest.quote_version.number(),
        attestation_key_type: ECDSA_P256,
        tee_type: TEE_TYPE_TDX,
        qe_svn: 0,
        pce_svn: 0,
        qe_vendor_id: vendor,
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
    attributes[0] = if guest.defect == Some(Defect::DebugQuotingEnclave) { 0x13 } else { 0x11 };
    let report = EnclaveReport {
        cpu_svn: CPU_SVN,
        misc_select: 0,
        reserved1: [0; 28],
        attributes,
        mr_enclave: [0xe0; 32],
        reserved2: [0; 32],
        mr_signer: if guest.defect == Some(Defect::ForeignQuotingEnclave) { [0; 32] } else { QE_MR_SIGNER },
        reserved3: [0; 96],
        isv_prod_id: if guest.defect == Some(Defect::OtherQeProduct) { QE_PRODUCT + 1 } else { QE_PRODUCT },
        isv_svn: QE_SVN,
        reserved4: [0; 60],
        report_data,
    };
    report.encode().try_into().unwrap_or([0; 384])
}

fn report(guest: &DevGuest, report_data: [u8; 64]) -> Report {
    let base = td_report(guest, report_data);
    match guest.quote_version {
        QuoteVersion::V4 | QuoteVersion::V5Td10 => Report::TD10(base),
        QuoteVersion::V5 => Report::TD15(td15(guest, base)),
        QuoteVersion::V5Ex => Report::TD15Ex(td15_ex(guest, base)),
    }
}

fn td15(guest: &DevGuest, base: TDReport10) -> TDReport15 {
    let bound = guest.defect == Some(Defect::ServiceTd);
    TDReport15 { base, tee_tcb_svn2: base.tee_tcb_svn, mr_service_td: if bound { [7; 48] } else { [0; 48] } }
}

fn td15_ex(guest: &DevGuest, base: TDReport10) -> TDReport15Ex {
    let bound_later = guest.defect == Some(Defect::ServiceTdLater);
    TDReport15Ex {
        base: td15(guest, base),
        vmid: 0,
        td_id: [8; 32],
        dev_info: [0; 48],
        init_service_td_hash: [0; 48],
        init_service_td_attributes: [0; 8],
        init_cpu_svn: [0; 16],
        init_tee_tcb_svn: [0; 16],
        init_tee_fmspc: [0; 12],
        cur_service_td_hash: if bound_later { [7; 48] } else { [0; 48] },
        cur_service_td_attributes: [0; 8],
    }
}

pub(super) fn td_report(guest: &DevGuest, report_data: [u8; 64]) -> TDReport10 {
    let mut tee_tcb_svn = [5; 16];
    // Module version: 1 for the identity TDX_01.
    tee_tcb_svn[1] = if guest.defect == Some(Defect::UnlistedModule) { 9 } else { 1 };
    let mr_signer_seam = match guest.defect {
        Some(Defect::SeamSigner | Defect::ListedSeamSigner) => OTHER_SEAM_SIGNER,
        _ => [0; 48],
    };
    let registers = guest.booted();
    TDReport10 {
        tee_tcb_svn,
        mr_seam: [0; 48],
        mr_signer_seam,
        seam_attributes: [u8::from(guest.defect == Some(Defect::SeamAttributes)), 0, 0, 0, 0, 0, 0, 0],
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
