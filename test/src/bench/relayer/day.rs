// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two days of blocks in minutes: what a relayer that follows the head keeps in memory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{
    process::{RelayerProcess, Setting},
    receiver::Receiver,
    town::{BLOCK_TIME, EVENTS_PER_BLOCK, PUSHES_PER_BLOCK, Town, UNFILLED},
};
use crate::bench::Figure;

/// Blocks per sample: 48 samples, which is the default, are two days.
const HOUR: u64 = 3_600 / BLOCK_TIME;
/// The relayer is never more than this far behind, so that it follows and does not catch up by ranges.
const AHEAD: u64 = 8;
/// Memory after the second day over memory after the first, on which the database's cache, 32 MiB, fills.
const GROWTH: f64 = 1.1;

pub(in crate::bench) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let blocks = samples as u64 * HOUR;
    let receiver = Receiver::default();
    let gateway = receiver.serve().await?;
    let mut town = Town::new((blocks + 200) * BLOCK_TIME, 32, &format!("{gateway}/node")).await?;
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
    let mut head = town.chain.head().number();
    relayer.until(Duration::from_millis(20), |status| status.head >= head).await?;
    let (started, first) = (Instant::now(), head);
    let early = relayer.memory()?;
    let mut half = early;
    while head < first + blocks {
        town.mint(AHEAD.min(first + blocks - head))?;
        head = town.chain.head().number();
        relayer.until(Duration::from_millis(5), |status| status.head >= head).await?;
        if head < first + blocks / 2 {
            half = relayer.memory()?;
        }
    }
    relayer.until(Duration::from_millis(20), |status| status.outbox <= UNFILLED).await?;
    let took = started.elapsed();
    let (notices, distinct) = receiver.counts();
    let expected = usize::try_from(blocks * PUSHES_PER_BLOCK)?;
    ensure!(
        notices == expected && distinct == expected,
        "{notices} notices, {distinct} of them once: not {expected}"
    );
    let end = relayer.memory()?;
    let peak = relayer.peak()?;
    drop(relayer);
    server.shutdown().await;
    Ok(vec![
        Figure::new("day.time", took.as_secs_f64() * 24.0 / samples as f64, "s"),
        Figure::new("day.memory.start", early, "MiB"),
        Figure::new("day.memory.half", half, "MiB"),
        Figure::new("day.memory.end", end, "MiB"),
        Figure::new("day.memory.peak", peak, "MiB"),
        Figure::new("day.memory.growth", end / half, "x").at_most(GROWTH),
        Figure::new("day.rate", (blocks * EVENTS_PER_BLOCK) as f64 / took.as_secs_f64(), "events/s"),
    ])
}
