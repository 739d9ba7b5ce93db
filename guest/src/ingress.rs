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

use mandate_acme::{AcmeConfig, AcmeIssuer, config::AcmeSetupError, dns::Dns, keys::KeySource};
use mandate_model::wire::gateway::RegisterResponse;
use mandate_runtime::{Ambient, http::Health, net::Listener};
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Quoter,
    agent::{Held, KeyState},
    config::Config,
    instance::{CertificateError, ProofKind, RegisterError, Registration, Statements, TlsIdentity},
};

mod certificates;
mod config;
mod disk;
mod keys;
mod offers;
mod pages;
mod problems;
mod server;

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;

use certificates::Orders;
pub use config::IngressConfig;
pub use disk::{parse_kept, write_kept};
use keys::HeldKeys;
use offers::Offers;
use pages::{Deployed, Pages};
use problems::{Problems, SECRET};
use server::{Server, Shown};

/// Why ingress mode does not start.
#[derive(Debug, Error)]
pub enum IngressError {
    /// The port cannot be had.
    #[error("ingress.listen: {0}")]
    Listen(#[source] io::Error),
    /// A file or key of the section `ingress.acme` cannot be used.
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
    statements: Option<Statements>,
    problems: Arc<Problems>,
    deployed: Deployed,
    identity: Arc<TlsIdentity>,
    acme: AcmeConfig,
    dns: Arc<Dns>,
    /// Held by whoever accepts.
    listener: Mutex<Listener>,
    address: std::net::SocketAddr,
}

impl Ingress {
    /// Binds the port. Nothing is served before the secret is there.
    pub(crate) async fn bind(
        config: IngressConfig,
        agent: &Config,
        ambient: Ambient,
        quoter: Arc<dyn Quoter>,
        health: Health,
    ) -> Result<Self, IngressError> {
        let (acme, dns) = config.acme.build("ingress.acme", &ambient)?;
        let identity = Arc::new(TlsIdentity::generate(&ambient, &["instance.invalid".to_owned()])?);
        let listener = ambient.net.listen(config.listen).await.map_err(IngressError::Listen)?;
        let address = listener.local_addr().map_err(IngressError::Listen)?;
        let problems = Arc::new(Problems::new(health));
        problems.all("the app's secret is not there yet");
        let deployed = Deployed {
            chain_id: agent.chain.chain_id,
            kms_auth: agent.chain.kms_auth,
            domain_registry: config.domain_registry,
        };
        let statements = match config.proof {
            ProofKind::Evidence => None,
            ProofKind::Statement => {
                let (relayers, quoter) = (agent.relayers.clone(), Arc::clone(&quoter));
                Some(Statements::new(&ambient, agent.pinned(), relayers, quoter))
            }
        };
        Ok(Self {
            config: Arc::new(config),
            ambient,
            quoter,
            statements,
            problems,
            deployed,
            identity,
            acme,
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
                    held = self.held(&mut keys) => held,
                    never = self.turn_away() => match never {},
                };
                let Some(held) = held else { return };
                let why = tokio::select! {
                    biased;
                    why = self.lost(&mut keys, &held) => why,
                    never = self.serve_or_wait(Arc::clone(&held)) => match never {},
                };
                // Everything that was derived from the secret was dropped with it: connections, keys, challenges.
                let Some(why) = why else { return };
                tracing::error!(%why, "the app's domains are not served any more");
                self.problems.all(why);
            }
        };
        stop.run_until_cancelled(serving).await;
    }

    async fn serve_or_wait(&self, held: Arc<Held>) -> Infallible {
        let error = self.serve(held).await;
        tracing::error!(%error, "ingress mode does not work");
        self.problems.all(&error);
        // Nothing changes before the next secret.
        futures::future::pending().await
    }

    /// The secret, as soon as there is one that may be used; none when there never will be.
    async fn held(&self, keys: &mut watch::Receiver<KeyState>) -> Option<Arc<Held>> {
        loop {
            if let KeyState::Held(held) = &*keys.borrow_and_update()
                && held.is_leased(self.ambient.clock.monotonic())
            {
                return Some(Arc::clone(held));
            }
            keys.changed().await.ok()?;
        }
    }

    /// Why `held` may not be used any more, as soon as that is so. The lease's end is looked at here, too: whoever renews it may
    /// be waiting for a node that does not answer.
    async fn lost(&self, keys: &mut watch::Receiver<KeyState>, held: &Arc<Held>) -> Option<String> {
        let clock = self.ambient.clock.as_ref();
        loop {
            match &*keys.borrow_and_update() {
                KeyState::Waiting(why) => return Some(why.clone()),
                KeyState::Held(now) if !Arc::ptr_eq(now, held) => {
                    return Some("the app's secret is another one now".to_owned());
                }
                KeyState::Held(_) => {}
            }
            let left = held.left(clock.monotonic());
            if left.is_zero() {
                return Some("the lease of the app's secret is over".to_owned());
            }
            tokio::select! {
                changed = keys.changed() => changed.ok()?,
                () = clock.sleep(left) => {}
            }
        }
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
        let offers = watch::Sender::new(Offers::new());
        let (server, orders) = match self.parts(&held, offers.subscribe()) {
            Ok(parts) => parts,
            Err(error) => return error,
        };
        for domain in &self.config.domains {
            self.problems.set(domain, "no certificate yet");
        }
        for gateway in &self.config.gateways {
            self.problems.set(gateway, "no route yet");
        }
        self.problems.clear(SECRET);
        let mut listener = self.listener.lock().await;
        let registered = watch::Sender::new(false);
        let registering = self.register(&registered, &offers, &orders.shown);
        let ordering = orders.keep(registered.subscribe());
        let (never, (), ()) = tokio::join!(server.run(&mut listener), registering, ordering);
        match never {}
    }

    fn parts(
        &self,
        held: &Arc<Held>,
        offers: watch::Receiver<Offers>,
    ) -> Result<(Server, Orders), IngressError> {
        let clock = Arc::clone(&self.ambient.clock);
        let shown = Arc::new(Shown::new(&self.identity, &self.config.domains, Arc::clone(&clock))?);
        let keys: Arc<dyn KeySource> = Arc::new(HeldKeys::new(held));
        let (quoter, seen) = (Arc::clone(&self.quoter), Arc::clone(&shown));
        let pages = Pages::new(self.deployed, held, Arc::clone(&keys), quoter, seen, clock).router();
        let server = Server::new(&self.config, &self.ambient, held, &shown, pages)?;
        Ok((server, self.orders(keys, shown, offers)?))
    }

    fn orders(
        &self,
        keys: Arc<dyn KeySource>,
        shown: Arc<Shown>,
        offers: watch::Receiver<Offers>,
    ) -> Result<Orders, IngressError> {
        let challenges = Arc::clone(&shown.challenges);
        let issuer = AcmeIssuer::new(
            self.acme.clone(),
            Arc::clone(&keys),
            challenges,
            Arc::clone(&self.dns),
            self.ambient.clone(),
        )?;
        Ok(Orders {
            config: Arc::clone(&self.config),
            ambient: self.ambient.clone(),
            keys,
            issuer: Arc::new(issuer),
            shown,
            problems: Arc::clone(&self.problems),
            offers,
        })
    }

    /// Keeps a route at every gateway; says so once there is one. Each is told with what the domains are served, and tells
    /// with what other instances serve them.
    async fn register(
        &self,
        registered: &watch::Sender<bool>,
        offers: &watch::Sender<Offers>,
        shown: &Shown,
    ) {
        let forever = CancellationToken::new();
        let all = self.config.gateways.iter().map(|gateway| {
            let registration = Registration {
                gateway: gateway.clone(),
                upstream: self.config.advertise.clone(),
                domains: self.config.domains.iter().map(ToString::to_string).collect(),
                served: Some(shown.told()),
            };
            let (ambient, identity, forever) = (&self.ambient, &*self.identity, &forever);
            async move {
                let observe = |answer: &Result<RegisterResponse, RegisterError>| match answer {
                    Ok(answer) => {
                        self.problems.clear(gateway);
                        // First, so that nobody orders what is there.
                        offers::note(offers, gateway, answer);
                        registered.send_replace(true);
                    }
                    Err(error) => self.problems.set(gateway, error),
                };
                match &self.statements {
                    None => registration.keep(ambient, identity, &*self.quoter, forever, observe).await,
                    Some(statements) => {
                        registration.keep(ambient, identity, statements, forever, observe).await;
                    }
                }
            }
        });
        futures::future::join_all(all).await;
    }
}
