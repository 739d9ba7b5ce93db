// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Releases of one node, beside a service with one key.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256};
use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use mandate_attestation::Quoter;
use mandate_model::wire::kms::{NodeNonce, NonceResponse, ReleaseRequest, ReleaseResponse};
use mandate_runtime::{http::Client, net::TcpNet};
use mandate_threshold::SealingKey;
use tokio_util::sync::CancellationToken;

use super::{single, town::Town};
use crate::bench::Figure;

/// Requests that are asked one after the other of the one and of the other, so that noise meets both.
const ROUND: usize = 100;
/// Requests under way at a time: enough for both cores.
const AT_ONCE: usize = 8;
/// As on Ethereum: the proofs that are kept must be of use beyond one block.
const BLOCK: Duration = Duration::from_secs(12);
const TARGET: f64 = 0.8;

pub(in crate::bench) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let town = Town::found(1).await?;
    town.genesis().await?;
    let app = town.register(1).await?.remove(0);
    town.chain.mine_every(BLOCK)?;
    let stop = CancellationToken::new();
    let asking = Asking {
        client: Client::new(std::sync::Arc::new(TcpNet)).timeout(Duration::from_secs(30)),
        node: town.nodes.first().map(|node| node.url()).unwrap_or_default(),
        single: single::start(&town, stop.clone()).await?,
        town: &town,
        app,
    };
    // The first round finds nothing in any cache.
    asking.round().await?;
    let (mut node, mut peer) = (Duration::ZERO, Duration::ZERO);
    let rounds = samples.div_ceil(ROUND);
    for _ in 0..rounds {
        let (of_node, of_peer) = asking.round().await?;
        node += of_node;
        peer += of_peer;
    }
    stop.cancel();
    town.shutdown().await;
    let rate = |took: Duration| (rounds * ROUND) as f64 / took.as_secs_f64();
    Ok(vec![
        Figure::new("kms-rate.releases", rate(node), "releases/s").beside("single-key", rate(peer)),
        Figure::new("kms-rate.ratio", rate(node) / rate(peer), "x single-key").at_least(TARGET),
    ])
}

struct Asking<'a> {
    client: Client,
    node: String,
    single: String,
    town: &'a Town,
    app: Address,
}

impl Asking<'_> {
    /// The same requests to both, made before the clock runs: their evidence is the guest's work.
    async fn round(&self) -> Result<(Duration, Duration)> {
        let mut requests = Vec::with_capacity(ROUND);
        for _ in 0..ROUND {
            requests.push(self.request().await?);
        }
        let begin = Instant::now();
        self.ask_all(&requests, |request| self.release(request)).await?;
        let node = begin.elapsed();
        let begin = Instant::now();
        self.ask_all(&requests, |request| self.derive(request)).await?;
        Ok((node, begin.elapsed()))
    }

    async fn ask_all<'r, F: Future<Output = Result<()>>>(
        &self,
        requests: &'r [ReleaseRequest],
        ask: impl Fn(&'r ReleaseRequest) -> F,
    ) -> Result<()> {
        stream::iter(requests).map(ask).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<()> {
        let answer: ReleaseResponse =
            self.client.post_json(&format!("{}/v1/release", self.node), request).await?;
        ensure!(answer.partial().is_some(), "the node gives nothing: {}", answer.outcome);
        Ok(())
    }

    async fn derive(&self, request: &ReleaseRequest) -> Result<()> {
        let secret: B256 = self.client.post_json(&format!("{}/v1/release", self.single), request).await?;
        ensure!(!secret.is_zero(), "no secret");
        Ok(())
    }

    async fn request(&self) -> Result<ReleaseRequest> {
        let url = format!("{}/v1/nonce", self.node);
        let answer: NonceResponse = self.client.post_json(&url, &serde_json::json!({})).await?;
        let mut request = ReleaseRequest {
            chain_id: self.town.deployment.chain_id,
            kms_auth: self.town.deployment.kms_auth,
            generation: 0,
            epoch: 0,
            transport_key: B256::from(SealingKey::from_seed(answer.nonce.0).public()),
            nonces: vec![NodeNonce { node: answer.node, nonce: answer.nonce }],
            wish: Default::default(),
            evidence: Default::default(),
        };
        let evidence = self.town.guest(self.app).evidence(request.report_data()).await?;
        request.evidence = evidence.encode().into();
        Ok(request)
    }
}
