// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads of contracts with proof, for commands that judge: what endpoints say counts only where enough of them agree on the
//! block, and the contract is executed here.

use std::sync::Arc;

use alloy::{
    primitives::Address,
    providers::{DynProvider, ProviderBuilder},
    sol_types::SolCall,
};
use mandate_model::wire::BlockRef;
use mandate_witness::{At, Endpoint, Quorum, Read, RpcWitnessSource, Undecided, VerifiedReader};

use crate::{
    connection::{check_chain, connect, shown},
    context::{ConfigFile, Context},
    error::Result,
    replay::rules,
};

/// Of which block.
#[derive(Debug, Clone, Copy)]
enum Which {
    Newest(At),
    That(BlockRef),
}

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
        self.read_as(to, call, Which::Newest(at)).await
    }

    /// The same at the block of an earlier read, so that both answers go together.
    pub(crate) async fn read_at<C: SolCall>(
        &self,
        block: BlockRef,
        to: Address,
        call: &C,
    ) -> std::result::Result<Read<C::Return>, Undecided> {
        self.read_as(to, call, Which::That(block)).await
    }

    async fn read_as<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        which: Which,
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
            let read = match which {
                Which::Newest(at) => reader.read(to, call, at).await,
                Which::That(block) => reader.read_at(block, to, call).await,
            };
            match read {
                // What one endpoint cannot or will not prove, another may.
                Err(error) if error.blames_source() => last = Some(error),
                decided => return decided,
            }
        }
        Err(last.unwrap_or(Undecided::Evm { why: "there is no endpoint".to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use alloy::{primitives::aliases::U40, providers::Provider};
    use mandate_devchain::{Config, DevChain};
    use mandate_model::bindings::{AppAuth, KmsAuth};

    use super::*;

    #[tokio::test]
    async fn second_read_is_of_the_first_ones_block_whatever_the_chain_says_by_then() {
        let chain = DevChain::new(Config::default()).unwrap();
        let (wallet, owner) = (chain.wallet_provider(), chain.accounts()[0]);
        let implementation = *AppAuth::deploy(&wallet).await.unwrap().address();
        let auth = KmsAuth::deploy(&wallet, implementation, owner, owner, U40::ZERO).await.unwrap();
        let endpoints = vec![("dev".to_owned(), chain.provider().erased())];
        let proven = Proven::over(chain.chain_id(), endpoints, None);
        let call = KmsAuth::pendingOwnerCall {};
        let first = proven.read(*auth.address(), &call, At::Head).await.unwrap();
        let transfer = auth.transferOwnership(chain.accounts()[1]).send().await.unwrap();
        assert!(transfer.get_receipt().await.unwrap().status());
        let newest = proven.read(*auth.address(), &call, At::Head).await.unwrap();
        let same = proven.read_at(first.block, *auth.address(), &call).await.unwrap();
        assert_eq!((same.block, same.value.newOwner), (first.block, Address::ZERO));
        assert_eq!(newest.value.newOwner, chain.accounts()[1]);
    }
}
