// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads of contracts with proof, for commands that judge: what endpoints say counts only where enough of them agree on the
//! block, and the contract is executed here.

use std::sync::Arc;

use alloy::{
    primitives::Address,
    providers::{DynProvider, ProviderBuilder},
    sol_types::SolCall,
};
use mandate_witness::{At, Endpoint, Quorum, Read, RpcWitnessSource, Undecided, VerifiedReader};

use crate::{
    connection::{check_chain, connect, shown},
    context::{ConfigFile, Context},
    error::Result,
    replay::rules,
};

/// Endpoints, of which `quorum` must agree.
#[derive(Debug)]
pub(crate) struct Proven {
    chain_id: u64,
    endpoints: Vec<(String, DynProvider)>,
    quorum: usize,
}

impl Proven {
    /// The config file's endpoint and `further` ones, each of the deployment's chain. All must agree unless told otherwise.
    pub(crate) async fn connect(
        context: &Context<'_>,
        file: &ConfigFile,
        further: &[String],
        quorum: Option<usize>,
    ) -> Result<Self> {
        let chain_id = file.deployment.chain_id;
        let mut endpoints = Vec::new();
        for url in [context.endpoint(file.rpc.as_deref())?].iter().chain(further) {
            let provider = connect(url, ProviderBuilder::new()).await?;
            check_chain(&provider, url, chain_id, "the config file is for").await?;
            endpoints.push((shown(url), provider));
        }
        Ok(Self::over(chain_id, endpoints, quorum))
    }

    /// Over connections that are there.
    pub(crate) fn over(chain_id: u64, endpoints: Vec<(String, DynProvider)>, quorum: Option<usize>) -> Self {
        let quorum = quorum.unwrap_or(endpoints.len());
        Self { chain_id, endpoints, quorum }
    }

    /// Executes `call` on proven state of the newest block of this kind.
    pub(crate) async fn read<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        at: At,
    ) -> std::result::Result<Read<C::Return>, Undecided> {
        let spec = rules(self.chain_id);
        let named = |(name, provider): &(String, DynProvider)| Endpoint {
            name: name.clone(),
            provider: provider.clone(),
        };
        let headers = Quorum::new(self.chain_id, self.quorum, self.endpoints.iter().map(named).collect())
            .map_err(|e| Undecided::Evm { why: format!("--quorum: {e}") })?;
        let headers = Arc::new(headers);
        let mut last = None;
        for (name, provider) in &self.endpoints {
            let source = RpcWitnessSource::new(name.clone(), provider.clone(), spec.clone());
            let reader = VerifiedReader::new(headers.clone(), Arc::new(source), spec.clone());
            match reader.read(to, call, at).await {
                // What one endpoint cannot or will not prove, another may.
                Err(error) if error.blames_source() => last = Some(error),
                decided => return decided,
            }
        }
        Err(last.unwrap_or(Undecided::Evm { why: "there is no endpoint".to_owned() }))
    }
}
