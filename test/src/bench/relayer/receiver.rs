// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A gateway's endpoint that notes what reaches it and when.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use alloy::primitives::Address;
use anyhow::Result;
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use mandate_model::wire::kms::RevocationNotice;
use tokio::{net::TcpListener, sync::Notify};

#[derive(Debug, Default)]
struct Noted {
    by_block: Mutex<HashMap<u64, Vec<(Address, Instant)>>>,
    bell: Notify,
}

/// Counts revocations that a gateway is told, by the block that caused them.
#[derive(Debug, Clone, Default)]
pub(super) struct Receiver(Arc<Noted>);

impl Receiver {
    /// Serves on a free port of loopback; gives the base URL. Below it, `/node` takes what nodes are told and counts nothing.
    pub(super) async fn serve(&self) -> Result<String> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/v1/revocations", post(noted))
            .route("/node/{turn}/v1/revocations", post(|| async { StatusCode::OK }))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }

    /// Waits for the notice of a block; gives when the first of it came.
    pub(super) async fn first_of(&self, block: u64) -> Instant {
        loop {
            let mut rung = pin!(self.0.bell.notified());
            // Whoever rings between the look and the wait is heard.
            rung.as_mut().enable();
            if let Some(first) = self.first(block) {
                return first;
            }
            rung.await;
        }
    }

    fn first(&self, block: u64) -> Option<Instant> {
        let by_block = self.0.by_block.lock().unwrap_or_else(PoisonError::into_inner);
        by_block.get(&block).and_then(|notices| notices.first()).map(|(_, at)| *at)
    }

    /// How many notices came, and how many of them are of another block or app than all before.
    pub(super) fn counts(&self) -> (usize, usize) {
        let by_block = self.0.by_block.lock().unwrap_or_else(PoisonError::into_inner);
        let distinct = |notices: &Vec<(Address, Instant)>| {
            notices.iter().map(|(app, _)| app).collect::<HashSet<_>>().len()
        };
        (by_block.values().map(Vec::len).sum(), by_block.values().map(distinct).sum())
    }
}

async fn noted(State(receiver): State<Receiver>, Json(notice): Json<RevocationNotice>) -> StatusCode {
    let now = Instant::now();
    let mut by_block = receiver.0.by_block.lock().unwrap_or_else(PoisonError::into_inner);
    by_block.entry(notice.block_number).or_default().push((notice.app, now));
    drop(by_block);
    receiver.0.bell.notify_waiters();
    StatusCode::OK
}
