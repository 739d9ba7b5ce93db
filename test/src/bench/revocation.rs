// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long a revoked instance keeps its connections.

use anyhow::Result;
use mandate_cli::demo::World;

use super::{Figure, Times, options};

/// The step after which everything runs.
const STEP: usize = 4;

pub(super) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let world = World::up_to(options(&dir, false), STEP).await?;
    let mut times = Vec::with_capacity(samples);
    let mut app = world.revocable(samples).await?;
    while let Some(took) = app.revoke_next().await? {
        times.push(took);
    }
    world.shutdown().await;
    let times = Times::new(times);
    Ok(vec![Figure::ms("revocation.p50", times.p50()), Figure::ms("revocation.max", times.max())])
}
