// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Witnesses from a relayer.

use alloy::primitives::B256;
use futures::future::BoxFuture;
use mandate_model::wire::{
    ViewCall,
    relayer::{WitnessRequest, WitnessResponse},
};
use mandate_runtime::http::Client;
use mandate_witness::{Known, SourceError, Witness, WitnessSource};

/// `POST /v1/witness` at a relayer.
#[derive(Debug, Clone)]
pub(crate) struct RelayerWitness {
    client: Client,
    url: String,
}

impl RelayerWitness {
    /// `base` is the relayer's URL without a path. The client must take answers of the size of a witness in hex.
    pub(crate) fn new(client: Client, base: &str) -> Self {
        Self { client, url: format!("{}/v1/witness", base.trim_end_matches('/')) }
    }
}

impl RelayerWitness {
    fn ask<'a>(
        &'a self,
        known: Vec<B256>,
        block_hash: B256,
        call: &'a ViewCall,
    ) -> BoxFuture<'a, Result<Witness, SourceError>> {
        Box::pin(async move {
            let failed = |why: String| SourceError { source_name: "relayer".to_owned(), why };
            let request = WitnessRequest { block_hash, call: call.clone(), known };
            let answer: WitnessResponse =
                self.client.post_json(&self.url, &request).await.map_err(|e| failed(e.to_string()))?;
            Witness::decode(&answer.witness).map_err(|e| failed(e.to_string()))
        })
    }
}

impl WitnessSource for RelayerWitness {
    fn witness<'a>(
        &'a self,
        block_hash: B256,
        call: &'a ViewCall,
    ) -> BoxFuture<'a, Result<Witness, SourceError>> {
        self.ask(Vec::new(), block_hash, call)
    }

    fn witness_beyond<'a>(
        &'a self,
        known: &'a Known,
        block_hash: B256,
        call: &'a ViewCall,
    ) -> BoxFuture<'a, Result<Witness, SourceError>> {
        self.ask(known.hashes(), block_hash, call)
    }
}
