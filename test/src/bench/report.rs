// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What believing a SEV-SNP guest costs: with its certificate chain seen for the first time, and known.

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
    // AMD's roots have RSA keys of 4096 bits; smaller ones would make the cold verification look cheap.
    let pki = DevSnpPki::of_full_size([7; 32]);
    let guest = DevSnpGuest::new(Address::repeat_byte(1), B256::repeat_byte(2));
    let warm = Verifier::new(pki.trust_anchors());
    let (mut first, mut again) = (Vec::with_capacity(samples), Vec::with_capacity(samples));
    let mut size = 0;
    // In turn, so that a noisy moment meets both; each time another report of one platform.
    for i in 0..samples + WARM_UP {
        let mut report_data = [0; 64];
        for (to, from) in report_data.iter_mut().zip(i.to_be_bytes()) {
            *to = from;
        }
        let bytes = pki.evidence(&guest, report_data, now).encode();
        let cold = Verifier::new(pki.trust_anchors());
        let verify = |verifier: &Verifier| -> Result<_> {
            let start = Instant::now();
            let evidence = Evidence::decode(&bytes)?;
            black_box(verifier.verify(&evidence, now, &report_data)?);
            Ok(start.elapsed())
        };
        let (unknown, known) = (verify(&cold)?, verify(&warm)?);
        if i >= WARM_UP {
            first.push(unknown);
            again.push(known);
        }
        size = bytes.len();
    }
    let (first, again) = (Times::new(first), Times::new(again));
    let ratio = again.p50().as_secs_f64() / first.p50().as_secs_f64();
    let cold = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    Ok(vec![
        Figure::ms("verify-report.p50", first.p50()),
        Figure::ms("verify-report.p99", first.p99()),
        Figure::ms("verify-report.warm.p50", again.p50()).beside("cold", cold(first.p50())),
        Figure::ms("verify-report.warm.p99", again.p99()).beside("cold", cold(first.p99())),
        Figure::new("verify-report.warm.ratio", ratio, "x").at_most(0.5).beside("cold", 1.0),
        Figure::new("verify-report.size", size as f64, "B"),
    ])
}
