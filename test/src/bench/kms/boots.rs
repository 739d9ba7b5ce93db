// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A crowd that boots: so many apps with three instances each, all of them waiting for their secret from the first moment on.

use std::time::{Duration, Instant};

use alloy::primitives::Address;
use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use mandate_attestation::dev_pki::DevGuest;
use mandate_guest::KeyClient;
use mandate_runtime::Ambient;

use super::town::Town;
use crate::bench::Figure;

const INSTANCES: usize = 3;
/// Fetches under way at a time: what the nodes work on at once.
const AT_ONCE: usize = 24;
const BLOCK: Duration = Duration::from_secs(2);
/// Nobody may be left without.
const ERRORS: f64 = 0.0;
/// End of the crowd over its first quarter.
const GROWTH: f64 = 1.25;

pub(in crate::bench) async fn measure(apps: usize) -> Result<Vec<Figure>> {
    let town = Town::found(4).await?;
    town.genesis().await?;
    let ids = town.register(apps).await?;
    town.chain.mine_every(BLOCK)?;
    let (view, pinned) = (town.view().await?, town.pinned().await?);
    let client = KeyClient::new(&Ambient::system()).node_timeout(Duration::from_secs(60));
    let crowd: Vec<(Address, usize)> =
        (0..INSTANCES).flat_map(|instance| ids.iter().map(move |app| (*app, instance))).collect();
    let begin = Instant::now();
    let mut boots = stream::iter(&crowd)
        .map(|(app, instance)| {
            let mut guest = town.guest(*app);
            guest.guest.instance_id = DevGuest::instance_id_of(*app, &instance.to_be_bytes());
            let (client, view, pinned) = (&client, &view, &pinned);
            async move { client.fetch(pinned, view, 0, &guest).await.map(drop) }
        })
        .buffer_unordered(AT_ONCE);
    let (mut done, mut errors, mut after_quarter) = (0_usize, 0_usize, None);
    while let Some(booted) = boots.next().await {
        done += 1;
        if let Err(error) = booted {
            errors += 1;
            tracing::warn!(%error, "an instance got nothing");
        }
        if done == crowd.len() / 4 {
            after_quarter = Some(resident()?);
        }
    }
    drop(boots);
    let (took, resident) = (begin.elapsed(), resident()?);
    town.shutdown().await;
    let growth = resident / after_quarter.context("too few boots to see memory grow")?;
    Ok(vec![
        Figure::new("boots.errors", errors as f64, "instances").at_most(ERRORS),
        Figure::new("boots.rate", crowd.len() as f64 / took.as_secs_f64(), "boots/s"),
        Figure::ms("boots.time", took / u32::try_from(crowd.len())?),
        Figure::new("boots.memory", resident, "MiB"),
        Figure::new("boots.memory.growth", growth, "x").at_most(GROWTH),
    ])
}

/// What this process holds in memory, nodes, relayer, chain and guests together, in MiB.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
