// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the sender asks the endpoint: nonce, fees, dry run.

use std::fmt;

use alloy::{
    eips::BlockId, network::TransactionBuilder, primitives::Bytes, providers::Provider,
    rpc::types::TransactionRequest, sol_types::SolCall, transports::TransportError,
};
use mandate_model::bindings::DomainRegistry;

use super::{Fees, SendError, Sender, rpc};
use crate::effects::{ContractCall, Effect, revert_name};

impl Sender {
    pub(super) async fn next_nonce(&self) -> Result<u64, SendError> {
        self.provider.get_transaction_count(self.address()).await.map_err(rpc("eth_getTransactionCount"))
    }

    pub(super) async fn fees(&self) -> Result<Fees, SendError> {
        let market = self.provider.estimate_eip1559_fees().await.map_err(rpc("eth_feeHistory"))?;
        Ok(Fees { max_fee: market.max_fee_per_gas, priority_fee: market.max_priority_fee_per_gas })
    }

    pub(super) fn most(&self) -> u128 {
        u128::from(self.config.max_fee_gwei) * 1_000_000_000
    }

    fn request(&self, call: &ContractCall) -> TransactionRequest {
        TransactionRequest::default().with_from(self.address()).with_to(call.to).with_input(call.data.clone())
    }

    pub(super) async fn dry_run(&self, call: &ContractCall) -> Result<Result<(), Revert>, SendError> {
        reverted("eth_call", self.provider.call(self.request(call)).await.map(drop))
    }

    /// Whether the domain that it is about belongs to the app that it is for, by the newest block. What waited may be about an
    /// app that has lost its domain since, and must not be recorded for the one that has it now.
    pub(super) async fn is_for_its_app(&self, effect: &Effect) -> Result<Result<bool, Revert>, SendError> {
        let Some((name, app)) = effect.of_domain() else { return Ok(Ok(true)) };
        let data = DomainRegistry::appOfCall { name: name.to_owned() }.abi_encode().into();
        let call = ContractCall { to: self.contracts.domain_registry, data };
        let answer = reverted("eth_call", self.provider.call(self.request(&call)).await)?;
        // What is no address is nobody's.
        Ok(answer.map(|data| DomainRegistry::appOfCall::abi_decode_returns(&data).is_ok_and(|is| is == app)))
    }

    pub(super) async fn estimate(&self, call: &ContractCall) -> Result<Result<u64, Revert>, SendError> {
        // On the newest block: in the pending one, what is to be replaced has been done already.
        let gas = self.provider.estimate_gas(self.request(call)).block(BlockId::latest()).await;
        let gas = reverted("eth_estimateGas", gas)?;
        // Room for what other transactions of the same block change.
        Ok(gas.map(|gas| gas.saturating_add(gas / 4)))
    }
}

/// A contract's refusal.
#[derive(Debug, Clone)]
pub(super) struct Revert {
    pub(super) data: Bytes,
    message: String,
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.data.is_empty() {
            true => f.write_str(&self.message),
            false => f.write_str(&revert_name(&self.data)),
        }
    }
}

/// Tells a contract's refusal from an endpoint's failure.
fn reverted<T>(
    method: &'static str,
    answer: Result<T, TransportError>,
) -> Result<Result<T, Revert>, SendError> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(source) => match source.as_error_resp() {
            Some(e) if e.code == 3 || e.as_revert_data().is_some() || e.message.contains("revert") => {
                Ok(Err(Revert {
                    data: e.as_revert_data().unwrap_or_default(),
                    message: e.message.to_string(),
                }))
            }
            _ => Err(SendError::Rpc { method, source }),
        },
    }
}
