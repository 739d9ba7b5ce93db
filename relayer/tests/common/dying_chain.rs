// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An endpoint whose broadcasts are deeds of a life, and receivers that are.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use alloy::{
    primitives::{Address, B256},
    providers::{DynProvider, Provider, RootProvider},
    rpc::{
        client::RpcClient,
        json_rpc::{RequestPacket, ResponsePacket},
    },
    transports::{BoxTransport, TransportError, TransportErrorKind, TransportFut},
};
use axum::{Router, extract::State, routing::post};
use mandate_devchain::DevChain;
use mandate_model::wire::{
    gateway::{DomainOrder, IssuedCertificate},
    kms::RevocationNotice,
};
use mandate_relayer::chain::Endpoints;
use mandate_runtime::{
    Ambient,
    http::{ApiError, ApiJson, serve},
    net::{Net, TcpNet},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{
    World,
    dying::{Fate, Life},
};

/// The chain as a process sees it that dies at one of its deeds.
#[derive(Clone)]
pub struct DyingChain {
    chain: DevChain,
    life: Life,
}

impl DyingChain {
    pub fn provider(chain: &DevChain, life: &Life) -> DynProvider {
        let transport = Self { chain: chain.clone(), life: life.clone() };
        RootProvider::<alloy::network::Ethereum>::new(RpcClient::new(transport, true)).erased()
    }
}

impl DyingChain {
    pub fn endpoints(world: &World, life: &Life) -> Endpoints {
        let transport = Self { chain: world.chain.clone(), life: life.clone() };
        world.endpoints_of(vec![("chain", BoxTransport::new(transport))], 1, Ambient::system())
    }
}

impl Service<RequestPacket> for DyingChain {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let dead = || Err(TransportErrorKind::custom_str("the process died"));
        let sends = matches!(&packet, RequestPacket::Single(r) if r.method() == "eth_sendRawTransaction");
        match if sends { self.life.deed("eth_sendRawTransaction") } else { Fate::Done } {
            Fate::Done => self.chain.call(packet),
            Fate::Undone => Box::pin(async move { dead() }),
            Fate::Unnoticed => {
                let sent = self.chain.call(packet);
                Box::pin(async move { sent.await.and_then(|_| dead()) })
            }
        }
    }
}

/// A node or gateway: keeps what it is told, and how often.
#[derive(Clone)]
pub struct Receiver {
    pub notices: Arc<Mutex<Vec<RevocationNotice>>>,
    pub orders: Arc<Mutex<Vec<DomainOrder>>>,
    pub app: Address,
    /// The life of whoever sends.
    pub life: Arc<Mutex<Life>>,
}

impl Receiver {
    pub fn new() -> Self {
        let life = Arc::new(Mutex::new(Life::endless()));
        Self { notices: Arc::default(), orders: Arc::default(), app: Address::ZERO, life }
    }

    /// Serves on a port of its own; gives the base URL.
    pub async fn serve(&self) -> String {
        let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/revocations", post(noted))
            .route("/v1/grants", post(async || ()))
            .route("/v1/domains", post(ordered))
            .with_state(self.clone());
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        url
    }

    fn take<T>(&self, what: &'static str, kept: &Mutex<Vec<T>>, said: T) -> Result<(), ApiError> {
        let fate = self.life.lock().unwrap().deed(what);
        if fate != Fate::Undone {
            kept.lock().unwrap().push(said);
        }
        match fate {
            Fate::Done => Ok(()),
            _ => Err(ApiError::unavailable("the sender died")),
        }
    }
}

async fn noted(
    State(receiver): State<Receiver>,
    ApiJson(notice): ApiJson<RevocationNotice>,
) -> Result<ApiJson<Vec<String>>, ApiError> {
    receiver.take("POST /v1/revocations", &receiver.notices, notice)?;
    Ok(ApiJson(Vec::new()))
}

async fn ordered(
    State(receiver): State<Receiver>,
    ApiJson(order): ApiJson<DomainOrder>,
) -> Result<ApiJson<IssuedCertificate>, ApiError> {
    let fingerprint = alloy::primitives::keccak256(&order.name);
    receiver.take("POST /v1/domains", &receiver.orders, order.clone())?;
    Ok(ApiJson(IssuedCertificate {
        name: order.name,
        app: receiver.app,
        issuer: "ca.example".to_owned(),
        account_uri: "https://ca.example/acct/1".to_owned(),
        fingerprint,
        spki_hash: B256::repeat_byte(0xf2),
        not_after: 4_000_000_000,
    }))
}
