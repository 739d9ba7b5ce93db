// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Collateral in the form of Intel's provisioning service.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    Defect, DevGuest, DevPki,
    certs::{self, FMSPC},
    pck_serial,
    quote::{QE_MR_SIGNER, QE_PRODUCT},
};
use crate::evidence::Collateral;

const DAY: i64 = 86_400;
/// Security version that no development platform reaches.
const OUT_OF_REACH: u8 = 200;

/// When collateral was issued and how long it holds.
struct Dates {
    issued: OffsetDateTime,
    next: OffsetDateTime,
}

impl Dates {
    fn of(guest: &DevGuest, now: u64) -> Self {
        let now = i64::try_from(now).unwrap_or(i64::MAX).clamp(0, i64::from(u32::MAX));
        let issued = match guest.defect {
            Some(Defect::ExpiredCollateral) => now - 60 * DAY,
            Some(Defect::FutureCollateral) => now + 2 * DAY,
            _ => now - DAY,
        };
        Self { issued: certs::at(issued), next: certs::at(issued + 31 * DAY) }
    }
}

impl DevPki {
    pub(super) fn collateral(&self, guest: &DevGuest, now: u64) -> Collateral {
        let dates = Dates::of(guest, now);
        let (tcb_info, qe_identity) = (tcb_info(guest, &dates), qe_identity(guest, &dates));
        let chain = format!("{}{}", self.tcb_signer.pem, self.root.pem);
        let revoked = match guest.defect {
            Some(Defect::RevokedPck) => vec![pck_serial(guest)],
            _ => Vec::new(),
        };
        Collateral {
            pck_crl_issuer_chain: format!("{}{}", self.platform.pem, self.root.pem),
            root_ca_crl: self.root.crl(&[], dates.issued, dates.next),
            pck_crl: self.platform.crl(&revoked, dates.issued, dates.next),
            tcb_info_issuer_chain: chain.clone(),
            tcb_info_signature: self.tcb_signer.key.sign_raw(tcb_info.as_bytes()).to_vec(),
            tcb_info,
            qe_identity_issuer_chain: chain,
            qe_identity_signature: self.tcb_signer.key.sign_raw(qe_identity.as_bytes()).to_vec(),
            qe_identity,
            pck_certificate_chain: String::new(),
        }
    }
}

fn tcb_info(guest: &DevGuest, dates: &Dates) -> String {
    let fmspc = match guest.defect {
        Some(Defect::OtherPlatformsCollateral) => [0; 6],
        _ => FMSPC,
    };
    let module =
        json!({"mrsigner": "00".repeat(48), "attributes": "00".repeat(8), "attributesMask": "FF".repeat(8)});
    let identity = json!({
        "id": "TDX_01", "mrsigner": "00".repeat(48), "attributes": "00".repeat(8), "attributesMask": "FF".repeat(8),
        "tcbLevels": [{"tcb": {"isvsvn": 4}, "tcbDate": rfc3339(dates.issued), "tcbStatus": "UpToDate"}],
    });
    let info = json!({
        "id": "TDX", "version": 3, "issueDate": rfc3339(dates.issued), "nextUpdate": rfc3339(dates.next),
        "fmspc": hex::encode_upper(fmspc), "pceId": "0000", "tcbType": 0, "tcbEvaluationDataNumber": 17,
        "tdxModule": module, "tdxModuleIdentities": [identity], "tcbLevels": [tcb_level(guest, dates)],
    });
    info.to_string()
}

/// The one level that the platform is judged by.
fn tcb_level(guest: &DevGuest, dates: &Dates) -> Value {
    let floor = if guest.defect == Some(Defect::TcbBelowEveryLevel) { OUT_OF_REACH } else { 1 };
    let status = if guest.defect == Some(Defect::TcbRevoked) { "Revoked" } else { guest.tcb.status.as_str() };
    let components = vec![json!({"svn": floor}); 16];
    json!({
        "tcb": {"sgxtcbcomponents": components, "pcesvn": 0, "tdxtcbcomponents": components},
        "tcbDate": rfc3339(dates.issued), "tcbStatus": status, "advisoryIDs": guest.tcb.advisories,
    })
}

fn qe_identity(guest: &DevGuest, dates: &Dates) -> String {
    let floor = if guest.defect == Some(Defect::OldQuotingEnclave) { u16::from(OUT_OF_REACH) } else { 1 };
    let identity = json!({
        "id": "TD_QE", "version": 2, "issueDate": rfc3339(dates.issued), "nextUpdate": rfc3339(dates.next),
        "tcbEvaluationDataNumber": 17, "miscselect": "00000000", "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000", "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": hex::encode_upper(QE_MR_SIGNER), "isvprodid": QE_PRODUCT,
        "tcbLevels": [{"tcb": {"isvsvn": floor}, "tcbDate": rfc3339(dates.issued), "tcbStatus": "UpToDate"}],
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
