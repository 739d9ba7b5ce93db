// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reaching an instance: which of the routes, and never a place where no instance may be.

use std::{io, net::SocketAddr, sync::Arc};

use alloy::primitives::Address;
use bytes::Bytes;
use mandate_acme::name::DomainName;
use mandate_runtime::{Ambient, carry::unless, clock::within, net::Stream, peek::Rewind};
use rustls::AlertDescription;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Live, Refusal, Wanted, ends::Ends};
use crate::{
    limits::{Counted, Counts},
    name::IdName,
    routes::{ConnectionGuard, Route, Routes},
    upstream::Upstream,
};

const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// TLS to an instance that has proved its key. In a box, because it is large and goes through many hands.
pub(super) type Pinned = Box<TlsStream<Stream>>;

/// A connection to an instance.
pub(super) struct Dialled<S> {
    pub(super) route: Arc<Route>,
    pub(super) stream: S,
    /// Counts the connection for as long as it is held.
    pub(super) counted: (ConnectionGuard, Counted<Address>),
}

/// Reaches instances.
#[derive(Debug)]
pub(crate) struct Dialler {
    routes: Arc<Routes>,
    ambient: Ambient,
    own: Vec<SocketAddr>,
    to_app: Counts<Address>,
}

impl Dialler {
    pub(crate) fn new(routes: Arc<Routes>, ambient: Ambient, own: Vec<SocketAddr>) -> Self {
        Self { routes, ambient, own, to_app: Counts::default() }
    }

    /// A plain connection, over which the client speaks TLS with the instance itself.
    pub(super) async fn plain(&self, wanted: &Wanted, live: &Live) -> Result<Dialled<Stream>, Refusal> {
        let candidates = match wanted {
            Wanted::Id(id) => self.by_id(*id),
            Wanted::Ingress(name) => self.routes.ingress(name, self.ambient.clock.monotonic()),
        };
        let mut refusal = Refusal::UnknownName;
        for route in candidates {
            let counted = self.enter(&route, live)?;
            match self.attempt(&route, live, self.connect(&route.upstream, live)).await {
                Ok(stream) => return Ok(Dialled { route, stream, counted }),
                Err(e) => refusal = e,
            }
        }
        Err(refusal)
    }

    /// A plain connection to the instance that answers the ClientHello of an authority's validation. All instances of an app are
    /// one account there, but only the one that ordered knows the challenge: the others refuse the handshake, and that says
    /// nothing against them.
    pub(super) async fn validated(
        &self,
        name: &DomainName,
        hello: &Bytes,
        live: &Live,
    ) -> Result<Dialled<Rewind<Stream>>, Refusal> {
        let mut refusal = Refusal::UnknownName;
        for route in self.routes.ingress(name, self.ambient.clock.monotonic()) {
            let counted = self.enter(&route, live)?;
            let stream = match self.attempt(&route, live, self.connect(&route.upstream, live)).await {
                Ok(stream) => stream,
                Err(e) => {
                    refusal = e;
                    continue;
                }
            };
            let answer =
                within(self.ambient.clock.as_ref(), live.limits.connect_timeout, answer(stream, hello));
            if let Some(Some(Ok(stream))) = unless(&route.ended, answer).await {
                return Ok(Dialled { route, stream, counted });
            }
        }
        Err(refusal)
    }

    /// TLS to an instance, with its key pinned.
    pub(super) async fn pinned(&self, ends: &Ends, live: &Live) -> Result<Dialled<Pinned>, Refusal> {
        let (candidates, mut refusal) = match ends.id {
            Some(id) => (self.by_id(id), Refusal::UnknownName),
            None => (self.of_app(ends.app), Refusal::NoInstance),
        };
        for route in candidates {
            let counted = self.enter(&route, live)?;
            match self.attempt(&route, live, self.connect_pinned(&route, ends, live)).await {
                Ok(stream) => return Ok(Dialled { route, stream, counted }),
                Err(e) => refusal = e,
            }
        }
        Err(refusal)
    }

    /// Counts one more connection to the route and its app, if there is room.
    fn enter(&self, route: &Arc<Route>, live: &Live) -> Result<(ConnectionGuard, Counted<Address>), Refusal> {
        let room = self.to_app.enter(route.facts.app, live.limits.connections_per_app);
        Ok((route.connect(), room.ok_or(Refusal::ManyToApp)?))
    }

    fn of_app(&self, app: Option<Address>) -> Vec<Arc<Route>> {
        let Some(app) = app else { return Vec::new() };
        let mut candidates = self.routes.candidates(app, self.ambient.clock.monotonic());
        // An id may be an app's or an instance's; a domain belongs to an app.
        candidates.retain(|route| route.facts.app == app);
        candidates
    }

    fn by_id(&self, id: IdName) -> Vec<Arc<Route>> {
        let mut candidates = self.routes.candidates(id.id, self.ambient.clock.monotonic());
        // An instance is reached where it registered and on no other port of that host.
        candidates.retain(|route| matches!(id.port, HTTP | HTTPS) || id.port == route.upstream.port());
        candidates
    }

    /// Tries one route within the time for it, and remembers how it went.
    async fn attempt<S>(
        &self,
        route: &Route,
        live: &Live,
        dial: impl Future<Output = io::Result<S>>,
    ) -> Result<S, Refusal> {
        let timed = within(self.ambient.clock.as_ref(), live.limits.connect_timeout, dial);
        let dialled = match unless(&route.ended, timed).await {
            None => return Err(Refusal::UnknownName),
            Some(None) => Err(io::ErrorKind::TimedOut.into()),
            Some(Some(dialled)) => dialled,
        };
        if dialled.as_ref().is_err_and(|e| e.get_ref().is_some_and(|e| e.is::<NoSharedProtocol>())) {
            return Err(Refusal::NoSharedProtocol);
        }
        route.note(dialled.is_ok(), self.ambient.clock.monotonic());
        dialled.map_err(|error| {
            let (app, instance) = (route.facts.app, route.facts.instance);
            tracing::warn!(%app, %instance, upstream = %route.upstream, %error, "instance does not answer as it must");
            metrics::counter!("mandate_gateway_upstream_failures_total").increment(1);
            Refusal::Upstream(error.kind())
        })
    }

    /// Connects to what the name is now, after a look at it: the name's owner must not lead the gateway to itself, nor to
    /// what only it can reach.
    async fn connect(&self, upstream: &Upstream, live: &Live) -> io::Result<Stream> {
        let port = upstream.port();
        let found = match upstream.ip() {
            Some(ip) => vec![SocketAddr::new(ip, port)],
            None => self.ambient.net.resolve(&upstream.host(), port).await?,
        };
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in found {
            if !live.network.may_be_instance(address) || self.is_own_port(address) {
                let text = format!("no instance may be at {address} (network.upstreams)");
                failure = io::Error::new(io::ErrorKind::PermissionDenied, text);
                continue;
            }
            match self.ambient.net.connect(&address.ip().to_string(), port).await {
                Ok(stream) => return Ok(stream),
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }

    fn is_own_port(&self, address: SocketAddr) -> bool {
        let listens = |own: &SocketAddr| {
            own.port() == address.port()
                && match own.ip().is_unspecified() {
                    true => self.ambient.net.is_own(address.ip()),
                    false => own.ip().to_canonical() == address.ip().to_canonical(),
                }
        };
        self.own.iter().any(listens)
    }

    async fn connect_pinned(&self, route: &Route, ends: &Ends, live: &Live) -> io::Result<Pinned> {
        let config = route.tls(&ends.protocols).map_err(io::Error::other)?;
        let name = ServerName::try_from(ends.name.clone()).map_err(io::Error::other)?;
        let stream = self.connect(&route.upstream, live).await?;
        let dialled = TlsConnector::from(config).connect(name, stream).await;
        // Any client can bring that about: it says nothing against the instance, unless it was asked for nothing.
        match dialled {
            Err(e) if !ends.protocols.is_empty() && is_about_protocols(&e) => {
                Err(io::Error::other(NoSharedProtocol))
            }
            dialled => dialled.map(Box::new),
        }
    }

    /// Whether the instance answers as it must, for the health checks.
    pub(crate) async fn probe(&self, route: &Route, live: &Live) -> bool {
        let name = format!("{}.invalid", hex::encode(route.facts.instance));
        let ends = Ends { id: None, app: None, name, protocols: Vec::new(), offered: true, ended: None };
        self.attempt(route, live, self.connect_pinned(route, &ends, live)).await.is_ok()
    }
}

/// The instance speaks nothing of what the client offers.
#[derive(Debug, Error)]
#[error("no shared protocol")]
struct NoSharedProtocol;

fn is_about_protocols(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)))
}

/// Says hello, and gives the stream back once the other side takes part in the handshake.
async fn answer(mut stream: Stream, hello: &Bytes) -> io::Result<Rewind<Stream>> {
    const HANDSHAKE: u8 = 22;
    stream.write_all(hello).await?;
    match stream.read_u8().await? {
        HANDSHAKE => Ok(Rewind::new(Bytes::from_static(&[HANDSHAKE]), stream)),
        _ => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}
