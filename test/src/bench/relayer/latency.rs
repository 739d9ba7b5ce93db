// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a block with a revocation to the gateway that is told of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{
    process::{RelayerProcess, Setting},
    receiver::Receiver,
    town::{BLOCK_TIME, Town},
};
use crate::bench::{Figure, Times};

/// Milliseconds.
const TARGET: f64 = 50.0;
const WARM_UP: usize = 5;
/// Between one notice and the next block: the relayer rests, as it does between blocks of a chain.
const PAUSE: Duration = Duration::from_millis(30);

pub(in crate::bench) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let receiver = Receiver::default();
    let gateway = receiver.serve().await?;
    let mut town = Town::new((samples as u64 + 500) * BLOCK_TIME, 32, &format!("{gateway}/node")).await?;
    town.idle(64)?;
    let server = town.chain.serve(([127, 0, 0, 1], 0).into()).await?;
    let dir = tempfile::tempdir()?;
    let setting = Setting {
        rpc: server.ws_url(),
        store: format!("path = {:?}", dir.path().join("relayer.sqlite")),
        deployment: &town.deployment,
        gateways: vec![gateway],
        key: town.chain.signers().pop().context("the chain has no accounts")?,
        more: "",
    };
    let mut relayer = RelayerProcess::start(dir.path(), &setting)?;
    let head = town.chain.head().number();
    relayer.until(Duration::from_millis(20), |status| status.head >= head).await?;
    let mut times = Vec::with_capacity(samples);
    for n in 0..WARM_UP + samples {
        let block = town.pause()?;
        let made = Instant::now();
        let told = tokio::time::timeout(Duration::from_secs(10), receiver.first_of(block));
        let told = told.await.with_context(|| format!("no notice of block {block}"))?;
        if n >= WARM_UP {
            times.push(told.saturating_duration_since(made));
        }
        tokio::time::sleep(PAUSE).await;
    }
    drop(relayer);
    server.shutdown().await;
    let times = Times::new(times);
    Ok(vec![
        Figure::ms("effect-latency.p50", times.p50()),
        Figure::ms("effect-latency.p99", times.p99()).at_most(TARGET),
        Figure::ms("effect-latency.max", times.max()),
    ])
}
