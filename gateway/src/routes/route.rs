// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One way to one instance.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mandate_acme::name::DomainName;
use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;

use super::Reported;
use crate::{facts::Facts, tls, upstream::Upstream};

/// Sets of protocols for which a configuration is kept: what browsers and tools offer. Clients may make up any number.
const OFFERS: usize = 4;

/// A route's number; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub(super) u64);

/// One way to one instance, allowed as of some verified block.
#[derive(Debug)]
pub struct Route {
    /// Its number.
    pub id: RouteId,
    /// What the instance proved.
    pub facts: Facts,
    /// DER of the only public key that the instance's TLS server may prove.
    pub spki: Vec<u8>,
    /// Where it is.
    pub upstream: Upstream,
    /// Domains whose TLS the instance ends itself.
    pub ingress: Vec<Ingress>,
    /// Cancelled when the route ends; every connection through it ends with it.
    pub ended: CancellationToken,
    connections: AtomicU64,
    failing: AtomicBool,
    draining: AtomicBool,
    /// When it last answered as it must, in milliseconds of monotonic time.
    answered: AtomicU64,
    tls: Mutex<Vec<Arc<ClientConfig>>>,
    certificates: Mutex<Vec<Arc<Reported>>>,
}

/// A domain that an instance serves by itself, while the registry gives it to the instance's app.
#[derive(Debug, Clone)]
pub struct Ingress {
    /// The domain.
    pub name: DomainName,
    /// Cancelled when the domain is taken away; every connection to it ends with it.
    pub ended: CancellationToken,
}

/// A route that is to be made.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What the instance proved.
    pub facts: Facts,
    /// DER of its TLS key.
    pub spki: Vec<u8>,
    /// Where it is.
    pub upstream: Upstream,
    /// Domains whose TLS it ends itself; the registry gives each to its app.
    pub ingress: Vec<DomainName>,
    /// What it serves them with.
    pub certificates: Vec<Arc<Reported>>,
}

impl Route {
    pub(super) fn new(id: RouteId, candidate: Candidate) -> Self {
        let Candidate { facts, spki, upstream, ingress, certificates } = candidate;
        let ended = CancellationToken::new();
        let ingress = ingress.into_iter().map(|name| Ingress { name, ended: ended.child_token() }).collect();
        Self {
            id,
            facts,
            spki,
            upstream,
            ingress,
            ended,
            connections: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            tls: Mutex::default(),
            certificates: Mutex::new(certificates),
        }
    }

    pub(super) fn certificates(&self) -> MutexGuard<'_, Vec<Arc<Reported>>> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection for as long as the guard lives.
    pub fn connect(self: &Arc<Self>) -> ConnectionGuard {
        self.connections.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("mandate_gateway_connections").increment(1.0);
        ConnectionGuard(Arc::clone(self))
    }

    /// Open connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Notes at `now` whether the instance answered as it must; one that did not is asked last.
    pub fn note(&self, answered: bool, now: Duration) {
        self.failing.store(!answered, Ordering::Relaxed);
        if answered {
            let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            self.answered.store(millis, Ordering::Relaxed);
        }
    }

    /// Whether it did not answer when it was last asked.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// When it last answered as it must.
    pub fn answered(&self) -> Duration {
        Duration::from_millis(self.answered.load(Ordering::Relaxed))
    }

    /// Whether it gets no new connections, by an operator's wish.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Says whether it is to get new connections. Those that are open go on either way.
    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// TLS to the instance, with its key pinned, offering `protocols`. All connections of a route share their sessions.
    ///
    /// # Errors
    /// When the TLS provider lacks the protocol version.
    pub fn tls(&self, protocols: &[Vec<u8>]) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut kept = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = kept.iter().find(|config| config.alpn_protocols == protocols) {
            return Ok(Arc::clone(same));
        }
        let mut config = match kept.first() {
            Some(other) => ClientConfig::clone(other),
            None => tls::upstream(self.spki.clone(), Vec::new())?,
        };
        config.alpn_protocols = protocols.to_vec();
        let config = Arc::new(config);
        if kept.len() < OFFERS {
            kept.push(Arc::clone(&config));
        }
        Ok(config)
    }

    /// The domain, if the instance ends its TLS.
    pub fn ingress(&self, name: &DomainName) -> Option<&Ingress> {
        self.ingress.iter().find(|ingress| ingress.name == *name && !ingress.ended.is_cancelled())
    }

    pub(super) fn is_same(&self, candidate: &Candidate) -> bool {
        self.facts == candidate.facts
            && self.spki == candidate.spki
            && self.upstream == candidate.upstream
            && self.ingress.iter().map(|ingress| &ingress.name).eq(&candidate.ingress)
            && self.ingress.iter().all(|ingress| !ingress.ended.is_cancelled())
    }
}

/// A counted connection.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<Route>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("mandate_gateway_connections").decrement(1.0);
    }
}
