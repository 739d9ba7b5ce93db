// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an instance shows a gateway: its evidence, or the committee's statement about it.
//!
//! A statement costs one round of the committee and then serves every registration at every gateway for hours, where evidence is
//! quoted, sent and verified each time anew. It is no more than the evidence was when the nodes saw it: the gateway asks the policy
//! itself, each time.

use std::sync::Arc;

use alloy::primitives::B512;
use futures::future::{BoxFuture, FutureExt};
use mandate_model::wire::{
    gateway::{Proof, SignedInstance},
    kms::RouteWish,
};
use mandate_runtime::{Ambient, Clock};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::RegisterError;
use crate::{KeyClient, KeyError, Pinned, Quoter};

/// How long a statement is asked for, in seconds. Half of what nodes sign at most, so that no clock needs to be right.
const LIFE: u64 = mandate_model::wire::kms::MAX_STATEMENT_LIFE / 2;

/// What is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofKind {
    /// Evidence, each time.
    #[default]
    Evidence,
    /// The committee's statement.
    Statement,
}

/// Proves an instance to gateways.
pub trait Prover: Send + Sync {
    /// A proof that binds `report_data`, which stands for the registration.
    fn prove(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Proof, RegisterError>>;

    /// What was proved last was refused: another proof is needed, if any helps.
    fn refused(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// Evidence proves by itself.
impl<T: Quoter + ?Sized> Prover for T {
    fn prove(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Proof, RegisterError>> {
        async move { Ok(self.evidence(report_data).await?.encode().into()) }.boxed()
    }
}

/// Asks the committee for its statement, and asks again when half of its life is over.
#[derive(Debug)]
pub struct Statements {
    client: KeyClient,
    clock: Arc<dyn Clock>,
    pinned: Pinned,
    relayers: Vec<String>,
    quoter: Arc<dyn Quoter>,
    kept: Mutex<Option<Kept>>,
}

/// The newest statement.
#[derive(Debug, Clone)]
struct Kept {
    report_data: [u8; 64],
    signed: SignedInstance,
}

impl Statements {
    /// Asks the committee that `relayers` name, as far as it agrees with `pinned`.
    pub fn new(ambient: &Ambient, pinned: Pinned, relayers: Vec<String>, quoter: Arc<dyn Quoter>) -> Self {
        let (client, clock) = (KeyClient::new(ambient), Arc::clone(&ambient.clock));
        Self { client, clock, pinned, relayers, quoter, kept: Mutex::default() }
    }

    async fn ask(&self, report_data: [u8; 64]) -> Result<SignedInstance, KeyError> {
        let view = self.client.pinned_committee(&self.pinned, &self.relayers).await?;
        let until = self.clock.unix().saturating_add(LIFE);
        let route = RouteWish { registration: B512::from(report_data), until };
        self.client.instance_statement(&self.pinned, &view, route, &*self.quoter).await
    }

    /// One asks, and whoever else wants it waits for that.
    async fn statement(&self, report_data: [u8; 64]) -> Result<SignedInstance, KeyError> {
        let mut kept = self.kept.lock().await;
        let now = self.clock.unix();
        let usable = kept.take().filter(|kept| kept.report_data == report_data && now < kept.signed.until);
        let usable = match usable {
            Some(young) if now.saturating_add(LIFE / 2) < young.signed.until => {
                return Ok(kept.insert(young).signed.clone());
            }
            old => old,
        };
        let signed = match (self.ask(report_data).await, usable) {
            (Ok(signed), _) => signed,
            // What cannot be decided changes nothing until the statement ends.
            (Err(error), Some(old)) if error.denied().is_none() => {
                tracing::warn!(%error, until = old.signed.until, "the committee's statement could not be renewed");
                old.signed
            }
            (Err(error), _) => return Err(error),
        };
        Ok(kept.insert(Kept { report_data, signed }).signed.clone())
    }
}

impl Prover for Statements {
    fn prove(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Proof, RegisterError>> {
        async move { Ok(Proof::Statement(self.statement(report_data).await?)) }.boxed()
    }

    /// The committee's key may be another one by now, or a clock wrong.
    fn refused(&self) -> BoxFuture<'_, ()> {
        async move { *self.kept.lock().await = None }.boxed()
    }
}
