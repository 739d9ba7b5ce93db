// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What believing a guest costs, beside the quote verification in it.

use std::{
    hint::black_box,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use alloy::primitives::{Address, B256};
use anyhow::{Result, anyhow};
use dcap_qvl::{QuoteCollateralV3, configs::RingConfig, verify::QuoteVerifier};
use mandate_attestation::{
    Collateral, Evidence,
    dev_pki::{DevGuest, DevPki},
};

use super::{Figure, Times};

const WARM_UP: usize = 5;

pub(super) fn measure(samples: usize) -> Result<Vec<Figure>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (pki, report_data) = (DevPki::from_seed([7; 32]), [9; 64]);
    let guest = DevGuest::new(Address::repeat_byte(1), B256::repeat_byte(2));
    let evidence = pki.evidence(&guest, report_data, now);
    let (anchors, bytes) = (pki.trust_anchors(), evidence.encode());
    let Evidence::Tdx(tdx) = &evidence else { return Err(anyhow!("the guest is no TDX guest")) };
    let bare = QuoteVerifier::new(pki.root_der().to_vec()).with_config::<RingConfig>();
    let collateral = dcap(tdx.collateral.clone());

    let (mut ours, mut theirs) = (Vec::with_capacity(samples), Vec::with_capacity(samples));
    // In turn, so that a noisy moment meets both.
    for i in 0..WARM_UP + samples {
        let start = Instant::now();
        let decoded = Evidence::decode(&bytes)?;
        black_box(mandate_attestation::verify(&decoded, &anchors, now, &report_data)?);
        let full = start.elapsed();
        let start = Instant::now();
        let verified = bare.verify(&tdx.quote, &collateral, now).map_err(|e| anyhow!("dcap-qvl: {e:?}"))?;
        black_box(verified);
        let quote = start.elapsed();
        if i >= WARM_UP {
            ours.push(full);
            theirs.push(quote);
        }
    }
    let (ours, theirs) = (Times::new(ours), Times::new(theirs));
    let ratio = ours.p50().as_secs_f64() / theirs.p50().as_secs_f64();
    Ok(vec![
        Figure::ms("verify-quote.p50", ours.p50()).beside("dcap-qvl", theirs.p50().as_secs_f64() * 1e3),
        Figure::ms("verify-quote.p99", ours.p99()).beside("dcap-qvl", theirs.p99().as_secs_f64() * 1e3),
        Figure::new("verify-quote.ratio", ratio, "x").beside("dcap-qvl", 1.0),
        Figure::new("verify-quote.size", bytes.len() as f64, "B").beside("quote", tdx.quote.len() as f64),
    ])
}

fn dcap(of: Collateral) -> QuoteCollateralV3 {
    QuoteCollateralV3 {
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
