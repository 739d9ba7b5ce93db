// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Domains whose TLS instances end themselves: led to them no more as soon as the head gives the domain to somebody else (G-7).

use alloy::primitives::{Address, keccak256};
use futures::{StreamExt, stream};
use mandate_acme::name::DomainName;
use mandate_model::wire::gateway::{DomainRelease, ReleaseEffect};

use super::{PARALLEL, Revocations};
use crate::chain::At;

impl Revocations {
    /// Somebody says that a domain was released. What happens follows from the gateway's own reading of the registry.
    pub async fn release(&self, notice: &DomainRelease) -> ReleaseEffect {
        let mut effect = ReleaseEffect::default();
        let meant = |(name, _): &(DomainName, Address)| keccak256(name.as_str()) == notice.domain_hash;
        for (name, app) in self.routes.ingress_domains().into_iter().filter(meant) {
            let seen = self.chain.app_of(&name, At::Head).await;
            let behind = seen.as_ref().map_or(true, |holder| holder.block.number < notice.block_number);
            let problem = self.review_ingress(name, app).await;
            let served = problem.is_some() || seen.is_ok_and(|holder| holder.app == Some(app));
            effect.served |= served;
            effect.pending |= problem.is_some() || (served && behind);
        }
        effect
    }

    /// Looks at every such domain again; gives the first problem, if there was one.
    pub(super) async fn review_ingresses(&self) -> Option<String> {
        let all = stream::iter(self.routes.ingress_domains());
        let reviewed = all.map(|(name, app)| self.review_ingress(name, app)).buffer_unordered(PARALLEL);
        reviewed.fold(None, async |first, one| first.or(one)).await
    }

    async fn review_ingress(&self, name: DomainName, app: Address) -> Option<String> {
        match self.chain.app_of(&name, At::Head).await {
            Ok(holder) if holder.app == Some(app) => None,
            Ok(holder) => {
                tracing::info!(%name, %app, block = holder.block.number, "domain is not led to the app any more");
                self.routes.remove_ingress(&name, app);
                None
            }
            // Undecided leaves it as it is (G-6).
            Err(undecided) => Some(undecided.to_string()),
        }
    }
}
