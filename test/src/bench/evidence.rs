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
    Evidence, Verifier,
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
    let collateral = QuoteCollateralV3::from(&tdx.collateral);

    let warm = Verifier::new(pki.trust_anchors());
    let quotes = distinct(&pki, &guest, now, samples + WARM_UP);

    let (mut ours, mut theirs) = (Vec::with_capacity(samples), Vec::with_capacity(samples));
    let mut warmed = Vec::with_capacity(samples);
    // In turn, so that a noisy moment meets both.
    for (i, (report_data_of, encoded)) in quotes.iter().enumerate() {
        let start = Instant::now();
        let decoded = Evidence::decode(&bytes)?;
        black_box(mandate_attestation::verify(&decoded, &anchors, now, &report_data)?);
        let full = start.elapsed();
        let start = Instant::now();
        let verified = bare.verify(&tdx.quote, &collateral, now).map_err(|e| anyhow!("dcap-qvl: {e:?}"))?;
        black_box(verified);
        let quote = start.elapsed();
        // Each time another quote of one platform: what is shared is remembered, the quote is new.
        let start = Instant::now();
        let decoded = Evidence::decode(encoded)?;
        black_box(warm.verify(&decoded, now, report_data_of)?);
        let remembered = start.elapsed();
        if i >= WARM_UP {
            warmed.push(remembered);
            ours.push(full);
            theirs.push(quote);
        }
    }
    let (ours, theirs, warmed) = (Times::new(ours), Times::new(theirs), Times::new(warmed));
    let ratio = |of: &Times| of.p50().as_secs_f64() / theirs.p50().as_secs_f64();
    Ok(vec![
        Figure::ms("verify-quote.p50", ours.p50()).beside("dcap-qvl", theirs.p50().as_secs_f64() * 1e3),
        Figure::ms("verify-quote.p99", ours.p99()).beside("dcap-qvl", theirs.p99().as_secs_f64() * 1e3),
        Figure::new("verify-quote.ratio", ratio(&ours), "x").at_most(1.15).beside("dcap-qvl", 1.0),
        Figure::ms("verify-quote.warm.p50", warmed.p50())
            .beside("dcap-qvl", theirs.p50().as_secs_f64() * 1e3),
        Figure::ms("verify-quote.warm.p99", warmed.p99())
            .beside("dcap-qvl", theirs.p99().as_secs_f64() * 1e3),
        Figure::new("verify-quote.warm.ratio", ratio(&warmed), "x").at_most(0.4).beside("dcap-qvl", 1.0),
        Figure::new("verify-quote.size", bytes.len() as f64, "B").beside("quote", tdx.quote.len() as f64),
    ])
}

/// Evidence of one guest, each made for other report data.
fn distinct(pki: &DevPki, guest: &DevGuest, now: u64, count: usize) -> Vec<([u8; 64], Vec<u8>)> {
    let evidence = |index: usize| {
        let mut report_data = [0; 64];
        for (to, from) in report_data.iter_mut().zip(index.to_be_bytes()) {
            *to = from;
        }
        (report_data, pki.evidence(guest, report_data, now).encode())
    };
    (0..count).map(evidence).collect()
}
