// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The TLS port of ingress mode: the app's domains, the challenges of its authority, and the instance's own key for gateways
//! that end TLS themselves.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
};

use axum::Router;
use mandate_acme::{ACME_TLS, certificate::Certificate, challenge::ChallengeStore, name::DomainName};
use mandate_model::wire::gateway::ServedCertificate;
use mandate_runtime::{
    Ambient, Clock,
    carry::{End, Traffic, carry},
    clock::within,
    net::{Listener, Stream},
    peek::{Word, first_word},
};
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::AsyncWriteExt,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{IngressConfig, pages};
use crate::{agent::Held, instance::TlsIdentity};

const HTTP_1: &[u8] = b"http/1.1";

/// What clients are shown.
pub(super) struct Shown {
    pub(super) challenges: Arc<ChallengeStore>,
    identity: Arc<CertifiedKey>,
    own: Vec<DomainName>,
    certificates: RwLock<HashMap<DomainName, Certificate>>,
    /// The same for the gateways.
    told: watch::Sender<Vec<ServedCertificate>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Shown {
    /// Nothing but the instance's own key yet.
    pub(super) fn new(
        identity: &TlsIdentity,
        own: &[DomainName],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, rustls::Error> {
        let signing = ring::sign::any_ecdsa_type(&identity.private_key())?;
        let identity = Arc::new(CertifiedKey::new(vec![identity.certificate()], signing));
        let (challenges, certificates, told) = (Arc::default(), RwLock::default(), watch::Sender::default());
        Ok(Self { challenges, identity, own: own.to_vec(), certificates, told, clock })
    }

    /// Shows it from now on, until it is over or another one follows.
    pub(super) fn show(&self, certificate: Certificate) {
        let mut shown = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        shown.insert(certificate.name().clone(), certificate);
        let mut told: Vec<_> = shown.values().map(served).collect();
        told.sort_by(|a, b| a.name.cmp(&b.name));
        self.told.send_replace(told);
    }

    /// What the gateways are told of it.
    pub(super) fn told(&self) -> watch::Receiver<Vec<ServedCertificate>> {
        self.told.subscribe()
    }

    /// The domain's certificate, while it is valid.
    pub(super) fn find(&self, name: &DomainName) -> Option<Certificate> {
        let now = self.clock.unix();
        let shown = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        shown.get(name).filter(|certificate| !certificate.is_expired(now)).cloned()
    }

    /// Whether the agent ends the TLS of that name with a certificate of its own.
    fn is_own(&self, server_name: &str) -> bool {
        self.own.iter().any(|name| name.as_str().eq_ignore_ascii_case(server_name))
    }

    fn key_for(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let name = DomainName::try_from(server_name.to_ascii_lowercase().as_str()).ok()?;
        match self.own.contains(&name) {
            true => self.find(&name).map(|certificate| Arc::clone(certificate.key())),
            // A gateway that ends TLS itself, under whatever name; it knows the key.
            false => Some(Arc::clone(&self.identity)),
        }
    }
}

fn served(certificate: &Certificate) -> ServedCertificate {
    let issued = certificate.issued();
    ServedCertificate {
        name: certificate.name().to_string(),
        issuer: issued.issuer.clone(),
        account_uri: issued.account_uri.clone(),
        chain: issued.chain.iter().map(|der| der.to_vec().into()).collect(),
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut offered = hello.alpn().into_iter().flatten();
        // RFC 8737: who validates offers this and nothing else. Nobody else is shown a challenge's certificate.
        match (offered.next(), offered.next()) {
            (Some(ACME_TLS), None) => self.challenges.resolve(hello),
            _ => self.key_for(hello.server_name()?),
        }
    }
}

/// Ends TLS and passes on what it carries.
pub(super) struct Server {
    config: Arc<IngressConfig>,
    ambient: Ambient,
    held: Arc<Held>,
    shown: Arc<Shown>,
    pages: Router,
    tls: TlsAcceptor,
}

impl Server {
    pub(super) fn new(
        config: &Arc<IngressConfig>,
        ambient: &Ambient,
        held: &Arc<Held>,
        shown: &Arc<Shown>,
        pages: Router,
    ) -> Result<Self, rustls::Error> {
        let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(shown) as _);
        tls.alpn_protocols = config.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        tls.alpn_protocols.push(ACME_TLS.to_vec());
        Ok(Self {
            config: Arc::clone(config),
            ambient: ambient.clone(),
            held: Arc::clone(held),
            shown: Arc::clone(shown),
            pages,
            tls: TlsAcceptor::from(Arc::new(tls)),
        })
    }

    /// Accepts while it is polled. Dropping it cuts every connection.
    pub(super) async fn run(self, listener: &mut Listener) -> Infallible {
        let this = Arc::new(self);
        let permits = Arc::new(Semaphore::new(this.config.connections));
        let mut connections = JoinSet::new();
        loop {
            let permit = Arc::clone(&permits).acquire_owned().await;
            let (client, _) = listener.accept().await;
            while connections.try_join_next().is_some() {}
            // The leasing says so a moment later; meanwhile nobody is let in.
            if !this.held.is_leased(this.ambient.clock.monotonic()) {
                continue;
            }
            let this = Arc::clone(&this);
            connections.spawn(async move {
                this.serve(client).await;
                drop(permit);
            });
        }
    }

    async fn serve(&self, client: Stream) {
        let label = self.whole(client).await;
        metrics::counter!("mandate_guest_ingress_connections_total", "end" => label).increment(1);
    }

    /// One connection; says how it ended.
    async fn whole(&self, client: Stream) -> &'static str {
        let clock = self.ambient.clock.as_ref();
        let limit = self.config.handshake_timeout;
        let Some(Ok(mut client)) = within(clock, limit, self.tls.accept(client)).await else {
            return "refused";
        };
        if client.get_ref().1.alpn_protocol() == Some(ACME_TLS) {
            // The handshake is all that the authority wants to see.
            let _ = within(clock, limit, client.shutdown()).await;
            return "validation";
        }
        let (host, port) = (self.config.forward.ip().to_string(), self.config.forward.port());
        match within(clock, limit, self.ambient.net.connect(&host, port)).await {
            Some(Ok(app)) => self.splice(client, app).await.label(),
            Some(Err(error)) => self.no_app(&error),
            None => self.no_app(&io::ErrorKind::TimedOut.into()),
        }
    }

    fn no_app(&self, error: &io::Error) -> &'static str {
        tracing::warn!(%error, forward = %self.config.forward, "the app does not take the connection");
        "no_app"
    }

    /// Passes on what is the app's, and answers what is the agent's.
    async fn splice(&self, client: TlsStream<Stream>, app: Stream) -> End {
        let (clock, idle) = (self.ambient.clock.as_ref(), self.config.idle_timeout);
        let traffic = Traffic::default();
        if !self.may_ask_us(&client) {
            return carry(client, app, &traffic, clock, idle).await;
        }
        match within(clock, idle, first_word(client, app, &pages::PATHS)).await {
            None => End::Idle,
            Some(Err(e)) => End::Broken(e.kind()),
            Some(Ok(Word::Theirs(client, app))) => carry(client, app, &traffic, clock, idle).await,
            Some(Ok(Word::Ours(client))) => {
                Box::pin(pages::serve(client, self.pages.clone(), self.config.handshake_timeout)).await
            }
        }
    }

    /// Over HTTP/1.1, under a name whose key is the app's. What a gateway passes on of its own clients is the app's alone.
    fn may_ask_us(&self, client: &TlsStream<Stream>) -> bool {
        let tls = client.get_ref().1;
        let own = tls.server_name().is_some_and(|name| self.shown.is_own(name));
        own && matches!(tls.alpn_protocol(), None | Some(HTTP_1))
    }
}

#[cfg(test)]
pub(super) mod tests;
