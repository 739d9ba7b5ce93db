// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is served while there is a secret, and that nothing is when it is another one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{net::SocketAddr, time::Duration};

use alloy::primitives::{Address, FixedBytes};
use axum::{Json, routing::post};
use mandate_model::{outcome::Outcome, wire::gateway::RegisterRequest};
use mandate_runtime::http::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    config::ChainConfig,
    ingress::{
        scripted::{DEPLOYED, DOMAIN, DevQuoter, World, pki},
        server::tests::{app, connect},
    },
};

struct Rig {
    world: World,
    states: watch::Sender<KeyState>,
    address: SocketAddr,
}

/// A gateway that takes everybody in.
async fn gateway(world: &World) -> String {
    let register = async |Json(_): Json<RegisterRequest>| {
        let outcome = Outcome::Allowed { valid_until: u64::MAX };
        Json(RegisterResponse {
            outcome,
            names: Vec::new(),
            lease: 600,
            certificates: Vec::new(),
            elsewhere: Vec::new(),
        })
    };
    let listener = world.ambient.net.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(
        listener,
        axum::Router::new().route("/v1/register", post(register)),
        Default::default(),
    ));
    url
}

/// Ingress mode that has no secret yet; nobody is at its authority, nor at its gateway unless there is to be one.
async fn rig(with_gateway: bool) -> Rig {
    let world = World::new(app().await, None);
    let mut config = (*world.config).clone();
    if with_gateway {
        config.gateways = vec![gateway(&world).await];
    }
    let chain = ChainConfig {
        chain_id: DEPLOYED.chain_id,
        kms_auth: DEPLOYED.kms_auth,
        committee: Address::repeat_byte(1),
        group_key: FixedBytes::ZERO,
    };
    let agent = Config {
        socket: Default::default(),
        operations: None,
        relayers: Vec::new(),
        generation: 0,
        retry: Default::default(),
        lease: Duration::from_secs(3_600),
        chain,
        app: Default::default(),
        evidence: None,
        ingress: None,
        log: Default::default(),
    };
    let quoter = Arc::new(DevQuoter(pki()));
    let (ambient, health) = (world.ambient.clone(), world.health.clone());
    let ingress = Ingress::bind(config, &agent, ambient, quoter, health).await.unwrap();
    let (states, keys) = watch::channel(KeyState::Waiting("nobody has been asked".to_owned()));
    let address = ingress.address();
    tokio::spawn(ingress.run(keys, CancellationToken::new()));
    Rig { world, states, address }
}

impl Rig {
    /// Waits until the problems are as they should be.
    async fn until(&self, is_so: impl Fn(&str) -> bool) -> String {
        loop {
            let problems = self.world.health.problems().join("; ");
            if is_so(&problems) {
                return problems;
            }
            tokio::task::yield_now().await;
        }
    }

    fn hold(&self) {
        self.states.send_replace(KeyState::Held(Arc::clone(&self.world.held)));
    }
}

#[tokio::test]
async fn nothing_is_ordered_before_a_gateway_has_a_route_and_each_says_what_it_lacks() {
    let rig = rig(false).await;
    rig.until(|problems| problems.contains("secret is not there yet")).await;
    rig.hold();
    let problems = rig.until(|problems| problems.contains("127.0.0.1:1/v1/register")).await;
    assert!(problems.contains(&format!("{DOMAIN}: no certificate yet")), "{problems}");
    assert!(!problems.contains("secret"), "{problems}");
}

#[tokio::test]
async fn certificate_is_ordered_once_a_gateway_has_a_route() {
    let rig = rig(true).await;
    rig.hold();
    // Nobody is there, but it was tried.
    let problems = rig.until(|problems| problems.contains("127.0.0.1:1/dir")).await;
    assert!(!problems.contains("no route"), "{problems}");
}

#[tokio::test]
async fn g6_connections_of_a_secret_end_with_it_whatever_follows() {
    let rig = rig(true).await;
    let other = World::with_secret([6; 32], rig.world.config.forward, None);
    let next = [KeyState::Held(Arc::clone(&other.held)), KeyState::Waiting("denied at block 7".to_owned())];
    for state in next {
        rig.hold();
        rig.until(|problems| problems.contains(DOMAIN)).await;
        let mut stream = loop {
            if let Ok(stream) = connect(rig.address, "id.gw.test", &[b"http/1.1"]).await {
                break stream;
            }
        };
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        rig.states.send_replace(state);
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        drop(ended.expect("the connection stays open"));
    }
    // And nothing is said of domains and gateways that nobody serves.
    let problems = rig.until(|problems| problems.contains("denied at block 7")).await;
    assert_eq!(problems, "ingress: secret: denied at block 7");
    connect(rig.address, "id.gw.test", &[b"http/1.1"]).await.unwrap_err();
}
