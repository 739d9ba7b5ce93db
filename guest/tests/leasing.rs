// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent proves itself again before each lease is over, and serves nothing after one that it could not renew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{sync::Arc, time::Duration};

use alloy::primitives::FixedBytes;
use mandate_guest::{
    Config, Service,
    agent::{GetKeyAnswer, GetTlsKeyAnswer, Held, KeyState},
    config::{AppConfig, ChainConfig, LogConfig, RetryConfig},
};
use mandate_runtime::{
    Ambient, Clock,
    clock::ManualClock,
    http::{Client, HttpError},
};
use serde_json::json;
use support::{Manner, World, ambient, quoter};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use x509_parser::prelude::{FromDer, X509Certificate, parse_x509_pem};

const LEASE: Duration = Duration::from_secs(3_600);
const NOW: u64 = 1_790_000_000;

struct Leased {
    world: World,
    clock: Arc<ManualClock>,
    client: Client,
    keys: watch::Receiver<KeyState>,
    _dir: tempfile::TempDir,
    _stop: DropGuard,
}

impl Leased {
    async fn start() -> Self {
        let world = World::start(&[Manner::Honest; 4]).await;
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            socket: dir.path().join("dstack.sock"),
            operations: None,
            relayers: vec![world.relayer.clone()],
            generation: 0,
            lease: LEASE,
            retry: RetryConfig::default(),
            chain: ChainConfig {
                chain_id: world.pinned.chain_id,
                kms_auth: world.pinned.kms_auth,
                committee: world.pinned.committee,
                group_key: FixedBytes(world.pinned.group_key),
            },
            app: AppConfig { name: "shop".to_owned(), compose: None },
            evidence: None,
            ingress: None,
            log: LogConfig::default(),
        };
        let clock = Arc::new(ManualClock::new(NOW));
        let ambient = Ambient { clock: clock.clone(), ..ambient() };
        let client = Client::unix(config.socket.clone());
        let service = Service::start(config, ambient, Arc::new(quoter())).await.unwrap();
        let (stop, keys) = (CancellationToken::new(), service.keys());
        tokio::spawn(service.run(stop.clone()));
        let mut leased = Self { world, clock, client, keys, _dir: dir, _stop: stop.drop_guard() };
        leased.until_held().await;
        leased
    }

    async fn until_held(&mut self) -> Arc<Held> {
        match &*self.keys.wait_for(|state| matches!(state, KeyState::Held(_))).await.unwrap() {
            KeyState::Held(held) => Arc::clone(held),
            KeyState::Waiting(why) => panic!("{why}"),
        }
    }

    async fn until_lost(&mut self) -> String {
        match &*self.keys.wait_for(|state| matches!(state, KeyState::Waiting(_))).await.unwrap() {
            KeyState::Waiting(why) => why.clone(),
            KeyState::Held(_) => panic!("held"),
        }
    }

    /// Until the lease ends at another time than `before`: nothing else tells of a renewal.
    async fn until_renewed(&mut self, before: Duration) -> Arc<Held> {
        let held = self.until_held().await;
        while held.lease().until == before {
            tokio::task::yield_now().await;
        }
        held
    }

    async fn get_key(&self) -> Result<GetKeyAnswer, HttpError> {
        self.client.post_json("http://localhost/GetKey", &json!({"path": "a"})).await
    }
}

#[tokio::test]
async fn lease_is_renewed_at_half_of_it_and_the_secret_stays() {
    let mut leased = Leased::start().await;
    let first = leased.until_held().await.lease();
    assert_eq!(first.until, LEASE);
    let before = leased.get_key().await.unwrap().key;
    leased.clock.advance(LEASE / 2);
    let held = leased.until_renewed(first.until).await;
    assert_eq!(held.lease().until, LEASE / 2 + LEASE);
    leased.clock.advance(LEASE / 2);
    leased.until_renewed(LEASE / 2 + LEASE).await;
    assert_eq!(leased.get_key().await.unwrap().key, before);
}

/// A revoked code loses its secret at the next proof, not at the next restart (R5).
#[tokio::test]
async fn denial_ends_the_lease_at_once_and_a_later_yes_begins_another() {
    let mut leased = Leased::start().await;
    leased.world.behave(Manner::Denies);
    leased.clock.advance(LEASE / 2);
    leased.until_lost().await;
    let refused = leased.get_key().await.unwrap_err();
    assert_eq!(refused.status(), Some(503));
    leased.world.behave(Manner::Honest);
    // Its next try is some pause away, whenever that began.
    while matches!(*leased.keys.borrow(), KeyState::Waiting(_)) {
        leased.clock.advance(RetryConfig::default().first);
        tokio::task::yield_now().await;
    }
    leased.get_key().await.unwrap();
}

/// G-6: what cannot be decided takes nothing away, until the lease is over.
#[tokio::test]
async fn g6_committee_that_cannot_decide_leaves_the_lease_and_does_not_lengthen_it() {
    let mut leased = Leased::start().await;
    let held = leased.until_held().await;
    leased.world.behave(Manner::Undecided);
    // The agent's pauses are on the same clock, so it tries again and again meanwhile.
    while leased.clock.monotonic() < LEASE - Duration::from_secs(10) {
        leased.clock.advance(Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    leased.get_key().await.unwrap();
    assert_eq!(held.lease().until, LEASE);
    leased.clock.advance(Duration::from_secs(10));
    // Also before the agent has found out that it cannot renew it.
    assert_eq!(leased.get_key().await.unwrap_err().status(), Some(503));
    assert!(leased.until_lost().await.contains("lease is over"));
}

#[tokio::test]
async fn no_certificate_outlives_the_lease() {
    let leased = Leased::start().await;
    for wish in [json!({}), json!({"not_after": NOW + 10 * 365 * 24 * 3_600}), json!({"not_after": NOW + 60})]
    {
        let answer: GetTlsKeyAnswer =
            leased.client.post_json("http://localhost/GetTlsKey", &wish).await.unwrap();
        let (_, pem) = parse_x509_pem(answer.certificate_chain[0].as_bytes()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&pem.contents).unwrap();
        let ends = certificate.validity().not_after.timestamp() as u64;
        let asked = wish["not_after"].as_u64().unwrap_or(u64::MAX);
        assert_eq!(ends, asked.min(NOW + LEASE.as_secs()), "{wish}");
    }
}
