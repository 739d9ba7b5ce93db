// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ten relayers on one PostgreSQL: how fast they are together, and that nobody is told anything twice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{
    process::{RelayerProcess, Setting},
    receiver::Receiver,
    town::{BLOCK_TIME, PUSHES_PER_BLOCK, Town, UNFILLED},
};
use crate::bench::Figure;

const RELAYERS: usize = 10;
/// Where `script/bench` has started a database for us.
const POSTGRES: &str = "MANDATE_TEST_POSTGRES";
/// Told of each pause: the gateway and the node.
const TARGETS: u64 = 2;

pub(in crate::bench) async fn measure(blocks: usize) -> Result<Vec<Figure>> {
    let url = std::env::var(POSTGRES)
        .with_context(|| format!("{POSTGRES} is not set: run script/bench, or script/with-postgres"))?;
    let receiver = Receiver::default();
    let gateway = receiver.serve().await?;
    let blocks = blocks as u64;
    let mut town = Town::new((blocks + 500) * BLOCK_TIME, 32, &format!("{gateway}/node")).await?;
    town.idle(64)?;
    let server = town.chain.serve(([127, 0, 0, 1], 0).into()).await?;
    let dir = tempfile::tempdir()?;
    let mut relayers = start(&town, &server.ws_url(), &url, gateway, dir.path())?;
    let head = town.chain.head().number();
    let every = Duration::from_millis(20);
    for relayer in &mut relayers {
        relayer.until(every, |status| status.head >= head).await?;
    }
    let started = Instant::now();
    town.mint(blocks)?;
    let head = town.chain.head().number();
    let first = relayers.first_mut().context("no relayer")?;
    first.until(every, |status| status.head >= head && status.outbox <= UNFILLED).await?;
    let took = started.elapsed();
    let (notices, distinct) = receiver.counts();
    let expected = usize::try_from(blocks * PUSHES_PER_BLOCK)?;
    drop(relayers);
    server.shutdown().await;
    let effects = (blocks * PUSHES_PER_BLOCK * TARGETS) as f64;
    Ok(vec![
        Figure::new("ten-relayers.rate", effects / took.as_secs_f64(), "effects/s"),
        Figure::new("ten-relayers.duplicates", (notices - distinct) as f64, "notices").at_most(0.0),
        Figure::new("ten-relayers.missing", expected.saturating_sub(distinct) as f64, "notices").at_most(0.0),
    ])
}

fn start(
    town: &Town,
    rpc: &str,
    url: &str,
    gateway: String,
    dir: &std::path::Path,
) -> Result<Vec<RelayerProcess>> {
    let setting = Setting {
        rpc: rpc.to_owned(),
        store: format!("url = {url:?}"),
        deployment: &town.deployment,
        gateways: vec![gateway],
        key: town.chain.signers().pop().context("the chain has no accounts")?,
        more: "",
    };
    (0..RELAYERS).map(|_| RelayerProcess::start(dir, &setting)).collect()
}
