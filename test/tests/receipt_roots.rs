// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A node's receipts reach the chain through a relayer, and the contract proves one of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, U256, aliases::U40, hex},
    providers::Provider,
    transports::BoxTransport,
};
use mandate_attestation::dev_pki::{Defect, DevGuest, DevPki};
use mandate_devchain::{Config as ChainSettings, DevChain};
use mandate_kms::{Config as NodeConfig, Node, NodeKeys, Outside, config::ChainConfig};
use mandate_model::{
    bindings::{AppAuth, DomainRegistry, KmsAuth, KmsCommittee, Node as Registered, ReceiptAnchor},
    deployment::Deployment,
    receipt::Receipt,
    receipt_tree, signed,
    wire::kms::{NodeNonce, NonceResponse, ReleaseRequest, ReleaseResponse},
};
use mandate_relayer::{
    Config as RelayerConfig, Service,
    chain::{EndpointSource, Endpoints},
};
use mandate_runtime::{Ambient, Clock, clock::SystemClock, config::Secret, http::Client, net::TcpNet};
use tokio_util::sync::CancellationToken;

fn loopback() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn deploy(chain: &DevChain) -> Deployment {
    let (wallet, owner) = (chain.wallet_provider(), chain.accounts()[0]);
    let implementation = *AppAuth::deploy(&wallet).await.unwrap().address();
    let kms_auth = KmsAuth::deploy(&wallet, implementation, owner, owner, U40::ZERO).await.unwrap();
    let committee =
        *KmsCommittee::deploy(&wallet, owner, owner, U40::ZERO, U40::ZERO).await.unwrap().address();
    let registry = DomainRegistry::deploy(&wallet, *kms_auth.address(), owner).await.unwrap();
    let anchor = *ReceiptAnchor::deploy(&wallet, committee).await.unwrap().address();
    Deployment {
        chain_id: chain.chain_id(),
        kms_auth: *kms_auth.address(),
        app_implementation: implementation,
        committee,
        domain_registry: *registry.address(),
        role_council: owner,
        governance_factory: None,
        receipt_anchor: Some(anchor),
        genesis_block: 1,
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < patience, "{what} never happened");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A request whose evidence proves nothing: it is denied, and the denial leaves a receipt.
async fn deny(client: &Client, node: &str, chain_id: u64, kms_auth: Address) {
    let answer: NonceResponse =
        client.post_json(&format!("{node}/v1/nonce"), &serde_json::json!({})).await.unwrap();
    let mut request = ReleaseRequest {
        chain_id,
        kms_auth,
        generation: 0,
        epoch: 0,
        transport_key: B256::repeat_byte(9),
        nonces: vec![NodeNonce { node: answer.node, nonce: answer.nonce }],
        wish: Default::default(),
        evidence: Default::default(),
    };
    let guest = DevGuest::new(Address::ZERO, B256::repeat_byte(1)).with_defect(Defect::TamperedQuote);
    let now = SystemClock::new().unix();
    let pki = DevPki::from_seed([9; 32]);
    request.evidence = pki.evidence(&guest, request.report_data(), now).encode().into();
    let response: ReleaseResponse = client.post_json(&format!("{node}/v1/release"), &request).await.unwrap();
    assert!(response.receipt.is_some(), "{}", response.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_receipts_of_a_node_are_anchored_by_a_relayer_and_proven_by_the_contract() {
    let chain =
        DevChain::new(ChainSettings { finalized_lag: 2, safe_lag: 1, ..ChainSettings::default() }).unwrap();
    let deployment = deploy(&chain).await;
    let (dir, wallet) = (tempfile::tempdir().unwrap(), chain.wallet_provider());
    let keys = NodeKeys::from_seed([1; 32]).unwrap();

    // The relayer's port is known before the node's, which must be on chain before the relayer asks it.
    let mut config = RelayerConfig::new(
        loopback(),
        deployment.clone(),
        "http://127.0.0.1:1",
        dir.path().join("relayer.sqlite"),
    );
    config.chain.poll = Duration::from_millis(20);
    config.effects.anchor_every = Duration::from_secs(1);
    let payer = chain.signers().pop().unwrap();
    config.signer.key = Some(Secret::new(hex::encode(payer.to_bytes())));
    let source = EndpointSource {
        name: "chain".to_owned(),
        transport: BoxTransport::new(chain.clone()),
        requests_per_second: None,
    };
    let endpoints =
        Endpoints::of_transports(vec![source], &config.chain, chain.chain_id(), Ambient::system()).unwrap();
    let relayer = Service::start(config, Ambient::system(), endpoints).await.unwrap();
    let relayer_url = format!("http://{}", relayer.address());

    let mut settings = ChainConfig::development(chain.chain_id(), deployment.kms_auth, deployment.committee);
    settings.receipt_anchor = deployment.receipt_anchor;
    let config = NodeConfig::development(loopback(), dir.path().join("node"), relayer_url, settings);
    let registered = Registered {
        nodeKey: keys.address(),
        operator: chain.accounts()[0],
        dealingKey: keys.dealing_public(),
        sealingKey: keys.sealing_public(),
        url: String::new(),
        evidenceDigest: B256::ZERO,
        admittedFrom: U40::ZERO,
        expiresAt: U40::from(chain.now() + 1_000_000),
        attestedUntil: U40::ZERO,
    };
    let outside = Outside {
        ambient: Ambient::system(),
        providers: vec![chain.provider().erased()],
        verifier: DevPki::from_seed([9; 32]).trust_anchors().into(),
        quoter: None,
    };
    let node = Node::start_with_keys(config, keys, outside).await.unwrap();
    let committee = KmsCommittee::new(deployment.committee, &wallet);
    let registered = Registered { url: node.url(), ..registered };
    let admitted = committee.admitNode(registered).send().await.unwrap().get_receipt().await.unwrap();
    assert!(admitted.status());

    let stop = CancellationToken::new();
    let running = tokio::spawn(relayer.run(stop.clone()));
    let client = Client::new(Arc::new(TcpNet)).timeout(Duration::from_secs(60));
    for _ in 0..5 {
        deny(&client, &node.url(), chain.chain_id(), deployment.kms_auth).await;
    }
    let anchor = ReceiptAnchor::new(deployment.receipt_anchor.unwrap(), &wallet);
    eventually("a root over all receipts", || async {
        chain.mine(1);
        anchor.latest(node.node()).call().await.unwrap().count == 5
    })
    .await;

    let receipts: Vec<Receipt> = client.get_json(&format!("{}/v1/receipts", node.url())).await.unwrap();
    let domain = signed::domain(chain.chain_id(), deployment.committee);
    let hashes: Vec<B256> = receipts.iter().map(|receipt| receipt.hash(&domain)).collect();
    let roots = anchor.anchorCount(node.node()).call().await.unwrap();
    let (index, proof) = (roots - U256::from(1), receipt_tree::proof(&hashes, 3).unwrap());
    let verify = anchor.verify(node.node(), index, hashes[3], proof.clone());
    assert!(verify.call().await.unwrap());
    assert!(!anchor.verify(node.node(), index, hashes[2], proof).call().await.unwrap());
    stop.cancel();
    running.await.unwrap();
    node.shutdown().await;
}
