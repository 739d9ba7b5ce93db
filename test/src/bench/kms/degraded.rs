// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest's fetch while one node of four is dead or slow.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::{Router, extract::Request};
use mandate_guest::{KeyClient, Pinned};
use mandate_model::wire::relayer::CommitteeView;
use mandate_runtime::{
    Ambient,
    http::serve,
    net::{Net, TcpNet},
};
use tokio_util::sync::CancellationToken;

use super::town::{Town, TownGuest, loopback};
use crate::bench::{Figure, Times};

const WARM_UP: usize = 20;
/// How long the slow node thinks about everything.
const SLOW: Duration = Duration::from_secs(2);
/// As on Ethereum: the first fetch after a block has to prove everything anew.
const BLOCK: Duration = Duration::from_secs(12);
/// Times the normal fetch.
const TARGET: f64 = 1.2;
/// Milliseconds.
const WHOLE: f64 = 25.0;

pub(in crate::bench) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let town = Town::found(4).await?;
    town.genesis().await?;
    let app = town.register(1).await?.remove(0);
    town.chain.mine_every(BLOCK)?;
    let normal = town.view().await?;
    let (mut dead, mut slow) = (normal.clone(), normal.clone());
    let stop = CancellationToken::new();
    let last = |view: &mut CommitteeView, url: String| -> Result<()> {
        view.members.last_mut().context("no members")?.url = url;
        Ok(())
    };
    last(&mut dead, closed_port().await?)?;
    last(&mut slow, slow_node(stop.clone()).await?)?;
    let guest = Guest {
        client: KeyClient::new(&Ambient::system()),
        pinned: town.pinned().await?,
        guest: town.guest(app),
    };
    for view in [&normal, &dead, &slow] {
        guest.fetches(view, WARM_UP).await?;
    }
    // In turn, so that noise meets all three.
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..samples {
        for (times, view) in times.iter_mut().zip([&normal, &dead, &slow]) {
            times.extend(guest.fetches(view, 1).await?);
        }
    }
    stop.cancel();
    town.shutdown().await;
    let [normal, dead, slow] = times.map(Times::new);
    let ratio = |times: &Times| times.p50().as_secs_f64() / normal.p50().as_secs_f64();
    Ok(vec![
        Figure::ms("release-degraded.normal.p50", normal.p50()),
        Figure::ms("release-degraded.normal.p99", normal.p99()).at_most(WHOLE),
        Figure::ms("release-degraded.dead.p50", dead.p50()),
        Figure::ms("release-degraded.dead.p99", dead.p99()),
        Figure::new("release-degraded.dead.ratio", ratio(&dead), "x normal").at_most(TARGET),
        Figure::ms("release-degraded.slow.p50", slow.p50()),
        Figure::ms("release-degraded.slow.p99", slow.p99()),
        Figure::new("release-degraded.slow.ratio", ratio(&slow), "x normal").at_most(TARGET),
    ])
}

struct Guest {
    client: KeyClient,
    pinned: Pinned,
    guest: TownGuest,
}

impl Guest {
    async fn fetches(&self, view: &CommitteeView, times: usize) -> Result<Vec<Duration>> {
        let mut taken = Vec::with_capacity(times);
        for _ in 0..times {
            let begin = Instant::now();
            self.client.fetch(&self.pinned, view, 0, &self.guest).await?;
            taken.push(begin.elapsed());
        }
        Ok(taken)
    }
}

async fn closed_port() -> Result<String> {
    let listener = TcpNet.listen(loopback()).await?;
    Ok(format!("http://{}", listener.local_addr()?))
}

/// Takes connections and requests, and lets everybody wait.
async fn slow_node(stop: CancellationToken) -> Result<String> {
    let listener = TcpNet.listen(loopback()).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().fallback(|_: Request| async { tokio::time::sleep(SLOW).await });
    tokio::spawn(serve(listener, router, stop));
    Ok(url)
}
