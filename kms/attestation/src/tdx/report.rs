// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What no policy could make acceptable about a TD report.

use dcap_qvl::quote::{Report, TDReport10, TDReport15Ex};

use crate::error::QuoteError;

const UNSET: [u8; 48] = [0; 48];

/// The TD report, if the TD is closed to everybody but itself and runs on Intel's own module.
pub(super) fn check(report: &Report) -> Result<TDReport10, QuoteError> {
    let td = report.as_td10().ok_or(QuoteError::NotTdx(0))?;
    check_attributes(Attributes(u64::from_le_bytes(td.td_attributes)))?;
    check_module(td)?;
    let bound = report.as_td15().is_some_and(|td15| td15.mr_service_td != UNSET);
    if bound || report.as_td15_ex().is_some_and(has_service_td) {
        return Err(QuoteError::ServiceTd);
    }
    Ok(*td)
}

/// The whole TUD byte counts: each of its bits opens the TD to the host.
fn check_attributes(attributes: Attributes) -> Result<(), QuoteError> {
    match attributes {
        a if a.tud() != 0 => Err(QuoteError::Debug(a.tud())),
        a if a.has(Attributes::SERVICE_TD) => Err(QuoteError::ServiceTd),
        a if a.has(Attributes::MIGRATABLE) => Err(QuoteError::Migratable),
        a if !a.has(Attributes::SEPT_VE_DISABLE) => Err(QuoteError::SeptVeEnabled),
        a if a.has(Attributes::RESERVED) => Err(QuoteError::ReservedAttributes(a.0 & Attributes::RESERVED)),
        _ => Ok(()),
    }
}

/// MRSIGNERSEAM is zero for modules that Intel signed, and SEAMATTRIBUTES has no bit yet (TDX module specification,
/// TDREPORT's TEE_TCB_INFO). The TCB info says so too; this holds whatever a TCB info says.
fn check_module(td: &TDReport10) -> Result<(), QuoteError> {
    if td.mr_signer_seam != UNSET {
        return Err(QuoteError::SeamSigner);
    }
    match u64::from_le_bytes(td.seam_attributes) {
        0 => Ok(()),
        attributes => Err(QuoteError::SeamAttributes(attributes)),
    }
}

/// The fields are filled only under the attribute that is refused above, so this is a second lock on the same door.
fn has_service_td(td: &TDReport15Ex) -> bool {
    td.init_service_td_hash != UNSET
        || td.cur_service_td_hash != UNSET
        || td.init_service_td_attributes != [0; 8]
        || td.cur_service_td_attributes != [0; 8]
}

/// TD attributes (Intel TDX module ABI, table "ATTRIBUTES").
#[derive(Clone, Copy)]
struct Attributes(u64);

impl Attributes {
    const SERVICE_TD: u64 = 1 << 17;
    const SEPT_VE_DISABLE: u64 = 1 << 28;
    const MIGRATABLE: u64 = 1 << 29;
    /// Bits 8-15, 23-26 and 32-61.
    const RESERVED: u64 = 0xff00 | (0xf << 23) | ((1 << 62) - (1 << 32));

    fn tud(self) -> u8 {
        let [tud, ..] = self.0.to_le_bytes();
        tud
    }

    fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }
}
