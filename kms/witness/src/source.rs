// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where witnesses come from. Nobody here is trusted.

use std::{fmt::Debug, time::Duration};

use alloy::{primitives::B256, providers::DynProvider};
use futures::future::BoxFuture;
use mandate_model::wire::ViewCall;
use thiserror::Error;
use tokio::time::timeout;

use crate::{build::build_beyond, codec::Witness, known::Known, spec::ChainSpec};

/// A source failed; says which and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{source_name}: {why}")]
pub struct SourceError {
    /// The source.
    pub source_name: String,
    /// What went wrong.
    pub why: String,
}

/// Gives the witness of a call at a block.
pub trait WitnessSource: Send + Sync + Debug {
    /// The witness of `call` at the block with `block_hash`.
    fn witness<'a>(
        &'a self,
        block_hash: B256,
        call: &'a ViewCall,
    ) -> BoxFuture<'a, Result<Witness, SourceError>>;

    /// Likewise for somebody who has `known`, which the witness may leave out. A source that cannot gives all of it.
    fn witness_beyond<'a>(
        &'a self,
        _known: &'a Known,
        block_hash: B256,
        call: &'a ViewCall,
    ) -> BoxFuture<'a, Result<Witness, SourceError>> {
        self.witness(block_hash, call)
    }
}

/// How long building one witness may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Builds witnesses itself, over an RPC endpoint that has `eth_getProof`.
#[derive(Debug, Clone)]
pub struct RpcWitnessSource {
    name: String,
    provider: DynProvider,
    spec: ChainSpec,
    timeout: Duration,
}

impl RpcWitnessSource {
    /// `name` tells of the endpoint in errors; it should hold no credentials.
    pub fn new(name: impl Into<String>, provider: DynProvider, spec: ChainSpec) -> Self {
        Self { name: name.into(), provider, spec, timeout: TIMEOUT }
    }

    /// Another limit to how long building one witness may take.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    async fn build(&self, known: &Known, block_hash: B256, call: &ViewCall) -> Result<Witness, SourceError> {
        let failed = |why: String| SourceError { source_name: self.name.clone(), why };
        let built = build_beyond(known, &self.provider, &self.spec, block_hash, call);
        match timeout(self.timeout, built).await {
            Ok(built) => built.map_err(|e| failed(e.to_string())),
            Err(_) => Err(failed(format!("no witness within {} s", self.timeout.as_secs()))),
        }
    }
}

impl WitnessSource for RpcWitnessSource {
    fn witness<'a>(
        &'a self,
        block_hash: B256,
        call: &'a ViewCall,
    ) -> BoxFuture<'a, Result<Witness, SourceError>> {
        Box::pin(async move { self.build(&Known::default(), block_hash, call).await })
    }

    fn witness_beyond<'a>(
        &'a self,
        known: &'a Known,
        block_hash: B256,
        call: &'a ViewCall,
    ) -> BoxFuture<'a, Result<Witness, SourceError>> {
        Box::pin(self.build(known, block_hash, call))
    }
}
