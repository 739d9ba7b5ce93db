// SPDX-License-Identifier: Apache-2.0 OR MIT
//! New connections, requests on open ones, and throughput: in turns, so that what else the machine does meets all alike.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{
    backend::{Backend, passthrough_name},
    load::{Client, p99},
    proxies::{self, Proxy},
    role::{self, DOMAIN},
};
use crate::bench::Figure;

const AT_ONCE: usize = 16;
const TURN: Duration = Duration::from_secs(2);

/// What one proxy did, turn by turn.
#[derive(Default)]
struct Tally {
    per_second: Vec<f64>,
    cpu_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Tally {
    fn add(&mut self, took: &[Duration], cpu: f64) {
        self.per_second.push(took.len() as f64 / TURN.as_secs_f64());
        self.cpu_ms.push(cpu * 1e3 / took.len() as f64);
        self.p99_ms.push(p99(took).as_secs_f64() * 1e3);
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Everything that a benchmark of rates needs.
pub(super) struct Stage {
    _dir: tempfile::TempDir,
    pub(super) backend: Backend,
    pub(super) proxies: Vec<Proxy>,
    pub(super) root: CertificateDer<'static>,
    pub(super) backend_root: CertificateDer<'static>,
}

impl Stage {
    pub(super) async fn set() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let root = role::authority(dir.path())?;
        let backend = Backend::start(dir.path()).await?;
        let backend_root = CertificateDer::from_pem_file(dir.path().join("backend.pem"))?;
        let proxies = start(dir.path(), &backend).await?;
        Ok(Self { _dir: dir, backend, proxies, root, backend_root })
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.proxies.iter().position(|proxy| proxy.name == name)
    }
}

async fn start(dir: &Path, backend: &Backend) -> Result<Vec<Proxy>> {
    // The gateway comes first: it has the certificate issued that the others serve.
    let mut all = vec![proxies::gateway(dir, backend).await?];
    if proxies::are_installed() {
        all.push(proxies::nginx(dir, backend)?);
        all.push(proxies::haproxy(dir, backend)?);
    }
    Ok(all)
}

#[derive(Clone, Copy)]
enum What {
    Connections,
    Requests,
}

/// Lets each proxy in turn do it, `rounds` times.
async fn in_turns(stage: &Stage, clients: &[Client], what: What, rounds: usize) -> Result<Vec<Tally>> {
    let mut tallies: Vec<_> = clients.iter().map(|_| Tally::default()).collect();
    for round in 0..=rounds {
        for ((proxy, client), tally) in stage.proxies.iter().zip(clients).zip(&mut tallies) {
            let before = proxy.cpu()?;
            let took = match what {
                What::Connections => client.connections(AT_ONCE, TURN).await,
                What::Requests => client.requests(AT_ONCE, TURN).await,
            };
            let took = took.with_context(|| format!("through {}", proxy.name))?;
            // The first round warms everything up.
            if round > 0 {
                tally.add(&took, proxy.cpu()? - before);
            }
        }
    }
    Ok(tallies)
}

fn figures(name: &str, stage: &Stage, tallies: &[Tally]) -> Vec<Figure> {
    let of = |peer: &'static str, value: fn(&Tally) -> &Vec<f64>| {
        stage.find(peer).and_then(|i| tallies.get(i)).map(|tally| median(value(tally)))
    };
    let own = |value: fn(&Tally) -> &Vec<f64>| of("gateway", value).unwrap_or_default();
    let mut all = Vec::new();
    for peer in ["nginx", "haproxy"] {
        let beside = |figure: Figure, value: fn(&Tally) -> &Vec<f64>| match of(peer, value) {
            Some(theirs) => figure.beside(peer, theirs),
            None => figure,
        };
        let figure = Figure::new(format!("{name}-per-second-beside-{peer}"), own(|t| &t.per_second), "1/s");
        all.push(beside(figure, |t| &t.per_second));
        let figure = Figure::new(format!("{name}-cpu-beside-{peer}"), own(|t| &t.cpu_ms), "ms");
        all.push(beside(figure, |t| &t.cpu_ms));
        let figure = Figure::new(format!("{name}-p99-beside-{peer}"), own(|t| &t.p99_ms), "ms");
        all.push(beside(figure, |t| &t.p99_ms));
    }
    all
}

/// Ratio of the gateway's value to a peer's; none without the peer.
fn ratio(stage: &Stage, tallies: &[Tally], peer: &str, value: fn(&Tally) -> &Vec<f64>) -> Option<f64> {
    let of = |name: &str| stage.find(name).and_then(|i| tallies.get(i)).map(|tally| median(value(tally)));
    Some(of("gateway")? / of(peer)?)
}

/// A client of each proxy, at one of its ports.
fn clients(stage: &Stage, port: impl Fn(&Proxy) -> SocketAddr) -> Result<Vec<Client>> {
    stage.proxies.iter().map(|proxy| Client::new(port(proxy), DOMAIN, &stage.root)).collect()
}

/// New TLS 1.3 connections that the proxy ends and passes on over TLS to the instance.
pub(super) async fn terminated(rounds: usize) -> Result<Vec<Figure>> {
    let stage = Stage::set().await?;
    let tallies =
        in_turns(&stage, &clients(&stage, |proxy| proxy.terminated)?, What::Connections, rounds).await?;
    let mut all = figures("gateway-terminate", &stage, &tallies);
    if let Some(ratio) = ratio(&stage, &tallies, "haproxy", |t| &t.per_second) {
        all.push(Figure::new("gateway-terminate-rate-ratio-haproxy", ratio, "x").at_least(1.3));
    }
    if let Some(ratio) = ratio(&stage, &tallies, "nginx", |t| &t.cpu_ms) {
        all.push(Figure::new("gateway-terminate-cpu-ratio-nginx", ratio, "x").at_most(0.7));
    }
    all.push(added_latency(&stage, &tallies).await?);
    all.extend(with_less(&stage).await?);
    Ok(all)
}

/// What the peers do when they do less: the gateway never passes on without TLS, nor one client's words over a connection that
/// was another's.
async fn with_less(stage: &Stage) -> Result<Vec<Figure>> {
    let mut all = Vec::new();
    for proxy in &stage.proxies {
        for (what, at) in &proxy.others {
            let client = Client::new(*at, DOMAIN, &stage.root)?;
            client.connections(AT_ONCE, TURN).await?;
            let mut tally = Tally::default();
            for _ in 0..3 {
                let before = proxy.cpu()?;
                let took = client.connections(AT_ONCE, TURN).await?;
                tally.add(&took, proxy.cpu()? - before);
            }
            let name = format!("{}-{what}", proxy.name);
            all.push(Figure::new(format!("{name}-per-second"), median(&tally.per_second), "1/s"));
            all.push(Figure::new(format!("{name}-cpu"), median(&tally.cpu_ms), "ms"));
        }
    }
    Ok(all)
}

/// What the gateway adds at the 99th percentile to a connection that goes to the backend without it.
async fn added_latency(stage: &Stage, tallies: &[Tally]) -> Result<Figure> {
    let direct = Client::new(stage.backend.tls, DOMAIN, &stage.backend_root)?;
    let mut direct_ms = Vec::new();
    for _ in 0..3 {
        direct_ms.push(p99(&direct.connections(AT_ONCE, TURN).await?).as_secs_f64() * 1e3);
    }
    let own = tallies.first().map(|tally| median(&tally.p99_ms)).unwrap_or_default();
    Ok(Figure::new("gateway-terminate-added-p99", own - median(&direct_ms), "ms"))
}

/// New connections whose TLS passes through, and what one of them carries.
pub(super) async fn passthrough(rounds: usize) -> Result<Vec<Figure>> {
    let stage = Stage::set().await?;
    let client = |proxy: &Proxy| Client::new(proxy.passthrough, &passthrough_name(), &stage.backend_root);
    let clients = stage.proxies.iter().map(client).collect::<Result<Vec<_>>>()?;
    let tallies = in_turns(&stage, &clients, What::Connections, rounds).await?;
    let mut all = figures("gateway-passthrough", &stage, &tallies);
    if let Some(ratio) = ratio(&stage, &tallies, "haproxy", |t| &t.per_second) {
        all.push(Figure::new("gateway-passthrough-rate-ratio-haproxy", ratio, "x").at_least(1.0));
    }
    let mut rates: Vec<_> = clients.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for _ in 0..rounds {
        for ((client, proxy), (mib, cpu)) in clients.iter().zip(&stage.proxies).zip(&mut rates) {
            let before = proxy.cpu()?;
            mib.push(client.throughput().await? / f64::from(1 << 20));
            cpu.push((proxy.cpu()? - before) * 1e3);
        }
    }
    let of = |name| stage.find(name).and_then(|i| rates.get(i)).map(|(mib, cpu)| (median(mib), median(cpu)));
    let (own, own_cpu) = of("gateway").context("gateway")?;
    for peer in ["nginx", "haproxy"] {
        let Some((theirs, their_cpu)) = of(peer) else { continue };
        all.push(Figure::new(format!("gateway-throughput-beside-{peer}"), own, "MiB/s").beside(peer, theirs));
        all.push(
            Figure::new(format!("gateway-throughput-cpu-beside-{peer}"), own_cpu, "ms")
                .beside(peer, their_cpu),
        );
        let figure = Figure::new(format!("gateway-throughput-ratio-{peer}"), own / theirs, "x");
        all.push(if peer == "haproxy" { figure.at_least(0.9) } else { figure });
    }
    Ok(all)
}

/// Requests on connections that stay open.
pub(super) async fn keepalive(rounds: usize) -> Result<Vec<Figure>> {
    let stage = Stage::set().await?;
    let tallies = in_turns(&stage, &clients(&stage, |proxy| proxy.kept)?, What::Requests, rounds).await?;
    let mut all = figures("gateway-keepalive", &stage, &tallies);
    if let Some(ratio) = ratio(&stage, &tallies, "nginx", |t| &t.per_second) {
        all.push(Figure::new("gateway-keepalive-rate-ratio-nginx", ratio, "x").at_least(0.9));
    }
    Ok(all)
}
