// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ingress mode: the agent ends the TLS of the app's own domains inside the TEE, and the gateway only passes bytes through.
//!
//! ```text
//! secret held ──▶ registered at the gateways ──▶ certificates ordered, validated through the gateways ──▶ served
//!      │                                                                                                    │
//!      └── lease over or denied: connections are cut, keys are gone ◀───────────────────────────────────────┘
//! ```
//! ACME account and certificate keys derive from the app's secret (T1): every instance of the app has the same ones, and none is
//! ever written down. What is kept on disk are certificates, which are public.

use std::{convert::Infallible, io, sync::Arc};

use mandate_acme::{
    AcmeConfig, AcmeIssuer, ExternalAccount, config::AcmeSetupError, dns::Dns, keys::KeySource,
};
use mandate_runtime::{Ambient, http::Health, net::Listener};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Quoter,
    agent::{Held, KeyState},
    instance::{CertificateError, Registration, TlsIdentity},
};

mod certificates;
mod config;
mod disk;
mod keys;
mod server;

use certificates::Orders;
pub use config::{AcmeSection, IngressConfig};
use keys::HeldKeys;
use server::{Server, Shown};

/// The health of this part of the agent.
const INGRESS: &str = "ingress";

/// Why ingress mode does not start.
#[derive(Debug, Error)]
pub enum IngressError {
    /// The port cannot be had.
    #[error("ingress.listen: {0}")]
    Listen(#[source] io::Error),
    /// The authority's root cannot be read.
    #[error("ingress.acme.ca_file: {0}")]
    CaFile(rustls_pki_types::pem::Error),
    /// DNS or the external account cannot be used.
    #[error(transparent)]
    Acme(#[from] AcmeSetupError),
    /// The authority cannot be spoken to.
    #[error("ingress.acme: {0}")]
    Tls(#[from] rustls::Error),
    /// The instance's own key cannot be made.
    #[error("the instance's TLS key: {0}")]
    Identity(#[from] CertificateError),
}

/// The domains that the agent serves for its app.
#[derive(Debug)]
pub(crate) struct Ingress {
    config: Arc<IngressConfig>,
    ambient: Ambient,
    quoter: Arc<dyn Quoter>,
    health: Health,
    identity: Arc<TlsIdentity>,
    roots: Vec<CertificateDer<'static>>,
    external_account: Option<ExternalAccount>,
    dns: Arc<Dns>,
    /// Held by whoever accepts.
    listener: Mutex<Listener>,
    address: std::net::SocketAddr,
}

impl Ingress {
    /// Binds the port. Nothing is served before the secret is there.
    pub(crate) async fn bind(
        config: IngressConfig,
        ambient: Ambient,
        quoter: Arc<dyn Quoter>,
        health: Health,
    ) -> Result<Self, IngressError> {
        let roots = match &config.acme.ca_file {
            None => Vec::new(),
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(IngressError::CaFile)?,
        };
        let external_account = config.acme.external_account.as_ref();
        let external_account =
            external_account.map(|account| account.build("ingress.acme.external_account")).transpose()?;
        let dns = Arc::new(config.acme.dns.build("ingress.acme.dns", &ambient)?);
        let identity = Arc::new(TlsIdentity::generate(&ambient, &["instance.invalid".to_owned()])?);
        let listener = ambient.net.listen(config.listen).await.map_err(IngressError::Listen)?;
        let address = listener.local_addr().map_err(IngressError::Listen)?;
        health.fail(INGRESS, "the app's secret is not there yet");
        Ok(Self {
            config: Arc::new(config),
            ambient,
            quoter,
            health,
            identity,
            roots,
            external_account,
            dns,
            listener: Mutex::new(listener),
            address,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Serves while there is a secret, until `stop` fires.
    pub(crate) async fn run(self, mut keys: watch::Receiver<KeyState>, stop: CancellationToken) {
        let serving = async {
            loop {
                let held = tokio::select! {
                    held = held(&mut keys) => held,
                    never = self.turn_away() => match never {},
                };
                let Some(held) = held else { return };
                let why = tokio::select! {
                    why = lost(&mut keys) => why,
                    error = self.serve(held) => {
                        tracing::error!(%error, "ingress mode does not work");
                        self.health.fail(INGRESS, &error);
                        // Nothing changes before the next secret.
                        lost(&mut keys).await
                    }
                };
                // Everything that was derived from the secret was dropped with it: connections, keys, challenges.
                let Some(why) = why else { return };
                self.health.fail(INGRESS, why);
            }
        };
        stop.run_until_cancelled(serving).await;
    }

    /// Closes every connection at once: a client that waits in the backlog would learn less.
    async fn turn_away(&self) -> Infallible {
        let mut listener = self.listener.lock().await;
        loop {
            drop(listener.accept().await);
        }
    }

    /// Serves with one secret, for as long as this is polled; ends with an error alone.
    async fn serve(&self, held: Arc<Held>) -> IngressError {
        let shown = match Shown::new(&self.identity, &self.config.domains) {
            Ok(shown) => Arc::new(shown),
            Err(error) => return error.into(),
        };
        let orders = match self.orders(&held, &shown) {
            Ok(orders) => orders,
            Err(error) => return error,
        };
        let server = match Server::new(&self.config, &self.ambient, &held, &shown) {
            Ok(server) => server,
            Err(error) => return error.into(),
        };
        let mut listener = self.listener.lock().await;
        let registered = watch::Sender::new(false);
        let registering = self.register(&registered);
        let ordering = orders.keep(registered.subscribe(), &self.health);
        let (never, (), ()) = tokio::join!(server.run(&mut listener), registering, ordering);
        match never {}
    }

    fn orders(&self, held: &Arc<Held>, shown: &Arc<Shown>) -> Result<Orders, IngressError> {
        let AcmeSection { directory, issuer, timeout, caa, .. } = &self.config.acme;
        let acme = AcmeConfig {
            directory: directory.clone(),
            extra_roots: self.roots.clone(),
            issuer: issuer.clone(),
            timeout: *timeout,
            external_account: self.external_account.clone(),
            caa: *caa,
        };
        let keys: Arc<dyn KeySource> = Arc::new(HeldKeys::new(held));
        let challenges = Arc::clone(&shown.challenges);
        let issuer = AcmeIssuer::new(
            acme,
            Arc::clone(&keys),
            challenges,
            Arc::clone(&self.dns),
            self.ambient.clone(),
        )?;
        Ok(Orders::new(
            Arc::clone(&self.config),
            self.ambient.clone(),
            keys,
            Arc::new(issuer),
            Arc::clone(shown),
        ))
    }

    /// Keeps a route at every gateway; says so once there is one.
    async fn register(&self, registered: &watch::Sender<bool>) {
        let forever = CancellationToken::new();
        let all = self.config.gateways.iter().map(|gateway| {
            let registration = Registration {
                gateway: gateway.clone(),
                upstream: self.config.advertise.clone(),
                domains: self.config.domains.iter().map(ToString::to_string).collect(),
            };
            let (ambient, identity, quoter, forever) =
                (&self.ambient, &*self.identity, &*self.quoter, &forever);
            async move {
                let observe = |answer: &Result<_, _>| {
                    if answer.is_ok() {
                        registered.send_replace(true);
                    }
                };
                registration.keep(ambient, identity, quoter, forever, observe).await;
            }
        });
        futures::future::join_all(all).await;
    }
}

/// The secret, as soon as there is one; none when there never will be.
async fn held(keys: &mut watch::Receiver<KeyState>) -> Option<Arc<Held>> {
    loop {
        if let KeyState::Held(held) = &*keys.borrow_and_update() {
            return Some(Arc::clone(held));
        }
        keys.changed().await.ok()?;
    }
}

/// Why there is no secret any more, as soon as that is so.
async fn lost(keys: &mut watch::Receiver<KeyState>) -> Option<String> {
    loop {
        if let KeyState::Waiting(why) = &*keys.borrow_and_update() {
            return Some(why.clone());
        }
        keys.changed().await.ok()?;
    }
}
