// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When collateral runs out: the earliest `nextUpdate` of its four parts. Nothing here is verified.

use std::time::UNIX_EPOCH;

use serde::Deserialize;
use x509_parser::{prelude::FromDer, revocation_list::CertificateRevocationList};

use crate::evidence::Collateral;

pub(super) fn of(collateral: &Collateral) -> Result<u64, String> {
    let ends = [
        json("TCB info", &collateral.tcb_info)?,
        json("QE identity", &collateral.qe_identity)?,
        crl("root CA CRL", &collateral.root_ca_crl)?,
        crl("PCK CRL", &collateral.pck_crl)?,
    ];
    Ok(ends.into_iter().min().unwrap_or(0))
}

fn json(part: &str, text: &str) -> Result<u64, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Dated {
        next_update: String,
    }
    let dated: Dated = serde_json::from_str(text).map_err(|e| format!("{part}: {e}"))?;
    let end = humantime::parse_rfc3339(&dated.next_update).map_err(|e| format!("{part}: nextUpdate: {e}"))?;
    Ok(end.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn crl(part: &str, der: &[u8]) -> Result<u64, String> {
    let (_, list) = CertificateRevocationList::from_der(der).map_err(|e| format!("{part}: {e}"))?;
    let end = list.next_update().ok_or_else(|| format!("{part}: no nextUpdate"))?;
    Ok(u64::try_from(end.timestamp()).unwrap_or(0))
}
