// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates that gateways list and no relayer ordered.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::{Arc, Mutex};

use alloy::primitives::{Address, B256};
use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use common::{World, payer, sent, settle, world};
use mandate_model::{bindings::DomainRegistry, wire::gateway::IssuedCertificate};
use mandate_relayer::{Redact, effects::Plan, listing::Listing, sender::Sender, store::Store};
use mandate_runtime::{
    Ambient,
    config::Secret,
    http::{ApiJson, Client, serve},
    net::{Net, TcpNet},
};
use tokio_util::sync::CancellationToken;

const DOMAIN: &str = "shop.example";
/// After whatever the chain's clock says.
const END: u64 = 4_000_000_000;

/// What the gateway lists, however it is asked.
type Listed = Arc<Mutex<Vec<IssuedCertificate>>>;

async fn list(
    State(listed): State<Listed>,
    Query(asked): Query<Vec<(String, String)>>,
) -> ApiJson<Vec<IssuedCertificate>> {
    let after = asked.into_iter().find(|(key, _)| key == "after").unwrap().1;
    let mut page = listed.lock().unwrap().clone();
    page.retain(|one| one.name > after);
    page.truncate(1);
    ApiJson(page)
}

struct Desk {
    world: World,
    store: Arc<dyn Store>,
    listed: Listed,
    listing: Listing,
}

async fn desk() -> Desk {
    let world = world(2, ["", ""]).await;
    let (store, listed) = (world.memory().await, Listed::default());
    let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/domains", get(list)).with_state(Arc::clone(&listed));
    tokio::spawn(serve(listener, router, CancellationToken::new()));
    let listing = Listing {
        contracts: world.contracts(),
        store: Arc::clone(&store),
        client: Client::new(Arc::new(TcpNet)),
        gateways: vec![url],
        every: std::time::Duration::from_secs(300),
        clock: Ambient::system().clock,
        chain_bell: Arc::default(),
    };
    Desk { world, store, listed, listing }
}

impl Desk {
    fn list(&self, name: &str, app: Address, n: u8) {
        self.listed.lock().unwrap().push(IssuedCertificate {
            name: name.to_owned(),
            app,
            issuer: "ca.example".to_owned(),
            account_uri: "https://ca.example/acct/1".to_owned(),
            fingerprint: B256::repeat_byte(n),
            spki_hash: B256::repeat_byte(n),
            not_after: END,
        });
    }

    async fn follow(&self) {
        self.world.chain.mine(4);
        settle(&mut self.world.follower(Arc::clone(&self.store)).planning(Plan::default())).await;
    }

    fn registry(&self) -> DomainRegistry::DomainRegistryInstance<&alloy::providers::DynProvider> {
        DomainRegistry::new(self.world.deployment.domain_registry, &self.world.wallet)
    }

    async fn send(&self) {
        let redact = Redact::new(&Secret::new(String::new()));
        let (config, store) = (Default::default(), Arc::clone(&self.store));
        let world = &self.world;
        let mut sender = Sender::new(
            world.contracts(),
            Ambient::system(),
            world.provider(),
            store,
            payer(),
            config,
            redact,
        );
        for _ in 0..4 {
            sender.tick().await.unwrap();
            self.follow().await;
        }
    }

    async fn recorded(&self) -> B256 {
        self.registry().domain(DOMAIN.to_owned()).call().await.unwrap().certificate
    }
}

#[tokio::test]
async fn certificate_that_nobody_ordered_is_recorded_with_its_account_once() {
    let desk = desk().await;
    desk.world.approve(DOMAIN).await;
    desk.list(DOMAIN, desk.world.app, 7);
    assert_eq!(desk.listing.round().await, 0, "the approval is not final yet");
    desk.follow().await;
    assert_eq!(desk.listing.round().await, 1);
    assert_eq!(desk.listing.round().await, 1, "the same effect");
    let waiting = common::keys(&desk.store).await;
    let recordings = waiting.iter().filter(|key| key.starts_with("record_certificate:")).count();
    assert_eq!(recordings, 1, "{waiting:?}");
    desk.send().await;
    let domain = desk.registry().domain(DOMAIN.to_owned()).call().await.unwrap();
    assert_eq!((domain.certificate, domain.spkiHash), (B256::repeat_byte(7), B256::repeat_byte(7)));
    assert_eq!(domain.accountUri, "https://ca.example/acct/1");
    assert_eq!(desk.listing.round().await, 0);
}

#[tokio::test]
async fn attack_certificate_for_a_domain_that_is_not_its_apps_is_not_recorded() {
    let desk = desk().await;
    desk.world.approve(DOMAIN).await;
    desk.follow().await;
    desk.list("a.example", desk.world.app, 1);
    desk.list(DOMAIN, Address::repeat_byte(9), 2);
    assert_eq!(desk.listing.round().await, 0);
    desk.send().await;
    assert!(desk.recorded().await.is_zero());
}

/// A recording that waited must not make the old app's certificate known for the new one's domain.
#[tokio::test]
async fn attack_certificate_of_the_app_that_held_the_domain_before_is_not_recorded_for_the_one_that_has_it_now()
 {
    let desk = desk().await;
    desk.world.approve(DOMAIN).await;
    desk.follow().await;
    desk.list(DOMAIN, desk.world.app, 3);
    assert_eq!(desk.listing.round().await, 1);
    let other = common::register_app(&desk.world.wallet, &desk.world.deployment, 77).await;
    sent(desk.registry().releaseDomain(DOMAIN.to_owned()).send().await.unwrap()).await;
    sent(desk.registry().approveDomain(DOMAIN.to_owned(), other).send().await.unwrap()).await;
    desk.send().await;
    let domain = desk.registry().domain(DOMAIN.to_owned()).call().await.unwrap();
    assert_eq!((domain.app, domain.certificate), (other, B256::ZERO));
    assert!(domain.accountUri.is_empty());
}

#[tokio::test]
async fn attack_list_that_goes_in_circles_is_given_up() {
    let desk = desk().await;
    for n in 0..3 {
        desk.list("z.example/../x?after=", desk.world.app, n);
    }
    assert_eq!(desk.listing.round().await, 0);
}
