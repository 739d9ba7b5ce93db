// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Domains: ordering a certificate when the registry, read with proof, gives the domain to an app; serving it for as long
//! as that is so; renewing it in time. And the wildcard of the gateway's own names, which no app holds.
//!
//! What is kept is shared by the fleet ([`crate::store`]): one gateway orders, all of them serve.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::primitives::Address;
use mandate_acme::{
    issuer::{CertificateIssuer, IssueError},
    keys::{KeyError, KeySource},
    name::{DomainName, NameError, Subject},
};
use mandate_model::wire::gateway::IssuedCertificate;
use mandate_runtime::Ambient;
use thiserror::Error;

use crate::{
    certificates::{self, CertificateError, CertificateKeys, Certificates},
    chain::{At, Chain, Standing, Undecided},
    routes::Routes,
    store::{Damaged, Slot, Store, StoreError},
};

mod known;
mod load;
mod order;
mod release;
mod renewal;
mod review;
mod superseded;

use known::Table;

/// Why a domain gets no certificate.
#[derive(Debug, Error)]
pub enum OrderError {
    /// Not a name.
    #[error("{name:?} is no domain: {source}")]
    Name {
        /// As given.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Names under the base domain belong to the ids.
    #[error("{0} lies under the gateway's base domain, where names are app and instance ids")]
    Base(DomainName),
    /// The registry gives it to nobody.
    #[error("{name} is not approved for any app at block {block}")]
    NotApproved {
        /// The domain.
        name: DomainName,
        /// As of which block.
        block: u64,
    },
    /// Finalised state gives it to an app, and newer state does not.
    #[error(
        "{name} is being released or moved: the finalised block and the newest do not give it to the same app"
    )]
    Changing {
        /// The domain.
        name: DomainName,
    },
    /// Nothing is released to the app.
    #[error("{name} belongs to app {app}, which is paused, suspended or closed")]
    Halted {
        /// The domain.
        name: DomainName,
        /// The app.
        app: Address,
    },
    /// The registry could not be read.
    #[error(transparent)]
    Undecided(#[from] Undecided),
    /// It failed a moment ago.
    #[error("ordering {subject} failed before, or the authority wants a pause; the next attempt is due in {}s", after.as_secs())]
    TooSoon {
        /// What for.
        subject: Subject,
        /// When to ask again.
        after: Duration,
    },
    /// It takes its time, elsewhere.
    #[error("another gateway of the fleet is ordering {0}; ask again")]
    Elsewhere(Subject),
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The issuer did not give one.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The issuer gave something else.
    #[error("the issuer's certificate is refused: {0}")]
    Certificate(#[from] CertificateError),
    /// What is kept cannot be believed, and nothing is ordered in its place.
    #[error(transparent)]
    Damaged(Damaged),
    /// The store did not answer.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(damaged) => Self::Damaged(damaged),
            other => Self::Store(other),
        }
    }
}

/// The domains of apps, and the gateway's own names.
pub struct Domains {
    /// What is served.
    pub certificates: Arc<Certificates>,
    chain: Arc<dyn Chain>,
    keys: CertificateKeys,
    issuer: Arc<dyn CertificateIssuer>,
    store: Arc<dyn Store>,
    ambient: Ambient,
    base: DomainName,
    base_certificate: bool,
    /// Which names are led to instances that end their TLS.
    routes: Arc<Routes>,
    known: Table,
    turns: Mutex<HashMap<Subject, Arc<tokio::sync::Mutex<()>>>>,
    /// When DNS is looked at next, in monotonic time.
    checks: Mutex<HashMap<Subject, Duration>>,
}

impl fmt::Debug for Domains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domains")
            .field("issuer", &self.issuer)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Domains {
    /// No domain is served yet. Under `base` there are ids and no domains.
    pub fn new(
        chain: Arc<dyn Chain>,
        keys: Arc<dyn KeySource>,
        issuer: Arc<dyn CertificateIssuer>,
        store: Arc<dyn Store>,
        ambient: Ambient,
        base: DomainName,
    ) -> Self {
        Self {
            certificates: Arc::default(),
            chain,
            keys: CertificateKeys::new(keys),
            issuer,
            store,
            ambient,
            base,
            base_certificate: false,
            routes: Arc::default(),
            known: Table::default(),
            turns: Mutex::default(),
            checks: Mutex::default(),
        }
    }

    /// Whether the gateway's own names get a certificate: a wildcard, which an authority gives by DNS-01 alone.
    #[must_use]
    pub fn with_base_certificate(self, base_certificate: bool) -> Self {
        Self { base_certificate, ..self }
    }

    /// Renews nothing while instances of these routes end a name's TLS themselves.
    #[must_use]
    pub fn beside(self, routes: Arc<Routes>) -> Self {
        Self { routes, ..self }
    }

    /// Obtains a certificate for a domain, or gives the one that is served when it will do for some time.
    ///
    /// # Errors
    /// Whatever keeps the domain from having one.
    pub async fn order(&self, name: &str) -> Result<IssuedCertificate, OrderError> {
        let name = self.parse(name)?;
        let app = self.holder(&name).await?;
        let slot = Slot { subject: Subject::Domain(name), app: Some(app) };
        Ok(certificates::record(&self.obtain(&slot, order::Patience::Wait).await?, app))
    }

    fn parse(&self, name: &str) -> Result<DomainName, OrderError> {
        let shown = || name.chars().take(64).collect();
        let name = DomainName::try_from(name).map_err(|source| OrderError::Name { name: shown(), source })?;
        match name.is_within(&self.base) {
            true => Err(OrderError::Base(name)),
            false => Ok(name),
        }
    }

    /// The app that may serve `name`: by finalised state, and still by the newest (G-1, G-7).
    async fn holder(&self, name: &DomainName) -> Result<Address, OrderError> {
        let finalized = self.chain.app_of(name, At::Finalized).await?;
        let Some(app) = finalized.app else {
            return Err(OrderError::NotApproved { name: name.clone(), block: finalized.block.number });
        };
        if self.chain.app_of(name, At::Head).await?.app != Some(app) {
            return Err(OrderError::Changing { name: name.clone() });
        }
        for at in [At::Finalized, At::Head] {
            if self.chain.standing(app, at).await? != Standing::Active {
                return Err(OrderError::Halted { name: name.clone(), app });
            }
        }
        Ok(app)
    }

    fn now(&self) -> u64 {
        self.ambient.clock.unix()
    }

    fn base_slot(&self) -> Slot {
        Slot { subject: Subject::Wildcard(self.base.clone()), app: None }
    }

    /// One order and one revocation per name at a time in this gateway: whoever waited finds it done.
    fn turn(&self, subject: &Subject) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = lock(&self.turns);
        // Those that nobody waits for are forgotten from time to time.
        if turns.len() >= MAX_TURNS {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(subject.clone()).or_default())
    }
}

/// Names with a lock of their own that are remembered while nobody waits for them.
const MAX_TURNS: usize = 4_096;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
