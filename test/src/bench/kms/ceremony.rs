// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long a committee needs for its first key: whole nodes, through the relayer's mailbox and the chain.

use anyhow::Result;

use super::town::Town;
use crate::bench::{Figure, Times};

const SIZES: [u8; 4] = [4, 7, 13, 31];

pub(in crate::bench) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for n in SIZES {
        let mut times = Vec::with_capacity(samples);
        for _ in 0..samples {
            let town = Town::found(n).await?;
            times.push(town.genesis().await?);
            town.shutdown().await;
        }
        figures.push(Figure::new(format!("ceremony.{n}"), Times::new(times).p50().as_secs_f64(), "s"));
    }
    Ok(figures)
}
