// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates that no relayer ordered: those that gateways renew by themselves, and those of apps that end TLS themselves. Each
//! gateway is asked for its list from time to time, and what the registry does not have is recorded. A monitor of Certificate
//! Transparency waits an hour for that before it calls a certificate unknown.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{B256, U256, keccak256};
use mandate_model::wire::gateway::IssuedCertificate;
use mandate_runtime::{
    Clock,
    http::{Client, HttpError},
};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::Contracts,
    effects::NewEffect,
    store::{Store, StoreError},
};

/// Pages that are read of one gateway: several times as many domains as one serves.
const PAGES: usize = 1_024;
/// How long a gateway may take for one.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a gateway's certificates could not be looked through.
#[derive(Debug, Error)]
pub enum ListingError {
    /// The gateway did not answer as it must.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The database did not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The next page does not follow the one before.
    #[error("the gateway's list is not in the order of the names, or endless")]
    Endless,
}

/// Looks through the gateways' certificates.
pub struct Listing {
    /// What certificates are recorded in.
    pub contracts: Contracts,
    /// The folded state, and the outbox.
    pub store: Arc<dyn Store>,
    /// Speaks to gateways.
    pub client: Client,
    /// Base URLs.
    pub gateways: Vec<String>,
    /// How often.
    pub every: Duration,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Rung when transactions are to be sent.
    pub chain_bell: Arc<Notify>,
}

impl Listing {
    /// Works until `stop` fires.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let work = async {
            loop {
                self.round().await;
                self.clock.sleep(self.every).await;
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Asks every gateway once. Tells how many certificates are to be recorded.
    pub async fn round(&self) -> usize {
        let mut count = 0;
        for gateway in &self.gateways {
            match self.look_through(gateway).await {
                Ok(new) => count += new,
                Err(error) => tracing::warn!(%error, "a gateway's certificates are not looked through"),
            }
        }
        if count > 0 {
            self.chain_bell.notify_one();
        }
        count
    }

    async fn look_through(&self, gateway: &str) -> Result<usize, ListingError> {
        let client = self.client.clone().timeout(TIMEOUT);
        let base = format!("{}/v1/domains", gateway.trim_end_matches('/'));
        let (mut count, mut after) = (0, String::new());
        for _ in 0..PAGES {
            let page: Vec<IssuedCertificate> = client.get_json(&format!("{base}?after={after}")).await?;
            let Some(last) = page.last().map(|issued| issued.name.clone()) else { return Ok(count) };
            // It goes into the next URL: a name as the registry takes it, and no more.
            let is_name = last.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            if last <= after || !is_name {
                return Err(ListingError::Endless);
            }
            after = last;
            for issued in page {
                count += self.consider(issued).await?;
            }
        }
        Err(ListingError::Endless)
    }

    /// By what is final: one for a domain that is another app's, or nobody's, is left alone, and so is one that is recorded. One
    /// whose record is not final yet leads to the same effect again, which is one.
    async fn consider(&self, issued: IssuedCertificate) -> Result<usize, ListingError> {
        let domain = keccak256(&issued.name);
        let before: B256 = U256::from_be_bytes(domain.0).saturating_sub(U256::from(1)).into();
        let found = self.store.folded_domains(Some(before), 1).await?.value;
        let found = found.into_iter().find(|(hash, known)| *hash == domain && known.app == issued.app);
        let Some((_, known)) = found else { return Ok(0) };
        if known.certificates.iter().any(|recorded| recorded.fingerprint == issued.fingerprint) {
            return Ok(0);
        }
        tracing::info!(domain = %issued.name, app = %issued.app, fingerprint = %issued.fingerprint, "to be recorded");
        self.store.enqueue(NewEffect::of_certificate(&self.contracts, issued)).await?;
        Ok(1)
    }
}
