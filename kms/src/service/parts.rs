// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Puts a node together.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{primitives::Address, providers::DynProvider};
use mandate_attestation::TrustAnchors;
use mandate_runtime::{
    Ambient,
    http::{Client, Health, serve},
    net::Listener,
};
use mandate_witness::{ChainSpec, Endpoint, Freshness, MAX_WITNESS, Quorum};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{Outside, Running, StartError, owner};
use crate::{
    anchor::Anchoring,
    api::{self, Api},
    beacon::Beacon,
    ceremony::{Context, driver::Driver},
    chain::{Chain, ChainJudge, ChainParts, Judge, RelayerWitness},
    config::Config,
    keys::NodeKeys,
    membership::{Membership, MembershipParts, News},
    node::{Loop, Progress},
    receipts::ReceiptLog,
    relayer::Relayer,
    release::{Releaser, ReleaserParts},
    revocation::Revocations,
    seat::Seat,
    shares::Shares,
    store::Store,
};

/// How long the relayer, or another node, may take for one answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that runs.
pub(super) struct Parts {
    node: Address,
    closed: CancellationToken,
    api: Arc<Api>,
    health: Health,
    looping: Loop,
    membership: Membership,
    news: watch::Receiver<Option<News>>,
}

impl Parts {
    pub(super) fn build(config: &Config, keys: NodeKeys, outside: Outside) -> Result<Self, StartError> {
        let Outside { ambient, providers, verifier, quoter } = outside;
        let (keys, chain) = (Arc::new(keys), &config.chain);
        let node = keys.address();
        let store = Store::open(&config.data_dir, &owner(config, &keys))?;
        let closed = store.closed();
        let (chain_id, committee) = (chain.chain_id, chain.committee);
        let context = Context { keys: keys.clone(), store: store.clone(), chain_id, committee };
        let dev_anchors = verifier.anchors().is_development();
        announce(node, verifier.anchors());
        let receipts = ReceiptLog::open(store.clone(), keys, context.domain(), dev_anchors)?;
        let client = Client::new(ambient.net.clone()).timeout(PEER_TIMEOUT);
        let relayer = Relayer::new(client.clone(), &config.relayer);
        let chain = open_chain(config, &ambient, providers, client.clone(), &store)?;
        let judge: Arc<dyn Judge> = Arc::new(ChainJudge(chain.clone()));
        let revocations = Revocations::open(store.clone(), judge.clone())?;
        let freshness = Arc::new(Mutex::new(Freshness::new(config.lease)));
        let (shares, progress, health) = (Shares::default(), Arc::<Progress>::default(), Health::new());
        let (seat, (news, newest)) = (Seat::default(), watch::channel(None));
        let releaser = Releaser::new(ReleaserParts {
            node,
            chain_id,
            kms_auth: config.chain.kms_auth,
            verifier,
            ambient: ambient.clone(),
            nonces: config.nonces.limits(),
            judge,
            freshness: freshness.clone(),
            shares: shares.clone(),
            seat: seat.clone(),
            keys: context.keys.clone(),
            domain: context.domain(),
            receipts: receipts.clone(),
            revocations: revocations.clone(),
        });
        let anchoring = Anchoring::new(
            config.chain.receipt_anchor,
            chain_id,
            chain.clone(),
            receipts.clone(),
            context.keys.clone(),
            ambient.clock.clone(),
        );
        let look = Arc::<Notify>::default();
        let api = Arc::new(Api {
            node,
            releaser,
            revocations: revocations.clone(),
            receipts: receipts.clone(),
            anchoring,
            look: look.clone(),
            shares: shares.clone(),
            seat: seat.clone(),
            keys: context.keys.clone(),
            freshness: freshness.clone(),
            progress: progress.clone(),
            clock: ambient.clock.clone(),
            dev_anchors,
            releases: Api::release_permits(),
            notices: Api::notice_permits(),
            strikes: Mutex::default(),
        });
        let membership = Membership::new(MembershipParts {
            context: context.clone(),
            kms_auth: config.chain.kms_auth,
            chain: chain.clone(),
            relayer: relayer.clone(),
            http: client,
            ambient: ambient.clone(),
            quoter,
            shares: shares.clone(),
            health: health.clone(),
            pause: config.poll,
        });
        let beacon = Beacon::new(context.clone(), relayer.clone(), ambient.clone(), freshness.clone());
        let driver = Driver::new(context, chain.clone(), relayer, ambient.clone(), shares);
        let looping = Loop {
            node,
            poll: config.poll,
            ambient,
            chain,
            beacon,
            driver,
            revocations,
            receipts,
            store,
            seat,
            news,
            freshness,
            progress,
            health: health.clone(),
            look,
            seen: None,
            noted: None,
        };
        Ok(Self { node, closed, api, health, looping, membership, news: newest })
    }

    pub(super) fn run(self, listener: Listener, addr: SocketAddr) -> Running {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let router = api::router(self.api, self.health.clone());
        tasks.spawn(serve(listener, router, stop.clone()));
        tasks.spawn(self.looping.run(stop.clone()));
        tasks.spawn(self.membership.run(self.news, stop.clone()));
        tracing::info!(node = %self.node, %addr, "the node runs");
        Running { addr, node: self.node, health: self.health, stop, closed: self.closed, tasks }
    }
}

/// Says under which anchors the node believes evidence, at every start.
fn announce(node: Address, anchors: &TrustAnchors) {
    if anchors.is_development() {
        tracing::warn!(%node, ?anchors, "DEVELOPMENT TRUST ANCHORS: evidence proves nothing about real hardware; every receipt says so");
    } else {
        tracing::info!(%node, ?anchors, "the vendors' own trust anchors");
    }
}

fn open_chain(
    config: &Config,
    ambient: &Ambient,
    providers: Vec<DynProvider>,
    client: Client,
    store: &Store,
) -> Result<Chain, StartError> {
    let endpoint = |(index, provider): (usize, &DynProvider)| Endpoint {
        name: format!("rpc {index}"),
        provider: provider.clone(),
    };
    let endpoints = providers.iter().enumerate().map(endpoint).collect();
    let mut headers = Quorum::new(config.chain.chain_id, config.chain.quorum, endpoints)?;
    if let Some(newest) = store.newest_final()? {
        headers = headers.starting_at(newest);
    }
    if let Some(contradiction) = store.latch()? {
        tracing::error!(%contradiction, "finality contradicted itself before this start; nothing is trusted until --clear-latch");
        headers = headers.latched(contradiction);
    }
    // A witness travels in hex inside of JSON.
    let client = client.max_body(2 * MAX_WITNESS + 4_096);
    Ok(Chain::new(ChainParts {
        headers: Arc::new(headers),
        relayer: RelayerWitness::new(client, &config.relayer),
        providers,
        // Validated with the configuration.
        spec: config.chain.spec().unwrap_or_else(|| ChainSpec::dev(config.chain.chain_id)),
        max_age: config.chain.max_age,
        clock: ambient.clock.clone(),
        kms_auth: config.chain.kms_auth,
        committee: config.chain.committee,
    }))
}
