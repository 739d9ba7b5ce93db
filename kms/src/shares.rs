// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The shares of the epochs that are valid, and what is signed with them.
//!
//! That is the epoch in force and, for the handover after a rotation, the newest epoch of the root before (G-11).

use std::sync::{Arc, PoisonError, RwLock};

use alloy::primitives::Address;
use mandate_model::{
    bindings::BootRequest,
    wire::kms::{
        AppKeys, InstancePartial, ReleaseRequest, RouteWish, SealedCopy, SealedPartial, StatementPartial,
    },
};
use mandate_runtime::{Entropy, entropy};
use mandate_threshold::{
    AppStatement, GROUP_KEY_LENGTH, InstanceStatement, Output, SealError, Share,
    derive::{APP_NAMESPACE, app_message},
};
use thiserror::Error;

use crate::{
    boot,
    ceremony::Context,
    committee::Epoch,
    keys::{KeyError, KeySealing},
    store::StoreError,
};

/// What partials are sealed under.
pub const RELEASE_INFO: &[u8] = b"mandate-release-v1";

/// What copies of a share are sealed under.
pub const COPY_INFO: &[u8] = b"mandate-copy-v1";

/// Why the share of an epoch cannot be used.
#[derive(Debug, Error)]
pub enum ShareError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The epoch on chain is not the output that this node computed from the same round.
    #[error(
        "epoch {epoch} on chain is not what this node computed in round {round}: it will not sign for it"
    )]
    OtherOutput {
        /// The epoch.
        epoch: u64,
        /// Its round.
        round: u64,
    },
    /// The chain's or the store's bytes do not decode.
    #[error("the {what} of epoch {epoch} does not decode")]
    Damaged {
        /// The epoch.
        epoch: u64,
        /// What.
        what: &'static str,
    },
}

/// An epoch and, when this node is a member, its share.
#[derive(Debug)]
pub struct Holding {
    /// The epoch's number.
    pub epoch: u64,
    /// The ceremony that made it.
    pub round: u64,
    /// The ceremony's output.
    pub output: Output,
    /// This node's share of it.
    pub share: Option<Share>,
    /// When the epoch ends, block time.
    pub valid_until: u64,
}

impl Holding {
    /// Takes the share of `epoch` out of the store, and refuses an epoch that is not what this node computed itself.
    pub fn load(context: &Context, epoch: &Epoch) -> Result<Self, ShareError> {
        let damaged = |what| ShareError::Damaged { epoch: epoch.number, what };
        let other = || ShareError::OtherOutput { epoch: epoch.number, round: epoch.round };
        let output = Output::decode(&epoch.polynomial).map_err(|_| damaged("polynomial"))?;
        if output.group_key().as_slice() != epoch.group_key.as_ref() {
            return Err(other());
        }
        let stored = context.store.output(epoch.round)?;
        if stored.as_ref().is_some_and(|stored| stored.output != output.encode()) {
            return Err(other());
        }
        let share = match stored.and_then(|stored| stored.sealed_share) {
            Some(sealed) => {
                let opened = context.keys.unseal("share", &epoch.round.to_be_bytes(), &sealed)?;
                Some(Share::decode(&opened).map_err(|_| damaged("share"))?)
            }
            None => None,
        };
        let Epoch { number, round, valid_until, .. } = *epoch;
        Ok(Self { epoch: number, round, output, share, valid_until })
    }

    /// What dealers had to reveal of a player that was away is in their logs for all to read: until the next ceremony, that many
    /// fewer nodes must be broken into.
    pub(crate) fn tell_revealed(&self, node: Address) {
        let (epoch, revealed) = (self.epoch, self.output.revealed().len());
        metrics::gauge!("mandate_kms_revealed_shares", "node" => node.to_string()).set(revealed as f64);
        if revealed > 0 {
            tracing::warn!(
                epoch,
                revealed,
                "shares of this epoch can be read on chain: have the committee refreshed"
            );
        }
    }
}

/// Signs for one app and generation.
#[derive(Debug)]
pub struct Signer<'a> {
    /// Chain id.
    pub chain_id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// Randomness for sealing.
    pub entropy: &'a dyn Entropy,
}

impl Signer<'_> {
    /// The partial for (`app`, `generation`), sealed to the request's transport key and bound to the request. `None`
    /// when this node holds no share.
    pub fn sign(
        &self,
        holding: &Holding,
        app: Address,
        generation: u64,
        request: &ReleaseRequest,
    ) -> Result<Option<SealedPartial>, SealError> {
        let Some(share) = &holding.share else { return Ok(None) };
        let group_key: [u8; GROUP_KEY_LENGTH] = holding.output.group_key();
        let message = app_message(self.chain_id, self.kms_auth.into(), app.into(), generation, &group_key);
        let partial = share.sign(APP_NAMESPACE, &message).encode();
        let fresh = entropy::bytes(self.entropy);
        let binding = request.report_data();
        let sealed =
            mandate_threshold::seal(&request.transport_key.0, RELEASE_INFO, &binding, &partial, fresh)?;
        Ok(Some(SealedPartial { epoch: holding.epoch, generation, sealed: sealed.into() }))
    }

    /// The whole share, sealed like a partial. `None` when this node holds no share.
    pub fn copy(&self, holding: &Holding, request: &ReleaseRequest) -> Result<Option<SealedCopy>, SealError> {
        let Some(share) = &holding.share else { return Ok(None) };
        let (binding, fresh) = (request.report_data(), entropy::bytes(self.entropy));
        let to = &request.transport_key.0;
        let sealed = mandate_threshold::seal(to, COPY_INFO, &binding, &share.encode(), fresh)?;
        Ok(Some(SealedCopy { epoch: holding.epoch, sealed: sealed.into() }))
    }

    /// The part of the committee's public word that `app` has these keys in `generation`. `None` when this node holds no
    /// share.
    pub fn sign_statement(
        &self,
        holding: &Holding,
        app: Address,
        generation: u64,
        keys: &AppKeys,
    ) -> Option<StatementPartial> {
        let statement = AppStatement {
            chain_id: self.chain_id,
            kms_auth: self.kms_auth.into(),
            app: app.into(),
            generation,
            ca_spki_sha256: keys.ca_spki_sha256.into(),
            ethereum: keys.ethereum.into(),
        };
        let partial = holding.share.as_ref()?.sign_statement(&statement).encode();
        Some(StatementPartial { epoch: holding.epoch, generation, partial: partial.to_vec().into() })
    }

    /// The part of the committee's public word on an instance: `boot` is what its evidence proved, and of the request comes only what
    /// the evidence bound. `None` when this node holds no share.
    pub fn sign_instance(
        &self,
        holding: &Holding,
        boot: &BootRequest,
        route: &RouteWish,
    ) -> Option<InstancePartial> {
        // A route needs no key, so the question is that for whichever generation is current.
        let (_, boot_request) = boot::encode(&BootRequest { generation: 0, ..boot.clone() });
        let statement = InstanceStatement {
            chain_id: self.chain_id,
            kms_auth: self.kms_auth.into(),
            boot_request: &boot_request,
            registration: &route.registration.0,
            until: route.until,
        };
        let partial = holding.share.as_ref()?.sign_instance(&statement).encode();
        Some(InstancePartial { epoch: holding.epoch, partial: partial.to_vec().into(), boot_request })
    }
}

/// What this node holds of the epochs that are valid. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shares(Arc<RwLock<Held>>);

#[derive(Debug, Clone, Default)]
struct Held {
    current: Option<Arc<Holding>>,
    outgoing: Option<Arc<Holding>>,
}

impl Shares {
    /// Of the epoch in force.
    pub fn current(&self) -> Option<Arc<Holding>> {
        self.read().current
    }

    /// Of the root before it, during its handover.
    pub fn outgoing(&self) -> Option<Arc<Holding>> {
        self.read().outgoing
    }

    /// Of `epoch`; 0 stands for the one in force.
    pub fn of(&self, epoch: u64) -> Option<Arc<Holding>> {
        let Held { current, outgoing } = self.read();
        match epoch {
            0 => current,
            _ => current.into_iter().chain(outgoing).find(|holding| holding.epoch == epoch),
        }
    }

    /// From now on these.
    pub fn replace(&self, current: Option<Holding>, outgoing: Option<Holding>) {
        let held = Held { current: current.map(Arc::new), outgoing: outgoing.map(Arc::new) };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Takes in a copy of the share of the epoch in force; of another epoch it comes too late.
    pub fn fill(&self, holding: Holding) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if held.current.as_ref().is_some_and(|current| current.epoch == holding.epoch) {
            held.current = Some(Arc::new(holding));
        }
    }

    /// Lets go of the share of `epoch`, if that is in force, and of nothing else of it.
    pub fn empty(&self, epoch: u64) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = held.current.take() {
            let Holding { round, valid_until, .. } = *current;
            let output = current.output.clone();
            let emptied = Holding { epoch, round, output, share: None, valid_until };
            held.current = Some(if current.epoch == epoch { Arc::new(emptied) } else { current });
        }
    }

    /// Lets go of the root before the present one.
    pub fn end_outgoing(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).outgoing = None;
    }

    fn read(&self) -> Held {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
