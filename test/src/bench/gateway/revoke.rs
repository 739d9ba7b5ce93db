// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the relayer's message to the last byte on connections that are carrying data.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use anyhow::{Context, Result};
use mandate_model::wire::{gateway::RevocationEffect, kms::RevocationNotice};
use mandate_runtime::{Ambient, http::Client as Http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    backend::Backend,
    load::Client,
    role::{self, APP, DOMAIN, Permissive},
};
use crate::bench::{Figure, Times};

const TARGET_MS: f64 = 100.0;
/// Connections that are open at a time.
const LIVE: usize = 50;

/// So many connections in all.
pub(super) async fn measure(connections: usize) -> Result<Vec<Figure>> {
    let mut took = Vec::new();
    while took.len() < connections {
        took.extend(one_revocation().await?);
    }
    let times = Times::new(took);
    Ok(vec![
        Figure::ms("gateway-revoke-p50", times.p50()),
        Figure::ms("gateway-revoke-p99", times.p99()).at_most(TARGET_MS),
    ])
}

async fn one_revocation() -> Result<Vec<std::time::Duration>> {
    let dir = tempfile::tempdir()?;
    let root = role::authority(dir.path())?;
    let backend = Backend::start(dir.path()).await?;
    let chain = Arc::new(Permissive::default());
    let gateway = role::gateway(dir.path(), Arc::clone(&chain)).await?;
    role::settle(gateway.api_addr, &backend.spki, backend.tls).await?;
    let client = Client::new(gateway.tls_addr, DOMAIN, &root)?;
    let mut readers = Vec::new();
    for _ in 0..LIVE {
        let mut stream = client.connect().await?;
        client.ask(&mut stream).await?;
        readers.push(tokio::spawn(async move {
            let mut last = Instant::now();
            let mut byte = [0; 1024];
            // Asks on and on, so that bytes move until the end.
            while stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.is_ok() {
                match stream.read(&mut byte).await {
                    Ok(1..) => last = Instant::now(),
                    _ => break,
                }
            }
            last
        }));
    }
    chain.denies.store(true, Ordering::SeqCst);
    let notice = RevocationNotice { app: APP, code_hashes: Vec::new(), block_number: 1 };
    let sent = Instant::now();
    let http = Http::new(Ambient::system().net);
    let effect: RevocationEffect =
        http.post_json(&format!("http://{}/v1/revocations", gateway.api_addr), &notice).await?;
    anyhow::ensure!(effect.closed == 1, "{effect:?}");
    let mut took = Vec::new();
    for reader in readers {
        took.push(reader.await.context("a client panicked")?.saturating_duration_since(sent));
    }
    gateway.shutdown().await;
    Ok(took)
}
