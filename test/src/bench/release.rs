// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long a guest waits for its secret.

use std::time::Instant;

use anyhow::Result;
use mandate_cli::demo::World;

use super::{Figure, Times, options};

/// The step after which code v1 is active.
const STEP: usize = 5;
/// Fetches before the first that counts.
const WARM_UP: usize = 20;
/// Milliseconds.
const TARGET: f64 = 25.0;

pub(super) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let world = World::up_to(options(&dir, false), STEP).await?;
    let fetcher = world.fetcher()?;
    for _ in 0..WARM_UP {
        fetcher.fetch().await?;
    }
    let (mut fetches, mut evidence) = (Vec::with_capacity(samples), Vec::with_capacity(samples));
    for _ in 0..samples {
        let start = Instant::now();
        fetcher.fetch().await?;
        fetches.push(start.elapsed());
        let start = Instant::now();
        fetcher.evidence().await?;
        evidence.push(start.elapsed());
    }
    world.shutdown().await;
    let (fetches, evidence) = (Times::new(fetches), Times::new(evidence));
    Ok(vec![
        Figure::ms("release.p50", fetches.p50()),
        Figure::ms("release.p99", fetches.p99()).at_most(TARGET),
        Figure::ms("release.evidence.p50", evidence.p50()),
    ])
}
