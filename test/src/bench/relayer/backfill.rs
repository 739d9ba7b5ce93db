// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Catching up with a long chain: events a second into SQLite, and whether memory stays flat.

use std::time::{Duration, Instant};

use alloy::{
    providers::{Provider, ProviderBuilder, RootProvider},
    rpc::types::Filter,
    signers::local::PrivateKeySigner,
};
use anyhow::{Context, Result, ensure};

use super::{
    peer,
    process::{RelayerProcess, Setting},
    town::{BLOCK_TIME, Town},
};
use crate::bench::Figure;

/// Blocks per sample: 200 samples, which is the default, are the 200,000 blocks of the target.
const BLOCKS_PER_SAMPLE: u64 = 1_000;
/// Events per second.
const TARGET: f64 = 50_000.0;
/// MiB.
const MEMORY: f64 = 200.0;
/// How much memory may grow from the first fifth to the end and still be called flat.
const GROWTH: f64 = 1.25;
/// Blocks per request when the chain's own speed is measured: the relayer's default.
const RANGE: u64 = 5_000;
/// The peer indexes some tens of blocks a second: it gets so many at most, and its rate is told.
const PEER_BLOCKS: u64 = 400;

pub(in crate::bench) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let blocks = samples as u64 * BLOCKS_PER_SAMPLE;
    let mut town = Town::new((blocks + 200) * BLOCK_TIME, 32, "http://node.example").await?;
    let started = Instant::now();
    let events = town.mint_unevenly(blocks)?;
    eprintln!("backfill: {blocks} blocks with {events} events made in {:.0?}", started.elapsed());
    let server = town.chain.serve(([127, 0, 0, 1], 0).into()).await?;
    let events = events as f64;

    let chain = chain_alone(&town, &server.http_url()).await?;
    let dir = tempfile::tempdir()?;
    let run = relayer(&town, &server.http_url(), dir.path()).await?;
    let peer = peer::ponder(&town, &server.http_url(), blocks.min(PEER_BLOCKS)).await;
    server.shutdown().await;

    let rate = Figure::new("backfill.rate", events / run.took.as_secs_f64(), "events/s").at_least(TARGET);
    let peak = Figure::new("backfill.memory.peak", run.peak, "MiB").at_most(MEMORY);
    let (rate, peak) = match peer {
        Ok(peer) => (rate.beside("ponder", peer.rate), peak.beside("ponder", peer.peak)),
        Err(error) => {
            eprintln!("backfill: no peer: {error:#}");
            (rate, peak)
        }
    };
    Ok(vec![
        rate,
        Figure::new("backfill.time", run.took.as_secs_f64(), "s"),
        peak,
        Figure::new("backfill.memory.growth", run.end / run.early, "x").at_most(GROWTH),
        Figure::new("backfill.chain", events / chain.as_secs_f64(), "events/s"),
    ])
}

/// How long the chain alone takes to tell all its logs to a client that does nothing with them.
async fn chain_alone(town: &Town, url: &str) -> Result<Duration> {
    let provider: RootProvider = ProviderBuilder::default().connect(url).await?;
    let head = town.chain.head().number();
    let addresses = watched(town);
    let started = Instant::now();
    let mut found = 0;
    for from in (0..=head).step_by(usize::try_from(RANGE)?) {
        let filter = Filter::new().address(addresses.clone()).from_block(from).to_block(from + RANGE - 1);
        found += provider.get_logs(&filter).await?.len();
    }
    ensure!(found > 0, "the chain tells no logs");
    Ok(started.elapsed())
}

pub(super) fn watched(town: &Town) -> Vec<alloy::primitives::Address> {
    let d = &town.deployment;
    let mut all = vec![d.kms_auth, d.committee, d.domain_registry];
    all.extend(&town.apps);
    all
}

struct Run {
    took: Duration,
    peak: f64,
    early: f64,
    end: f64,
}

/// From the start of the process to the block that is final.
async fn relayer(town: &Town, url: &str, dir: &std::path::Path) -> Result<Run> {
    let key = town.chain.signers().pop().context("the chain has no accounts")?;
    let setting = setting(town, url, dir, key);
    let goal =
        town.chain.block(alloy::eips::BlockNumberOrTag::Finalized).context("nothing is final")?.number();
    let started = Instant::now();
    let mut relayer = RelayerProcess::start(dir, &setting)?;
    let every = Duration::from_millis(20);
    relayer.until(every, |status| status.finalized >= goal / 5).await?;
    let early = relayer.memory()?;
    relayer.until(every, |status| status.finalized >= goal).await?;
    let took = started.elapsed();
    Ok(Run { took, peak: relayer.peak()?, early, end: relayer.memory()? })
}

fn setting<'a>(town: &'a Town, url: &str, dir: &std::path::Path, key: PrivateKeySigner) -> Setting<'a> {
    Setting {
        rpc: url.to_owned(),
        store: format!("path = {:?}", dir.join("relayer.sqlite")),
        deployment: &town.deployment,
        gateways: Vec::new(),
        key,
        more: "",
    }
}
