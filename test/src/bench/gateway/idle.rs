// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory of connections that are open and silent.

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};

use super::{load::Client, rates::Stage, role::DOMAIN};
use crate::bench::Figure;

const AT_ONCE: usize = 32;
const KIB: f64 = 1024.0;

/// So many connections, each after one request, through each proxy.
pub(super) async fn measure(connections: usize) -> Result<Vec<Figure>> {
    let stage = Stage::set().await?;
    let mut each = Vec::new();
    for proxy in &stage.proxies {
        let client = Client::new(proxy.terminated, DOMAIN, &stage.root)?;
        // What the first connections set up is not theirs alone.
        let _warm = open(&client, AT_ONCE).await?;
        let before = proxy.memory()?;
        let held = open(&client, connections).await.with_context(|| format!("through {}", proxy.name))?;
        each.push((proxy.name, (proxy.memory()? - before) / held.len() as f64 / KIB));
    }
    let of = |name: &str| each.iter().find(|(n, _)| *n == name).map(|(_, kib)| *kib);
    let own = of("gateway").context("gateway")?;
    let mut all = Vec::new();
    for peer in ["nginx", "haproxy"] {
        let Some(theirs) = of(peer) else { continue };
        all.push(Figure::new(format!("gateway-idle-beside-{peer}"), own, "KiB").beside(peer, theirs));
        let figure = Figure::new(format!("gateway-idle-ratio-{peer}"), own / theirs, "x");
        all.push(if peer == "haproxy" { figure.at_most(1.0) } else { figure });
    }
    Ok(all)
}

async fn open(client: &Client, connections: usize) -> Result<Vec<impl Sized + use<>>> {
    let connect = stream::iter(0..connections).map(|_| async {
        let mut stream = client.connect().await?;
        client.ask(&mut stream).await?;
        anyhow::Ok(stream)
    });
    connect.buffer_unordered(AT_ONCE).try_collect().await
}
