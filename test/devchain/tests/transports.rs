// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same story through every transport: in process, HTTP, WebSocket.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::time::Duration;

use alloy::{
    eips::BlockId,
    network::EthereumWallet,
    primitives::{B256, Bytes, U256},
    providers::{Provider, ProviderBuilder, WsConnect},
    rpc::types::{Filter, TransactionRequest},
};
use common::{START, TOPIC, chain, deploy, load, send, store};
use futures::StreamExt as _;
use mandate_devchain::DevChain;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn wallet(chain: &DevChain) -> EthereumWallet {
    EthereumWallet::from(chain.signers()[0].clone())
}

/// Deploys, stores, loads, looks at the past, reverts.
async fn story(provider: impl Provider) {
    provider.client().set_poll_interval(Duration::from_millis(10));
    let contract = deploy(&provider).await;
    let first = send(&provider, store(contract, 5)).await;
    let second = send(&provider, store(contract, 6)).await;
    assert!(first.status() && second.status());

    let word = |value: u64| Bytes::from(U256::from(value).to_be_bytes_vec());
    assert_eq!(provider.call(load(contract)).await.unwrap(), word(6));
    let past = BlockId::from(first.block_hash.unwrap());
    assert_eq!(provider.call(load(contract)).block(past).await.unwrap(), word(5));
    let past = BlockId::from(first.block_number.unwrap());
    assert_eq!(provider.get_storage_at(contract, U256::ZERO).block_id(past).await.unwrap(), U256::from(5));

    let logs = provider.get_logs(&Filter::new().address(contract).from_block(0)).await.unwrap();
    assert_eq!(logs.len(), 2);
    assert_eq!(logs[1].topics(), [TOPIC, U256::from(6)].map(B256::from));
    assert_eq!(logs[1].transaction_hash, Some(second.transaction_hash));
    assert_eq!(logs[1].block_timestamp, Some(START + second.block_number.unwrap()));

    let refused = load(contract).input(Bytes::from_static(b"no").into());
    let error = provider.call(refused).await.unwrap_err();
    let payload = error.as_error_resp().unwrap();
    assert_eq!((payload.code, payload.message.as_ref()), (3, "execution reverted"));
    assert_eq!(payload.as_revert_data().unwrap().as_ref(), b"no");
}

#[tokio::test]
async fn provider_works_in_process() {
    story(chain().wallet_provider()).await;
}

#[tokio::test]
async fn provider_works_over_http() {
    let chain = chain();
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let builder = ProviderBuilder::new().with_simple_nonce_management().wallet(wallet(&chain));
    story(builder.connect_http(server.http_url().parse().unwrap())).await;
    server.shutdown().await;
}

#[tokio::test]
async fn provider_works_over_websocket_with_default_fillers() {
    let chain = chain();
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let builder = ProviderBuilder::new().wallet(wallet(&chain));
    story(builder.connect_ws(WsConnect::new(server.ws_url())).await.unwrap()).await;
}

#[tokio::test]
async fn subscriptions_tell_heads_logs_and_removed_logs_in_order() {
    let chain = chain();
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let local = chain.wallet_provider();
    let contract = deploy(&local).await;
    let ws = ProviderBuilder::new().connect_ws(WsConnect::new(server.ws_url())).await.unwrap();
    let filter = Filter::new().address(contract);
    let mut heads = ws.subscribe_blocks().await.unwrap().into_stream();
    let mut logs = ws.subscribe_logs(&filter).await.unwrap().into_stream();
    let mut pending = ws.subscribe_pending_transactions().await.unwrap().into_stream();

    let receipt = send(&local, store(contract, 1)).await;
    let head = timeout(PATIENCE, heads.next()).await.unwrap().unwrap();
    assert_eq!((head.number, head.hash), (2, receipt.block_hash.unwrap()));
    assert_eq!(head.inner.hash_slow(), head.hash);
    let log = timeout(PATIENCE, logs.next()).await.unwrap().unwrap();
    assert_eq!((log.removed, log.topics()[1]), (false, U256::ONE.into()));
    assert_eq!(timeout(PATIENCE, pending.next()).await.unwrap().unwrap(), receipt.transaction_hash);

    let from = chain.accounts()[1];
    chain.reorg(1, vec![vec![store(contract, 9).from(from).into()]]).unwrap();
    let gone = timeout(PATIENCE, logs.next()).await.unwrap().unwrap();
    assert_eq!((gone.removed, gone.block_hash), (true, receipt.block_hash));
    let come = timeout(PATIENCE, logs.next()).await.unwrap().unwrap();
    assert_eq!((come.removed, come.topics()[1]), (false, U256::from(9).into()));
    let head = timeout(PATIENCE, heads.next()).await.unwrap().unwrap();
    assert_eq!((head.number, head.hash), (2, chain.head().hash()));
}

#[tokio::test]
async fn subscription_hears_nothing_from_before_it() {
    let chain = chain();
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let ws = ProviderBuilder::new().connect_ws(WsConnect::new(server.ws_url())).await.unwrap();
    chain.mine(3);
    let mut heads = ws.subscribe_blocks().await.unwrap().into_stream();
    chain.mine(1);
    assert_eq!(timeout(PATIENCE, heads.next()).await.unwrap().unwrap().number, 4);
}

#[tokio::test]
async fn shutdown_closes_websockets_and_frees_the_port() {
    let chain = chain();
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = server.address();
    let ws =
        ProviderBuilder::new().connect_ws(WsConnect::new(server.ws_url()).with_max_retries(0)).await.unwrap();
    let mut heads = ws.subscribe_blocks().await.unwrap().into_stream();
    timeout(PATIENCE, server.shutdown()).await.unwrap();
    chain.mine(1);
    assert!(timeout(PATIENCE, heads.next()).await.unwrap().is_none());
    timeout(PATIENCE, chain.serve(address)).await.unwrap().unwrap();
}

#[tokio::test]
async fn taken_port_is_an_error_that_names_it() {
    let chain = chain();
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let error = chain.serve(server.address()).await.unwrap_err();
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
}

async fn post(server: &mandate_devchain::Server, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head =
        format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may refuse by the length alone and hang up.
    let _written = stream.write_all(body).await;
    let mut answer = String::new();
    let _read = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn http_answers_batches_garbage_and_oversized_bodies() {
    let chain = chain();
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let batch = br#"[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","id":2,"method":"x"}]"#;
    let answer = post(&server, batch).await;
    assert!(answer.contains(r#""result":"0x7a69""#) && answer.contains("-32601"), "{answer}");
    assert!(post(&server, b"\xff\xfe{").await.contains("-32700"));
    assert!(post(&server, b"").await.contains("-32700"));
    assert!(post(&server, &vec![b'['; 200_000]).await.contains("-32700"));
    assert!(post(&server, &vec![b' '; 9 << 20]).await.starts_with("HTTP/1.1 413"));
    let request = TransactionRequest::default().to(chain.accounts()[0]);
    let http = ProviderBuilder::new().connect_http(server.http_url().parse().unwrap());
    assert_eq!(http.estimate_gas(request).await.unwrap(), 21_000);
}
