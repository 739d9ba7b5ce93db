// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What becomes of a connection once it is clear what it is for.

use std::{io, sync::Arc};

use mandate_runtime::{
    carry::{End, carry, unless},
    clock::within,
    peek::{Word, first_word},
};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Bytes, Certificates, ChallengeStore, Client, DomainName, Front, Goal, PeerKey, Refusal, Rewind, Wanted,
    dial::Dialled,
    ends::{Ends, HTTP_1, HTTP_2},
    pages,
};
use crate::tls;

/// TLS towards clients, ready for each protocol that is common.
#[derive(Debug)]
pub(crate) struct Configs {
    plain: Arc<ServerConfig>,
    http_1: Arc<ServerConfig>,
    http_2: Arc<ServerConfig>,
    acme: Arc<ServerConfig>,
}

impl Configs {
    pub(super) fn new(
        certificates: Arc<Certificates>,
        challenges: Arc<ChallengeStore>,
    ) -> Result<Self, rustls::Error> {
        let plain = tls::server(certificates)?;
        let speaking = |protocol: &[u8]| Arc::new(offering(&plain, protocol));
        Ok(Self {
            http_1: speaking(HTTP_1),
            http_2: speaking(HTTP_2),
            acme: Arc::new(tls::acme_server(challenges)?),
            plain: Arc::new(plain),
        })
    }

    fn speaking(&self, protocol: Option<&[u8]>) -> Arc<ServerConfig> {
        match protocol {
            None => Arc::clone(&self.plain),
            Some(HTTP_1) => Arc::clone(&self.http_1),
            Some(HTTP_2) => Arc::clone(&self.http_2),
            Some(other) => Arc::new(offering(&self.plain, other)),
        }
    }
}

fn offering(config: &ServerConfig, protocol: &[u8]) -> ServerConfig {
    let mut config = config.clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

impl Front {
    pub(super) async fn serve(&self, goal: Goal, ahead: Bytes, client: &mut Client) -> Result<End, Refusal> {
        // A task is as large as the largest thing that it may come to. What takes much room gets it when it comes to that.
        match goal {
            Goal::Pass(wanted) => self.pass(&wanted, ahead, client).await,
            Goal::PassValidation(name) => Box::pin(self.pass_validation(&name, &ahead, client)).await,
            Goal::Validate => {
                client.access.set_mode("validation");
                let stream = Rewind::new(ahead, client.take());
                let config = Arc::clone(&self.configs.acme);
                Ok(Box::pin(self.validate(config, stream, &client.live)).await)
            }
            Goal::ValidateForFleet(name) => {
                let peer = PeerKey::from(client.access.peer());
                let config = self.fleet.answer(&name, peer).await.ok_or(Refusal::UnknownName)?;
                client.access.set_mode("validation");
                let stream = Rewind::new(ahead, client.take());
                Ok(Box::pin(self.validate(Arc::new(config), stream, &client.live)).await)
            }
            Goal::Pages => {
                client.access.set_mode("pages");
                Ok(Box::pin(self.own_pages(ahead, client)).await)
            }
            Goal::End(ends) => Box::pin(self.end_tls(&ends, ahead, client)).await,
        }
    }

    /// Carries the client's own TLS to the instance, ClientHello first.
    async fn pass(&self, wanted: &Wanted, ahead: Bytes, client: &mut Client) -> Result<End, Refusal> {
        client.access.set_mode("passthrough");
        let Dialled { route, stream, counted: _counted } = self.dialler.plain(wanted, &client.live).await?;
        client.access.set_route(&route);
        let ended = match wanted {
            Wanted::Id(_) => route.ended.clone(),
            Wanted::Ingress(name) => route.ingress(name).ok_or(Refusal::UnknownName)?.ended.clone(),
        };
        let Client { stream: own, live, access } = client;
        let clock = self.ambient.clock.as_ref();
        let carried =
            carry(Rewind::new(ahead, own), stream, &access.traffic, clock, live.limits.idle_timeout);
        Ok(unless(&ended, carried).await.unwrap_or(End::Revoked))
    }

    /// Leads an authority to the instance that it validates.
    async fn pass_validation(
        &self,
        name: &DomainName,
        ahead: &Bytes,
        client: &mut Client,
    ) -> Result<End, Refusal> {
        client.access.set_mode("validation");
        let dialled = self.dialler.validated(name, ahead, &client.live).await?;
        let Dialled { route, stream, counted: _counted } = dialled;
        client.access.set_route(&route);
        let ended = route.ingress(name).ok_or(Refusal::UnknownName)?.ended.clone();
        let Client { stream: own, live, access } = client;
        let carried =
            carry(own, stream, &access.traffic, self.ambient.clock.as_ref(), live.limits.idle_timeout);
        Ok(unless(&ended, carried).await.unwrap_or(End::Revoked))
    }

    /// Ends the client's TLS. The instance is asked first: a client completes a handshake only while an allowed instance has
    /// just proved its key, and speaks the protocol that the instance chose.
    async fn end_tls(&self, ends: &Ends, ahead: Bytes, client: &mut Client) -> Result<End, Refusal> {
        client.access.set_mode("terminated");
        let taken_away = ends.ended.clone().unwrap_or_default();
        let whole = async {
            let Dialled { route, stream, counted: _counted } =
                Box::pin(self.dialler.pinned(ends, &client.live)).await?;
            client.access.set_route(&route);
            let spliced = self.splice(ahead, client, stream);
            Ok(unless(&route.ended, spliced).await.unwrap_or(End::Revoked))
        };
        unless(&taken_away, whole).await.unwrap_or(Ok(End::Revoked))
    }

    async fn splice(&self, ahead: Bytes, client: &mut Client, instance: super::dial::Pinned) -> End {
        let protocol = instance.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let config = self.configs.speaking(protocol.as_deref());
        let stream = Rewind::new(ahead, client.take());
        let (clock, limits) = (self.ambient.clock.as_ref(), &client.live.limits);
        let own = match Box::pin(self.accept(config, stream, &client.live)).await {
            Ok(own) => own,
            Err(end) => return end,
        };
        if protocol.as_deref().is_some_and(|protocol| protocol != HTTP_1) {
            return carry(own, instance, &client.access.traffic, clock, limits.idle_timeout).await;
        }
        match within(clock, limits.idle_timeout, first_word(own, instance, &pages::OURS)).await {
            None => End::Idle,
            Some(Err(e)) => End::Broken(e.kind()),
            Some(Ok(Word::Ours(own))) => Box::pin(pages::serve(own, self.pages.clone(), &client.live)).await,
            Some(Ok(Word::Theirs(own, instance))) => {
                carry(own, instance, &client.access.traffic, clock, limits.idle_timeout).await
            }
        }
    }

    async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        config: Arc<ServerConfig>,
        stream: S,
        live: &super::Live,
    ) -> Result<Box<TlsStream<S>>, End> {
        let accept = Box::pin(TlsAcceptor::from(config).accept(stream));
        match within(self.ambient.clock.as_ref(), live.limits.handshake_timeout, accept).await {
            Some(Ok(stream)) => Ok(Box::new(stream)),
            Some(Err(e)) => Err(End::Broken(e.kind())),
            None => Err(End::Broken(io::ErrorKind::TimedOut)),
        }
    }

    /// RFC 8737: completes the handshake, which is all that the authority wants to see.
    async fn validate<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        config: Arc<ServerConfig>,
        authority: S,
        live: &super::Live,
    ) -> End {
        match self.accept(config, authority, live).await {
            Ok(mut stream) => match stream.shutdown().await {
                Ok(()) => End::Closed,
                Err(e) => End::Broken(e.kind()),
            },
            Err(end) => end,
        }
    }

    /// Over HTTP/1.1, for the same reason that names of ids are: a browser would bring here what is for them.
    async fn own_pages(&self, ahead: Bytes, client: &mut Client) -> End {
        let config = Arc::clone(&self.configs.http_1);
        let stream = Rewind::new(ahead, client.take());
        match self.accept(config, stream, &client.live).await {
            Ok(own) => Box::pin(pages::serve(own, self.pages.clone(), &client.live)).await,
            Err(end) => end,
        }
    }
}
