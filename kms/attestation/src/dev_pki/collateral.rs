// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Collateral in the form of Intel's provisioning service.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    Defect, DevGuest, DevPki, DevTcb,
    certs::{self, FMSPC},
    pck_serial,
    quote::{OTHER_SEAM_SIGNER, QE_MR_SIGNER, QE_PRODUCT},
};
use crate::evidence::Collateral;

pub(super) const DAY: i64 = 86_400;
/// Security version that no development platform reaches.
const OUT_OF_REACH: u8 = 200;
const TDX_SIGNER: [u8; 48] = [0; 48];

/// A time as certificates count it.
pub(super) fn seconds(now: u64) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX).clamp(0, i64::from(u32::MAX))
}

/// When a part of collateral was issued and how long it holds.
struct Dates {
    issued: OffsetDateTime,
    next: OffsetDateTime,
}

impl Dates {
    /// Those of the part that `alone` makes run out.
    fn of(guest: &DevGuest, now: u64, alone: Defect) -> Self {
        let now = seconds(now);
        let issued = match guest.defect {
            Some(Defect::ExpiredCollateral) => now - 60 * DAY,
            Some(Defect::FutureCollateral) => now + 2 * DAY,
            Some(defect) if defect == alone => now - 60 * DAY,
            _ => now - DAY,
        };
        Self { issued: certs::at(issued), next: certs::at(issued + 31 * DAY) }
    }
}

impl DevPki {
    pub(super) fn collateral(&self, guest: &DevGuest, now: u64) -> Collateral {
        let tcb_info = tcb_info(guest, &Dates::of(guest, now, Defect::ExpiredTcbInfo));
        let qe_identity = qe_identity(guest, &Dates::of(guest, now, Defect::ExpiredQeIdentity));
        let signer = self.signer(guest, now);
        let chain = match guest.defect {
            Some(Defect::IndirectTcbSigner) => {
                format!("{}{}{}", signer.pem, self.platform.pem, self.root.pem)
            }
            _ => format!("{}{}", signer.pem, self.root.pem),
        };
        Collateral {
            pck_crl_issuer_chain: format!("{}{}", self.platform.pem, self.root.pem),
            root_ca_crl: self.root_crl(guest, now),
            pck_crl: self.pck_crl(guest, now),
            tcb_info_issuer_chain: chain.clone(),
            tcb_info_signature: signer.key.sign_raw(tcb_info.as_bytes()).to_vec(),
            tcb_info,
            qe_identity_issuer_chain: chain,
            qe_identity_signature: signer.key.sign_raw(qe_identity.as_bytes()).to_vec(),
            qe_identity,
            pck_certificate_chain: String::new(),
        }
    }

    fn root_crl(&self, guest: &DevGuest, now: u64) -> Vec<u8> {
        let dates = Dates::of(guest, now, Defect::ExpiredRootCrl);
        let revoked: &[u64] = match guest.defect {
            Some(Defect::RevokedRoot) => &[certs::ROOT_SERIAL],
            Some(Defect::RevokedPlatformCa) => &[certs::PLATFORM_SERIAL],
            Some(Defect::RevokedTcbSigner) => &[certs::TCB_SIGNER_SERIAL],
            Some(Defect::ForgedRootCrl) => return self.stranger().root.crl(&[], dates.issued, dates.next),
            _ => &[],
        };
        self.root.crl(revoked, dates.issued, dates.next)
    }

    fn pck_crl(&self, guest: &DevGuest, now: u64) -> Vec<u8> {
        let dates = Dates::of(guest, now, Defect::ExpiredPckCrl);
        match guest.defect {
            Some(Defect::RevokedPck) => self.platform.crl(&[pck_serial(guest)], dates.issued, dates.next),
            Some(Defect::ForgedPckCrl) => self.stranger().platform.crl(&[], dates.issued, dates.next),
            _ => self.platform.crl(&[], dates.issued, dates.next),
        }
    }
}

fn tcb_info(guest: &DevGuest, dates: &Dates) -> String {
    let defect = guest.defect;
    let fmspc = if defect == Some(Defect::OtherPlatformsCollateral) { [0; 6] } else { FMSPC };
    let id = if defect == Some(Defect::SgxTcbInfo) { "SGX" } else { "TDX" };
    let mrsigner = match defect {
        Some(Defect::ListedSeamSigner | Defect::OtherListedSeamSigner) => OTHER_SEAM_SIGNER,
        _ => TDX_SIGNER,
    };
    let module = json!({
        "mrsigner": hex::encode_upper(mrsigner), "attributes": "00".repeat(8), "attributesMask": "FF".repeat(8),
    });
    let mut identity = module.clone();
    if let Some(identity) = identity.as_object_mut() {
        identity.insert("id".to_owned(), "TDX_01".into());
        identity.insert("tcbLevels".to_owned(), json!([module_level(guest, dates)]));
    }
    let info = json!({
        "id": id, "version": 3, "issueDate": rfc3339(dates.issued), "nextUpdate": rfc3339(dates.next),
        "fmspc": hex::encode_upper(fmspc), "pceId": "0000", "tcbType": 0, "tcbEvaluationDataNumber": 17,
        "tdxModule": module, "tdxModuleIdentities": [identity], "tcbLevels": [tcb_level(guest, dates)],
    });
    info.to_string()
}

/// The one level that the platform is judged by.
fn tcb_level(guest: &DevGuest, dates: &Dates) -> Value {
    let floor = if guest.defect == Some(Defect::TcbBelowEveryLevel) { OUT_OF_REACH } else { 1 };
    let components = vec![json!({"svn": floor}); 16];
    let tcb = json!({"sgxtcbcomponents": components, "pcesvn": 0, "tdxtcbcomponents": components});
    level(tcb, &guest.tcb, guest.defect == Some(Defect::TcbRevoked), dates)
}

/// The one level that the TDX module is judged by.
fn module_level(guest: &DevGuest, dates: &Dates) -> Value {
    let floor = if guest.defect == Some(Defect::OldModule) { OUT_OF_REACH } else { 4 };
    let tcb = json!({"isvsvn": floor});
    level(tcb, &guest.module_tcb, guest.defect == Some(Defect::RevokedModule), dates)
}

fn level(tcb: Value, rated: &DevTcb, revoked: bool, dates: &Dates) -> Value {
    let status = if revoked { "Revoked" } else { rated.status.as_str() };
    json!({
        "tcb": tcb, "tcbDate": rfc3339(dates.issued), "tcbStatus": status, "advisoryIDs": rated.advisories,
    })
}

fn qe_identity(guest: &DevGuest, dates: &Dates) -> String {
    let defect = guest.defect;
    let floor = if defect == Some(Defect::OldQuotingEnclave) { u16::from(OUT_OF_REACH) } else { 1 };
    let id = if defect == Some(Defect::SgxQeIdentity) { "QE" } else { "TD_QE" };
    let revoked = defect == Some(Defect::RevokedQuotingEnclave);
    let identity = json!({
        "id": id, "version": 2, "issueDate": rfc3339(dates.issued), "nextUpdate": rfc3339(dates.next),
        "tcbEvaluationDataNumber": 17, "miscselect": "00000000", "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000", "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": hex::encode_upper(QE_MR_SIGNER), "isvprodid": QE_PRODUCT,
        "tcbLevels": [level(json!({"isvsvn": floor}), &guest.qe_tcb, revoked, dates)],
    });
    identity.to_string()
}

fn rfc3339(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}
