// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The TLS port of ingress mode: the app's domains, the challenges of its authority, and the instance's own key for gateways
//! that end TLS themselves.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use mandate_acme::{ACME_TLS, challenge::ChallengeStore, name::DomainName};
use mandate_runtime::{
    Ambient,
    carry::{Traffic, carry},
    clock::within,
    net::{Listener, Stream},
};
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{io::AsyncWriteExt, sync::Semaphore, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::IngressConfig;
use crate::{agent::Held, instance::TlsIdentity};

/// What clients are shown.
pub(super) struct Shown {
    pub(super) challenges: Arc<ChallengeStore>,
    identity: Arc<CertifiedKey>,
    own: Vec<DomainName>,
    domains: RwLock<HashMap<DomainName, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Shown {
    /// Nothing but the instance's own key yet.
    pub(super) fn new(identity: &TlsIdentity, own: &[DomainName]) -> Result<Self, rustls::Error> {
        let signing = ring::sign::any_ecdsa_type(&identity.private_key())?;
        let identity = Arc::new(CertifiedKey::new(vec![identity.certificate()], signing));
        Ok(Self { challenges: Arc::default(), identity, own: own.to_vec(), domains: RwLock::default() })
    }

    pub(super) fn show(&self, name: &DomainName, key: Arc<CertifiedKey>) {
        let mut domains = self.domains.write().unwrap_or_else(PoisonError::into_inner);
        domains.insert(name.clone(), key);
    }

    pub(super) fn hide(&self, name: &DomainName) {
        self.domains.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn key_for(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let name = DomainName::try_from(server_name.to_ascii_lowercase().as_str()).ok()?;
        match self.own.contains(&name) {
            true => self.domains.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned(),
            // A gateway that ends TLS itself, under whatever name; it knows the key.
            false => Some(Arc::clone(&self.identity)),
        }
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
    tls: TlsAcceptor,
}

impl Server {
    pub(super) fn new(
        config: &Arc<IngressConfig>,
        ambient: &Ambient,
        held: &Arc<Held>,
        shown: &Arc<Shown>,
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
        let clock = self.ambient.clock.as_ref();
        let accepted = within(clock, self.config.handshake_timeout, self.tls.accept(client)).await;
        let Some(Ok(mut client)) = accepted else { return };
        if client.get_ref().1.alpn_protocol() == Some(ACME_TLS) {
            // The handshake is all that the authority wants to see.
            let _ = client.shutdown().await;
            return;
        }
        let (host, port) = (self.config.forward.ip().to_string(), self.config.forward.port());
        let dialled =
            within(clock, self.config.handshake_timeout, self.ambient.net.connect(&host, port)).await;
        match dialled {
            Some(Ok(app)) => {
                let traffic = Traffic::default();
                let end = carry(client, app, &traffic, clock, self.config.idle_timeout).await;
                metrics::counter!("mandate_guest_ingress_connections_total", "end" => end.label())
                    .increment(1);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, forward = %self.config.forward, "the app does not take the connection");
                metrics::counter!("mandate_guest_ingress_connections_total", "end" => "no_app").increment(1);
            }
            None => {
                metrics::counter!("mandate_guest_ingress_connections_total", "end" => "no_app").increment(1)
            }
        }
    }
}
