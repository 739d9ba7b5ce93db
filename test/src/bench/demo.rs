// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The wall time of the demo.

use std::time::Instant;

use anyhow::{Result, ensure};
use mandate_cli::demo::{self, bench::Silence, report::TITLES};

use super::{Figure, Times, options};

/// A newcomer's patience, in seconds.
const TARGET: f64 = 60.0;

pub(super) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let dir = tempfile::tempdir()?;
        let start = Instant::now();
        let outcome = demo::run(options(&dir, true), &mut Silence).await?;
        times.push(start.elapsed());
        ensure!(outcome.held == TITLES.len(), "step {} did not hold", outcome.held + 1);
        outcome.world.shutdown().await;
    }
    let times = Times::new(times);
    let seconds = |name, value: std::time::Duration| Figure::new(name, value.as_secs_f64(), "s");
    Ok(vec![
        seconds("demo.p50", times.p50()).at_most(TARGET),
        seconds("demo.max", times.max()).at_most(TARGET),
    ])
}
