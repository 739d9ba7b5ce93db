// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One attempt at one request: what is asked of whom, and what follows from the answer.

use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use mandate_model::{
    bindings::{AppAuth, DomainRegistry, KmsAuth},
    signed::{self, ReceiptRoot},
    wire::{
        gateway::{DomainOrder, DomainRelease, IssuedCertificate, ReleaseEffect},
        kms::SignedRoot,
    },
};
use mandate_runtime::http::HttpError;
use serde::{Serialize, de::IgnoredAny};
use thiserror::Error;

use super::Dispatcher;
use crate::{
    effects::{
        Effect, NewEffect,
        webhook::{DeliveryError, Message, Occurrence},
    },
    store::StoreError,
};

/// `VersionState.Scheduled` and `VersionState.Active`.
const COMING: [u8; 2] = [1, 2];

/// Why an attempt failed.
#[derive(Debug, Error)]
pub(super) enum AttemptError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Webhook(#[from] DeliveryError),
    #[error("reading the chain: {0}")]
    Chain(#[from] alloy::contract::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no gateway is configured")]
    NoGateway,
    #[error("the gateway answered for {name:?} and app {app}")]
    OtherCertificate { name: String, app: Address },
    #[error("the gateway has not seen the release yet, or could not revoke the certificate yet")]
    NotReleased,
    #[error("{0} answered with a root that it did not sign")]
    ForgedRoot(Address),
    #[error("it passed and cannot be executed now: {0}")]
    NotExecutable(String),
    #[error("this effect is no request")]
    WrongLane,
}

impl Dispatcher {
    pub(super) async fn carry_out(
        &self,
        key: &str,
        effect: &Effect,
        attempts: u32,
    ) -> Result<Vec<NewEffect>, AttemptError> {
        match effect {
            Effect::RevocationPush { target, notice } => self.push(target, "v1/revocations", notice).await,
            Effect::GrantPush { target, notice } => self.push(target, "v1/grants", notice).await,
            Effect::CertificateOrder { order, app } => {
                let issued = self.order(order, *app, attempts).await?;
                Ok(issued
                    .map(|issued| NewEffect::of_certificate(&self.contracts, issued))
                    .unwrap_or_default())
            }
            Effect::CertificateRenewal { domain, fingerprint } => {
                self.renew(key, *domain, *fingerprint, attempts).await
            }
            Effect::DomainRelease { target, notice } => self.release(target, notice).await,
            Effect::RootRequest { node, url } => self.ask_root(*node, url).await,
            Effect::Webhook { hook, message } => self.tell(key, hook, message).await,
            Effect::CheckPassed { at, body, id } => self.check_passed(*at, *body, *id).await,
            Effect::Submit { .. }
            | Effect::PinAccount { .. }
            | Effect::RecordCertificate { .. }
            | Effect::PostRoot { .. }
            | Effect::Approve { .. }
            | Effect::Execute { .. }
            | Effect::FillGap { .. } => Err(AttemptError::WrongLane),
        }
    }

    async fn push(
        &self,
        target: &str,
        path: &str,
        notice: &(impl Serialize + Sync),
    ) -> Result<Vec<NewEffect>, AttemptError> {
        let client = self.client.clone().timeout(self.config.push_timeout);
        client.post_json::<_, IgnoredAny>(&endpoint(target, path), notice).await?;
        Ok(Vec::new())
    }

    /// Lets a gateway order, another one at each attempt. Nothing to do when the approval was withdrawn meanwhile or a
    /// certificate is recorded that is good for a while, as after a first start on an old chain.
    async fn order(
        &self,
        order: &DomainOrder,
        app: Address,
        attempts: u32,
    ) -> Result<Option<IssuedCertificate>, AttemptError> {
        let registry = DomainRegistry::new(self.contracts.domain_registry, &self.provider);
        let domain = registry.domain(order.name.clone()).call().await?;
        let good_until = self.ambient.clock.unix().saturating_add(self.config.renew_before.as_secs());
        if domain.app != app || domain.notAfter.to::<u64>() > good_until {
            tracing::info!(domain = %order.name, "no certificate is wanted");
            return Ok(None);
        }
        let turn = (attempts as usize).checked_rem(self.gateways.len()).ok_or(AttemptError::NoGateway)?;
        let gateway = self.gateways.get(turn).ok_or(AttemptError::NoGateway)?;
        let client = self.client.clone().timeout(self.config.order_timeout);
        let issued: IssuedCertificate = client.post_json(&endpoint(gateway, "v1/domains"), order).await?;
        if issued.name != order.name || issued.app != app {
            return Err(AttemptError::OtherCertificate { name: issued.name, app: issued.app });
        }
        Ok(Some(issued))
    }

    /// Orders again, unless the registry has another certificate by now or the domain is gone. A gateway that finds it too
    /// soon gives the certificate that there is; then this is tried once more later on.
    async fn renew(
        &self,
        key: &str,
        domain: B256,
        fingerprint: B256,
        attempts: u32,
    ) -> Result<Vec<NewEffect>, AttemptError> {
        let before = U256::from_be_bytes(domain.0).saturating_sub(U256::from(1));
        let found = self.store.folded_domains(Some(before.into()), 1).await?.value;
        let Some((_, known)) = found.into_iter().find(|(hash, _)| *hash == domain) else {
            return Ok(Vec::new());
        };
        let newest = known.certificates.last().map(|recorded| recorded.fingerprint);
        if newest != Some(fingerprint) {
            return Ok(Vec::new());
        }
        let order = DomainOrder { name: known.name };
        let Some(issued) = self.order(&order, known.app, attempts).await? else { return Ok(Vec::new()) };
        if issued.fingerprint != fingerprint {
            return Ok(NewEffect::of_certificate(&self.contracts, issued));
        }
        let now = self.ambient.clock.unix();
        let left = issued.not_after.saturating_sub(now);
        if left == 0 {
            return Ok(Vec::new());
        }
        let again = now.saturating_add((left / 4).max(60));
        let base = key.split(AGAIN).next().unwrap_or(key);
        let effect = Effect::CertificateRenewal { domain, fingerprint };
        Ok(vec![NewEffect::again(format!("{base}{AGAIN}{again}"), effect).not_before(again)])
    }

    async fn release(&self, gateway: &str, notice: &DomainRelease) -> Result<Vec<NewEffect>, AttemptError> {
        // It may have to speak to the authority.
        let client = self.client.clone().timeout(self.config.order_timeout);
        let answer: ReleaseEffect =
            client.post_json(&endpoint(gateway, "v1/domains/release"), notice).await?;
        match answer.pending {
            true => Err(AttemptError::NotReleased),
            false => Ok(Vec::new()),
        }
    }

    /// The next root of a node, signed; nothing when there is nothing new, or the node signs none.
    async fn ask_root(&self, node: Address, url: &str) -> Result<Vec<NewEffect>, AttemptError> {
        let Some(anchor) = self.contracts.receipt_anchor else { return Ok(Vec::new()) };
        let client = self.client.clone().timeout(ROOT_TIMEOUT);
        let signed = match client.get_json::<Option<SignedRoot>>(&endpoint(url, "v1/receipts/root")).await {
            Ok(Some(signed)) => signed,
            Ok(None) => return Ok(Vec::new()),
            Err(e) if e.status() == Some(404) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let SignedRoot { index, previous_root, root, count, ref signature, .. } = signed;
        let message = ReceiptRoot { index, previousRoot: previous_root, root, count };
        let domain = signed::anchor_domain(self.contracts.chain_id, anchor);
        match signed.node == node && signed::signer(&message, &domain, signature) == Some(node) {
            true => Ok(vec![NewEffect::of_root(&self.contracts, signed)]),
            false => Err(AttemptError::ForgedRoot(node)),
        }
    }

    async fn tell(&self, key: &str, hook: &str, message: &Message) -> Result<Vec<NewEffect>, AttemptError> {
        if !self.still_holds(&message.what).await? {
            tracing::info!(effect = key, "it will not come about: nobody is told");
            return Ok(Vec::new());
        }
        let unknown = || DeliveryError::Unknown(hook.to_owned());
        self.outside.webhooks.as_ref().ok_or_else(unknown)?.deliver(hook, key, message).await?;
        Ok(Vec::new())
    }

    /// What was about to be in force may have been revoked or moved since, or be in force already.
    async fn still_holds(&self, what: &Occurrence) -> Result<bool, AttemptError> {
        let Occurrence::AboutToActivate { app, hash, active_from, .. } = what else { return Ok(true) };
        if *active_from <= self.ambient.clock.unix() {
            return Ok(false);
        }
        let (state, from) = match app {
            Some(app) => {
                let found = AppAuth::new(*app, &self.provider).codeState(*hash).call().await?;
                (found.state, found.version.activeFrom.to::<u64>())
            }
            None => {
                let auth = KmsAuth::new(self.contracts.kms_auth, &self.provider);
                let found = auth.osImageState(*hash).call().await?;
                (found.state, found.version.activeFrom.to::<u64>())
            }
        };
        Ok(COMING.contains(&state) && from == *active_from)
    }
}

/// Between a renewal's first key and the moment of a later one.
const AGAIN: &str = ":again:";
/// A node proves to itself what was anchored before it signs.
const ROOT_TIMEOUT: Duration = Duration::from_secs(30);

fn endpoint(base: &str, path: &str) -> String {
    format!("{}/{path}", base.trim_end_matches('/'))
}
