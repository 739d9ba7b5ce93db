// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The TLS port: reads the server name of each connection and passes it through, ends its TLS, answers an ACME validation,
//! shows the gateway's own pages, or refuses it with an alert that says why.

use std::{sync::Arc, time::Duration};

use axum::Router;
use bytes::Bytes;
use futures::{StreamExt, stream};
use mandate_acme::{challenge::ChallengeStore, name::DomainName};
use mandate_runtime::{
    Ambient,
    carry::End,
    clock::within,
    http::{PeerKey, Rates},
    net::{Listener, Peer, Stream},
    peek::Rewind,
};
use tokio::{io::AsyncWriteExt, sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    certificates::Certificates,
    challenges::FleetChallenges,
    limits::Counts,
    live::{Live, Lives},
    name::{Mode, Target},
    proxy_protocol,
    routes::Routes,
    sni::{Hello, read_hello},
};

mod access;
mod dial;
mod ends;
mod pages;
mod refusal;
mod serving;

use access::Access;
use dial::Dialler;
use ends::Ends;
pub use refusal::Refusal;
use serving::Configs;

/// Many times what a ClientHello takes, post-quantum key shares included.
pub const MAX_HELLO: usize = 32 << 10;
/// Instances that are probed at a time.
const PROBES: usize = 16;

/// What the port serves from.
#[derive(Debug)]
pub struct Front {
    routes: Arc<Routes>,
    certificates: Arc<Certificates>,
    challenges: Arc<ChallengeStore>,
    fleet: FleetChallenges,
    ambient: Ambient,
    base: DomainName,
    lives: Lives,
    rates: std::sync::RwLock<(Arc<Live>, Rates)>,
    from_address: Counts<PeerKey>,
    dialler: Dialler,
    configs: Configs,
    pages: Router,
}

/// What a [`Front`] serves from.
#[derive(Debug)]
pub struct Parts {
    /// The ways to instances.
    pub routes: Arc<Routes>,
    /// What it shows clients.
    pub certificates: Arc<Certificates>,
    /// What it shows validating authorities.
    pub challenges: Arc<ChallengeStore>,
    /// The same for the orders of all gateways.
    pub fleet: FleetChallenges,
    /// Clock and sockets.
    pub ambient: Ambient,
    /// Under which ids are names.
    pub base: DomainName,
    /// What may change.
    pub lives: Lives,
    /// The ports that the gateway itself listens on: no instance is there.
    pub own: Vec<std::net::SocketAddr>,
    /// The gateway's own pages.
    pub pages: Router,
}

/// A connection that was accepted, as it is served and logged.
struct Client {
    stream: Stream,
    live: Arc<Live>,
    access: Access,
}

impl Client {
    /// The stream, for whoever answers from now on.
    fn take(&mut self) -> Stream {
        std::mem::replace(&mut self.stream, Stream::new(tokio::io::empty()))
    }
}

impl Front {
    /// Serves what the tables hold at each moment.
    ///
    /// # Errors
    /// When the TLS provider lacks the protocol versions.
    pub fn new(parts: Parts) -> Result<Self, rustls::Error> {
        let Parts { routes, certificates, challenges, fleet, ambient, base, lives, own, pages } = parts;
        let configs = Configs::new(Arc::clone(&certificates), Arc::clone(&challenges))?;
        let live = Arc::clone(&lives.borrow());
        let rates = Rates::new(live.limits.rate(), Arc::clone(&ambient.clock));
        let dialler = Dialler::new(Arc::clone(&routes), ambient.clone(), own);
        Ok(Self {
            routes,
            certificates,
            challenges,
            fleet,
            ambient,
            base,
            lives,
            rates: std::sync::RwLock::new((live, rates)),
            from_address: Counts::default(),
            dialler,
            configs,
            pages,
        })
    }

    /// Accepts until `stop` fires, lets connections end for the drain timeout, then cuts off what is still open.
    pub async fn run(self: Arc<Self>, mut listener: Listener, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        let closed = Arc::new(Notify::new());
        let accept = async {
            loop {
                while connections.try_join_next().is_some() {}
                if connections.len() >= self.live().limits.connections {
                    closed.notified().await;
                    continue;
                }
                let (client, peer) = listener.accept().await;
                let (this, closed) = (Arc::clone(&self), Arc::clone(&closed));
                connections.spawn(async move {
                    this.connection(client, peer).await;
                    closed.notify_one();
                });
            }
        };
        stop.run_until_cancelled(accept).await;
        drop(listener);
        self.drain(connections).await;
    }

    async fn drain(&self, mut connections: JoinSet<()>) {
        let patience = self.live().limits.drain_timeout;
        let all = async { while connections.join_next().await.is_some() {} };
        if within(self.ambient.clock.as_ref(), patience, all).await.is_none() {
            tracing::warn!(connections = connections.len(), "cutting off connections that outlast the drain");
            connections.shutdown().await;
        }
    }

    /// Asks the instances that nobody has reached for `interval` whether they answer as they must.
    pub async fn check_health(&self, interval: Duration) {
        let now = self.ambient.clock.monotonic();
        let live = self.live();
        let silent =
            self.routes.all().into_iter().filter(|route| now.saturating_sub(route.answered()) >= interval);
        let probes = stream::iter(silent).map(|route| {
            let live = Arc::clone(&live);
            async move { self.dialler.probe(&route, &live).await }
        });
        let answered = probes.buffer_unordered(PROBES).filter(|ok| futures::future::ready(*ok)).count().await;
        tracing::debug!(answered, "health checks");
    }

    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.lives.borrow())
    }

    async fn connection(&self, stream: Stream, peer: Peer) {
        let access = Access::new(peer, Arc::clone(&self.ambient.clock));
        let mut client = Client { stream, live: self.live(), access };
        let ended = match self.admit(&mut client).await {
            Ok(_counted) => self.greeted(&mut client).await,
            Err(refusal) => Err(refusal),
        };
        client.access.end(&ended);
        if let Err(refusal) = ended {
            self.refuse(&refusal, client).await;
        }
    }

    /// Finds out who connects, and whether there is room for one more of theirs.
    async fn admit(&self, client: &mut Client) -> Result<impl Drop + use<>, Refusal> {
        let limits = &client.live.limits;
        if client.access.ip().is_some_and(|ip| client.live.network.is_balancer(ip)) {
            let read = proxy_protocol::read(&mut client.stream);
            let read = within(self.ambient.clock.as_ref(), limits.handshake_timeout, read).await;
            if let Some(address) = read.ok_or(Refusal::Slow)?? {
                client.access.set_peer(Peer::Socket(address));
            }
        }
        let key = PeerKey::from(client.access.peer());
        self.rates(&client.live).take(key).map_err(|_| Refusal::OftenFromAddress)?;
        self.from_address.enter(key, limits.connections_per_address).ok_or(Refusal::ManyFromAddress)
    }

    /// The buckets, made anew when the rate has changed.
    fn rates(&self, live: &Arc<Live>) -> Rates {
        let held = self.rates.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if Arc::ptr_eq(&held.0, live) || held.0.limits.rate() == live.limits.rate() {
            return held.1.clone();
        }
        drop(held);
        let fresh = Rates::new(live.limits.rate(), Arc::clone(&self.ambient.clock));
        let mut held = self.rates.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *held = (Arc::clone(live), fresh.clone());
        fresh
    }

    async fn greeted(&self, client: &mut Client) -> Result<End, Refusal> {
        let read = read_hello(&mut client.stream, MAX_HELLO);
        let read = within(self.ambient.clock.as_ref(), client.live.limits.handshake_timeout, read).await;
        let (hello, ahead) = read.ok_or(Refusal::Slow)??;
        let goal = self.goal(&hello, client)?;
        self.serve(goal, ahead, client).await
    }

    /// The alert is a courtesy: whoever does not read it is not waited for.
    async fn refuse(&self, refusal: &Refusal, mut client: Client) {
        let alert = refusal.alert();
        let say = async {
            client.stream.write_all(&alert).await?;
            client.stream.shutdown().await
        };
        if !alert.is_empty() {
            let _ = within(self.ambient.clock.as_ref(), client.live.limits.handshake_timeout, say).await;
        }
    }

    fn goal(&self, hello: &Hello, client: &mut Client) -> Result<Goal, Refusal> {
        let name = hello.server_name.as_deref().ok_or(Refusal::NoName)?;
        let target = Target::parse(name, &self.base)?;
        client.access.set_name(name);
        match target {
            Target::Own if hello.is_acme_validation() => self.validation(name),
            Target::Own if !speaks_http_1(hello) => Err(Refusal::NoProtocol),
            Target::Own => self.wildcard().map(|()| Goal::Pages),
            Target::Id(id) if id.mode == Mode::Passthrough => Ok(Goal::Pass(Wanted::Id(id))),
            Target::Id(id) => {
                self.wildcard().map(|()| Goal::End(Ends::id(id, name, hello))).and_then(offered)
            }
            Target::Custom(name) => self.custom(name, hello),
        }
    }

    /// An instance that ends the domain's TLS itself gets its validations, too.
    fn custom(&self, name: DomainName, hello: &Hello) -> Result<Goal, Refusal> {
        if !self.routes.ingress(&name, self.ambient.clock.monotonic()).is_empty() {
            return Ok(match hello.is_acme_validation() {
                true => Goal::PassValidation(name),
                false => Goal::Pass(Wanted::Ingress(name)),
            });
        }
        if hello.is_acme_validation() {
            return self.validation(name.as_str()).or(Ok(Goal::ValidateForFleet(name)));
        }
        let served = self.certificates.find(&name, self.ambient.clock.unix()).ok_or(Refusal::UnknownName)?;
        Ok(Goal::End(Ends::domain(&served, name, hello)))
    }

    fn validation(&self, name: &str) -> Result<Goal, Refusal> {
        match self.challenges.is_open(name) {
            true => Ok(Goal::Validate),
            false => Err(Refusal::UnknownName),
        }
    }

    fn wildcard(&self) -> Result<(), Refusal> {
        self.certificates.base(self.ambient.clock.unix()).map(drop).ok_or(Refusal::NoWildcard)
    }
}

fn speaks_http_1(hello: &Hello) -> bool {
    hello.protocols.is_empty() || hello.protocols.iter().any(|protocol| protocol == ends::HTTP_1)
}

/// A name of which the client offers no protocol is refused before anybody is asked.
fn offered(goal: Goal) -> Result<Goal, Refusal> {
    match &goal {
        Goal::End(ends) if !ends.offered => Err(Refusal::NoProtocol),
        _ => Ok(goal),
    }
}

/// What a connection is for.
enum Goal {
    Pass(Wanted),
    PassValidation(DomainName),
    Validate,
    /// For an order of another gateway, if there is one.
    ValidateForFleet(DomainName),
    Pages,
    End(Ends),
}

/// Whose TLS is passed through.
enum Wanted {
    Id(crate::name::IdName),
    Ingress(DomainName),
}
