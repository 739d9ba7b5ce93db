// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The TLS port: reads the server name of each connection and passes it through, ends its TLS, answers an ACME validation,
//! or refuses it with an alert that says why.

use std::{io, sync::Arc, time::Duration};

use alloy::primitives::Address;
use bytes::Bytes;
use mandate_acme::{ACME_TLS, challenge::ChallengeStore, name::DomainName};
use mandate_runtime::{
    Ambient,
    clock::within,
    net::{Listener, Stream},
};
use rustls::ServerConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    certificates::{Certificates, Served},
    name::{IdName, Mode, Target},
    proxy::{End, carry, unless},
    routes::{Route, Routes},
    sni::{Hello, Rewind, read_hello},
    tls,
};

mod refusal;

pub use refusal::Refusal;

/// Many times what a ClientHello takes, post-quantum key shares included.
pub const MAX_HELLO: usize = 32 << 10;
const HTTPS: u16 = 443;

/// The bounds within which connections are served.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may take for its ClientHello, and again for the rest of the handshake.
    pub handshake: Duration,
    /// How long an instance may take to accept a connection and prove its key.
    pub connect: Duration,
    /// How long nothing may move.
    pub idle: Duration,
    /// Connections at a time; more wait in the socket's backlog.
    pub connections: usize,
}

/// What serves the port.
#[derive(Debug)]
pub struct Front {
    routes: Arc<Routes>,
    certificates: Arc<Certificates>,
    challenges: Arc<ChallengeStore>,
    ambient: Ambient,
    limits: Limits,
    base: DomainName,
    server: ServerConfig,
    acme: Arc<ServerConfig>,
}

type Upstream = TlsStream<Stream>;

impl Front {
    /// Serves what the tables hold at each moment.
    ///
    /// # Errors
    /// When the TLS provider lacks the protocol versions.
    pub fn new(
        routes: Arc<Routes>,
        certificates: Arc<Certificates>,
        challenges: Arc<ChallengeStore>,
        ambient: Ambient,
        limits: Limits,
        base: DomainName,
    ) -> Result<Self, rustls::Error> {
        let server = tls::server(Arc::clone(&certificates) as _)?;
        let acme = Arc::new(tls::acme_server(Arc::clone(&challenges) as _)?);
        Ok(Self { routes, certificates, challenges, ambient, limits, base, server, acme })
    }

    /// Accepts until `stop` fires, then cuts off what is still open.
    pub async fn run(self: Arc<Self>, mut listener: Listener, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let mut connections = JoinSet::new();
        let accept = async {
            while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
                let (client, peer) = listener.accept().await;
                while connections.try_join_next().is_some() {}
                let this = Arc::clone(&self);
                connections.spawn(async move {
                    let ended = this.connection(client).await;
                    tracing::debug!(%peer, ?ended, "connection");
                    drop(permit);
                });
            }
        };
        stop.run_until_cancelled(accept).await;
        connections.shutdown().await;
    }

    async fn connection(&self, mut client: Stream) -> Result<End, Refusal> {
        let read =
            within(self.ambient.clock.as_ref(), self.limits.handshake, read_hello(&mut client, MAX_HELLO))
                .await;
        let ended = match read {
            None => Err((Refusal::Slow, client)),
            Some(Err(e)) => Err((Refusal::from(e), client)),
            Some(Ok((hello, ahead))) => self.route(hello, ahead, client).await,
        };
        let ended = match ended {
            Ok(end) => Ok(end),
            Err((refusal, client)) => Err(self.refuse(refusal, client).await),
        };
        let label = ended.as_ref().map_or_else(Refusal::label, |end| end.label());
        metrics::counter!("mandate_gateway_connections_total", "end" => label).increment(1);
        ended
    }

    /// The alert is a courtesy: whoever does not read it is not waited for.
    async fn refuse(&self, refusal: Refusal, mut client: Stream) -> Refusal {
        let alert = refusal.alert();
        let say = async {
            client.write_all(&alert).await?;
            client.shutdown().await
        };
        if !alert.is_empty() {
            let _ = within(self.ambient.clock.as_ref(), self.limits.handshake, say).await;
        }
        refusal
    }

    async fn route(&self, hello: Hello, ahead: Bytes, client: Stream) -> Result<End, (Refusal, Stream)> {
        match self.target(&hello) {
            Err(refusal) => Err((refusal, client)),
            Ok(Goal::Pass(id)) => self.pass(id, ahead, client).await,
            Ok(Goal::Validate) => Ok(self.validate(Rewind::new(ahead, client)).await),
            Ok(Goal::Serve(name, served)) => {
                let ended = served.ended.clone();
                let whole = self.serve(name, &served, hello, ahead, client);
                unless(&ended, whole).await.unwrap_or(Ok(End::Revoked))
            }
        }
    }

    fn target(&self, hello: &Hello) -> Result<Goal, Refusal> {
        let name = hello.server_name.as_deref().ok_or(Refusal::NoName)?;
        match Target::parse(name, &self.base)? {
            Target::Id(id) if id.mode == Mode::Passthrough => Ok(Goal::Pass(id)),
            Target::Id(_) => Err(Refusal::NoWildcard),
            Target::Custom(_) if hello.is_acme_validation() => match self.challenges.is_open(name) {
                true => Ok(Goal::Validate),
                false => Err(Refusal::UnknownName),
            },
            Target::Custom(name) => {
                let served =
                    self.certificates.find(&name, self.ambient.clock.unix()).ok_or(Refusal::UnknownName)?;
                Ok(Goal::Serve(name, Box::new(served)))
            }
        }
    }

    /// Carries the client's own TLS to the instance, ClientHello first.
    async fn pass(&self, id: IdName, ahead: Bytes, client: Stream) -> Result<End, (Refusal, Stream)> {
        let (route, upstream) = match self.dial_plain(id).await {
            Ok(dialled) => dialled,
            Err(refusal) => return Err((refusal, client)),
        };
        let _counted = route.connect();
        let carried =
            carry(Rewind::new(ahead, client), upstream, self.ambient.clock.as_ref(), self.limits.idle);
        Ok(unless(&route.ended, carried).await.unwrap_or(End::Revoked))
    }

    async fn dial_plain(&self, id: IdName) -> Result<(Arc<Route>, Stream), Refusal> {
        let mut refusal = Refusal::UnknownName;
        for route in self.routes.candidates(id.id, self.ambient.clock.monotonic()) {
            // An instance is reached where it registered and on no other port of that host.
            if id.port != HTTPS && id.port != route.upstream.port() {
                continue;
            }
            match self.attempt(&route, self.connect(&route)).await {
                Ok(stream) => return Ok((route, stream)),
                Err(e) => refusal = e,
            }
        }
        Err(refusal)
    }

    async fn connect(&self, route: &Route) -> io::Result<Stream> {
        self.ambient.net.connect(&route.upstream.host(), route.upstream.port()).await
    }

    /// Tries one route within the time for it, and remembers how it went.
    async fn attempt<T>(
        &self,
        route: &Route,
        dial: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Refusal> {
        let timed = within(self.ambient.clock.as_ref(), self.limits.connect, dial);
        let dialled = match unless(&route.ended, timed).await {
            None => return Err(Refusal::UnknownName),
            Some(None) => Err(io::ErrorKind::TimedOut.into()),
            Some(Some(dialled)) => dialled,
        };
        route.note(dialled.is_ok());
        dialled.map_err(|error| {
            let (app, instance) = (route.facts.app, route.facts.instance);
            tracing::warn!(%app, %instance, upstream = %route.upstream, %error, "instance does not answer as it must");
            metrics::counter!("mandate_gateway_upstream_failures_total").increment(1);
            Refusal::Upstream(error.kind())
        })
    }

    /// Ends the client's TLS with the domain's certificate. The instance is asked first: a client completes a handshake
    /// only while an allowed instance has just proved its key, and speaks the protocol that the instance chose.
    async fn serve(
        &self,
        name: DomainName,
        served: &Served,
        hello: Hello,
        ahead: Bytes,
        client: Stream,
    ) -> Result<End, (Refusal, Stream)> {
        let (route, upstream) = match self.dial_pinned(served.app, &name, &hello).await {
            Ok(dialled) => dialled,
            Err(refusal) => return Err((refusal, client)),
        };
        let _counted = route.connect();
        let spliced = self.splice(Rewind::new(ahead, client), upstream);
        Ok(unless(&route.ended, spliced).await.unwrap_or(End::Revoked))
    }

    async fn dial_pinned(
        &self,
        app: Address,
        name: &DomainName,
        hello: &Hello,
    ) -> Result<(Arc<Route>, Upstream), Refusal> {
        let mut refusal = Refusal::NoInstance;
        for route in self.routes.candidates(app, self.ambient.clock.monotonic()) {
            // An id may be an app's or an instance's; a domain belongs to an app.
            if route.facts.app != app {
                continue;
            }
            match self.attempt(&route, self.connect_pinned(&route, name, hello)).await {
                Ok(stream) => return Ok((route, stream)),
                Err(e) => refusal = e,
            }
        }
        Err(refusal)
    }

    async fn connect_pinned(&self, route: &Route, name: &DomainName, hello: &Hello) -> io::Result<Upstream> {
        let protocols = hello.protocols.iter().filter(|p| p.as_slice() != ACME_TLS).cloned().collect();
        let config = tls::upstream(route.spki.clone(), protocols).map_err(io::Error::other)?;
        let name = ServerName::try_from(name.to_string()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, self.connect(route).await?).await
    }

    async fn splice<S: AsyncRead + AsyncWrite + Unpin>(&self, client: S, upstream: Upstream) -> End {
        let mut config = self.server.clone();
        config.alpn_protocols =
            upstream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec).into_iter().collect();
        let accept = TlsAcceptor::from(Arc::new(config)).accept(client);
        match within(self.ambient.clock.as_ref(), self.limits.handshake, accept).await {
            Some(Ok(client)) => carry(client, upstream, self.ambient.clock.as_ref(), self.limits.idle).await,
            Some(Err(e)) => End::Broken(e.kind()),
            None => End::Broken(io::ErrorKind::TimedOut),
        }
    }

    /// RFC 8737: completes the handshake, which is all that the authority wants to see.
    async fn validate<S: AsyncRead + AsyncWrite + Unpin>(&self, authority: S) -> End {
        let whole = async {
            let mut stream = TlsAcceptor::from(Arc::clone(&self.acme)).accept(authority).await?;
            stream.shutdown().await
        };
        match within(self.ambient.clock.as_ref(), self.limits.handshake, whole).await {
            Some(Ok(())) => End::Closed,
            Some(Err(e)) => End::Broken(e.kind()),
            None => End::Broken(io::ErrorKind::TimedOut),
        }
    }
}

/// What a connection is for.
enum Goal {
    Pass(IdName),
    Validate,
    Serve(DomainName, Box<Served>),
}
