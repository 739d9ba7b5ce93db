// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What believing a SEV-SNP guest costs, without and with its chain remembered.

use std::{
    hint::black_box,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use alloy::primitives::{Address, B256};
use anyhow::Result;
use mandate_attestation::{
    Evidence, Verifier,
    dev_pki::{DevSnpGuest, DevSnpPki},
};

use super::{Figure, Times};

const WARM_UP: usize = 5;

pub(super) fn measure(samples: usize) -> Result<Vec<Figure>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let pki = DevSnpPki::of_full_size([7; 32]);
    let guest = DevSnpGuest::new(Address::repeat_byte(1), B256::repeat_byte(2));
    let (anchors, warm) = (pki.trust_anchors(), Verifier::new(pki.trust_anchors()));
    let minted = pki.evidence(&guest, [0; 64], now);
    let size = minted.encode().len();
    warm.verify(&minted, now, &[0; 64])?;
    let (mut colds, mut warms) = (Vec::with_capacity(samples), Vec::with_capacity(samples));
    for i in 0..WARM_UP + samples {
        // Each time another report of one chip: the chain is shared, the report is new.
        let mut report_data = [0; 64];
        report_data.iter_mut().zip(i.to_be_bytes()).for_each(|(to, from)| *to = from);
        let encoded = with_chain_of(&minted, pki.evidence(&guest, report_data, now)).encode();
        let start = Instant::now();
        black_box(mandate_attestation::verify(&Evidence::decode(&encoded)?, &anchors, now, &report_data)?);
        let cold = start.elapsed();
        let start = Instant::now();
        black_box(warm.verify(&Evidence::decode(&encoded)?, now, &report_data)?);
        let warm = start.elapsed();
        if i >= WARM_UP {
            colds.push(cold);
            warms.push(warm);
        }
    }
    let (cold, warm) = (Times::new(colds), Times::new(warms));
    let ratio = warm.p50().as_secs_f64() / cold.p50().as_secs_f64();
    Ok(vec![
        Figure::ms("verify-report.cold.p50", cold.p50()),
        Figure::ms("verify-report.cold.p99", cold.p99()),
        Figure::ms("verify-report.warm.p50", warm.p50()).beside("cold", cold.p50().as_secs_f64() * 1e3),
        Figure::ms("verify-report.warm.p99", warm.p99()).beside("cold", cold.p99().as_secs_f64() * 1e3),
        Figure::new("verify-report.warm.ratio", ratio, "x").at_most(0.5).beside("cold", 1.0),
        Figure::new("verify-report.size", size as f64, "B"),
    ])
}

/// The report of one with the certificates of the other, as a host would keep them.
fn with_chain_of(of: &Evidence, report: Evidence) -> Evidence {
    match (of, report) {
        (Evidence::Snp(of), Evidence::Snp(mut snp)) => {
            snp.endorsement.clone_from(&of.endorsement);
            Evidence::Snp(snp)
        }
        (_, other) => other,
    }
}
