// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TLS-ALPN-01 in a fleet: the authority's validation reaches any gateway behind the name, so each one answers for the orders of
//! all. What it has to know of a challenge, the SHA-256 of its key authorization, is in the store; a certificate around it is made
//! with a key of no meaning.
//!
//! A digest that somebody else put there would have gateways prove control of every domain to an account of his. So each row has a
//! tag by a key that derives from the gateway app's secret, over everything in it.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use hmac::{Hmac, Mac};
use mandate_acme::{
    challenge::{ChallengeError, SharedChallenges, certificate},
    keys::{KeyError, KeySource},
    name::DomainName,
};
use mandate_runtime::{
    Ambient,
    clock::within,
    http::{PeerKey, Rate, Rates},
};
use rustls::{ServerConfig, sign::SingleCertAndKey};
use sha2::Sha256;
use tokio::sync::Semaphore;

use crate::{
    certificates::CertificateKeys,
    store::{Challenge, Store},
    tls,
};

/// How long a look into the store may take, the wait for one's turn included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Looks at a time: anybody can ask, and the store has few connections.
const AT_A_TIME: usize = 2;
/// How often one address may have it looked: per second, and at once. An authority asks from a handful of addresses.
const RATE: Rate = Rate { per_second: NonZeroU32::new(16).unwrap(), burst: NonZeroU32::new(64).unwrap() };

/// The challenges of the fleet's orders.
#[derive(Clone)]
pub struct FleetChallenges(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    keys: CertificateKeys,
    ambient: Ambient,
    rates: Rates,
    turns: Semaphore,
}

impl fmt::Debug for FleetChallenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetChallenges").field("store", &self.0.store).finish_non_exhaustive()
    }
}

impl FleetChallenges {
    /// Shares them through `store`.
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn KeySource>, ambient: Ambient) -> Self {
        let rates = Rates::new(RATE, Arc::clone(&ambient.clock));
        let (keys, turns) = (CertificateKeys::new(keys), Semaphore::new(AT_A_TIME));
        Self(Arc::new(Shared { store, keys, ambient, rates, turns }))
    }

    /// TLS that answers a validation of `name`, for `peer`: none when no gateway of the fleet waits for one, when that cannot
    /// be found out in time, or when `peer` asks too often.
    pub(crate) async fn answer(&self, name: &DomainName, peer: PeerKey) -> Option<ServerConfig> {
        self.0.rates.take(peer).ok()?;
        let found = within(self.0.ambient.clock.as_ref(), PATIENCE, self.0.find(name)).await;
        let digest = found
            .unwrap_or_else(|| Err(ChallengeError::Shared("the store takes too long".to_owned())))
            .inspect_err(|error| tracing::warn!(%name, %error, "a validation is not answered"))
            .ok()??;
        let certified = certificate(name, digest, self.0.ambient.entropy.as_ref()).ok()?;
        tls::acme_server(Arc::new(SingleCertAndKey::from(certified))).ok()
    }
}

fn unshared(error: impl fmt::Display) -> ChallengeError {
    ChallengeError::Shared(error.to_string())
}

impl Shared {
    async fn find(&self, name: &DomainName) -> Result<Option<[u8; 32]>, ChallengeError> {
        let _turn = self.turns.acquire().await.map_err(unshared)?;
        let Some(found) = self.store.challenge(name.to_string()).await.map_err(unshared)? else {
            return Ok(None);
        };
        if found.expires_at <= self.now(Duration::ZERO) {
            return Ok(None);
        }
        let mac = self.mac(name, &found.digest, found.expires_at).await?;
        mac.verify_slice(&found.tag)
            .map_err(|_| unshared("no gateway of this fleet wrote what is in the store"))?;
        found.digest.as_slice().try_into().map(Some).map_err(unshared)
    }

    async fn mac(&self, name: &DomainName, digest: &[u8], expires_at: i64) -> Result<Hmac<Sha256>, KeyError> {
        let key = self.keys.parent().await?.challenge_key()?;
        let mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).map_err(|_| KeyError::Encoding)?;
        let name = name.as_str().as_bytes();
        let mac = mac.chain_update((name.len() as u64).to_be_bytes()).chain_update(name);
        let mac = mac.chain_update((digest.len() as u64).to_be_bytes()).chain_update(digest);
        Ok(mac.chain_update(expires_at.to_be_bytes()))
    }

    /// Milliseconds since the Unix epoch, after `later`.
    fn now(&self, later: Duration) -> i64 {
        let then = self.ambient.clock.unix_time().saturating_add(later);
        i64::try_from(then.as_millis()).unwrap_or(i64::MAX)
    }
}

impl SharedChallenges for FleetChallenges {
    fn open<'a>(
        &'a self,
        name: &'a DomainName,
        key_authorization: [u8; 32],
        life: Duration,
    ) -> BoxFuture<'a, Result<(), ChallengeError>> {
        let shared = &self.0;
        async move {
            let expires_at = shared.now(life);
            let mac = shared.mac(name, &key_authorization, expires_at).await?;
            let tag = mac.finalize().into_bytes().to_vec();
            let challenge = Challenge { digest: key_authorization.to_vec(), expires_at, tag };
            shared.store.open_challenge(name.to_string(), challenge).await.map_err(unshared)
        }
        .boxed()
    }

    fn close(&self, name: DomainName, key_authorization: [u8; 32]) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.0);
        async move {
            let closed = shared.store.close_challenge(name.to_string(), key_authorization.to_vec()).await;
            if let Err(error) = closed {
                tracing::warn!(%name, %error, "a challenge stays in the store until its time is over");
            }
        }
        .boxed()
    }
}
