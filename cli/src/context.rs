// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a command works with: the config file, the connection, the key and the output format.

use std::{fs, path::Path, time::Duration};

use alloy::{
    contract,
    network::Ethereum,
    primitives::{Address, B256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::TransactionReceipt,
    sol_types::SolInterface,
};
use mandate_model::deployment::Deployment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    args::Global,
    error::{CliError, Code, Result},
    output::{self, Format},
};

/// How long a transaction may take to be mined before the command gives up waiting.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(120);

/// The config file: an endpoint and the addresses of one deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// JSON-RPC endpoint.
    pub rpc: Option<String>,
    /// The contracts.
    pub deployment: Deployment,
}

impl ConfigFile {
    /// Reads and checks `path`.
    ///
    /// # Errors
    /// `Config`, naming the file and the field.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|e| {
            CliError::config(format!(
                "cannot read config file {name}: {e}; `mandate deploy` writes one, --config names another"
            ))
        })?;
        toml::from_str(&text).map_err(|e| CliError::config(format!("config file {name}: {e}")))
    }
}

/// The state of one invocation.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) global: &'a Global,
}

impl<'a> Context<'a> {
    pub(crate) fn new(global: &'a Global) -> Self {
        Self { global }
    }

    pub(crate) fn format(&self) -> Format {
        if self.global.json { Format::Json } else { Format::Text }
    }

    pub(crate) fn print(&self, value: &Value) -> Result<()> {
        output::print(self.format(), value).map_err(|e| CliError::unavailable(format!("stdout: {e}")))
    }

    /// The deployment of the config file.
    pub(crate) fn deployment(&self) -> Result<Deployment> {
        Ok(ConfigFile::load(&self.global.config)?.deployment)
    }

    /// A connection for reading, on the deployment's chain.
    pub(crate) async fn reader(&self) -> Result<(DynProvider, Deployment)> {
        let file = ConfigFile::load(&self.global.config)?;
        let url = self.endpoint(file.rpc.as_deref())?;
        let provider = connect(&url, ProviderBuilder::new().with_simple_nonce_management()).await?;
        check_chain(&provider, &url, file.deployment.chain_id).await?;
        Ok((provider, file.deployment))
    }

    /// A connection that signs with the invocation's key, on the deployment's chain.
    pub(crate) async fn writer(&self) -> Result<(DynProvider, Deployment, Address)> {
        let file = ConfigFile::load(&self.global.config)?;
        let url = self.endpoint(file.rpc.as_deref())?;
        let (provider, sender) = self.signing(&url).await?;
        check_chain(&provider, &url, file.deployment.chain_id).await?;
        Ok((provider, file.deployment, sender))
    }

    /// A connection that signs, on whatever chain the endpoint has (for `deploy`).
    pub(crate) async fn signing(&self, url: &str) -> Result<(DynProvider, Address)> {
        let signer = self.global.wallet.signer()?;
        let sender = signer.address();
        let builder = ProviderBuilder::new().with_simple_nonce_management().wallet(signer);
        Ok((connect(url, builder).await?, sender))
    }

    /// `--rpc`, else the config file's.
    pub(crate) fn endpoint(&self, from_file: Option<&str>) -> Result<String> {
        self.global.rpc.as_deref().or(from_file).map(str::to_owned).ok_or_else(|| {
            CliError::config("no RPC endpoint: give --rpc URL, or set `rpc` in the config file")
        })
    }
}

async fn connect<L, F>(url: &str, builder: ProviderBuilder<L, F, Ethereum>) -> Result<DynProvider>
where
    L: alloy::providers::ProviderLayer<alloy::providers::RootProvider, Ethereum>,
    F: alloy::providers::fillers::TxFiller<Ethereum> + alloy::providers::ProviderLayer<L::Provider, Ethereum>,
    F::Provider: 'static,
{
    let provider =
        builder.connect(url).await.map_err(|e| CliError::unavailable(format!("RPC endpoint {url}: {e}")))?;
    let provider = provider.erased();
    // Receipts are polled for; a development chain mines at once, and one poll a second is polite elsewhere.
    provider.client().set_poll_interval(Duration::from_millis(200));
    Ok(provider)
}

/// The endpoint's chain id.
pub(crate) async fn chain_id(provider: &DynProvider, url: &str) -> Result<u64> {
    provider.get_chain_id().await.map_err(|e| {
        CliError::unavailable(format!(
            "RPC endpoint {url} does not answer: {e}; is it running, is the URL right?"
        ))
    })
}

/// Refuses an endpoint of another chain.
pub(crate) async fn check_chain(provider: &DynProvider, url: &str, expected: u64) -> Result<()> {
    let given = chain_id(provider, url).await?;
    if given == expected {
        return Ok(());
    }
    let text = format!("wrong chain: {url} has chain id {given}, the config file is for {expected}");
    Err(CliError::new(Code::WrongChain, text))
}

/// Sends `call`, waits for its receipt and refuses a failed one. Custom errors of `E` are decoded.
pub(crate) async fn send<P, D, E>(call: contract::CallBuilder<P, D>) -> Result<TransactionReceipt>
where
    P: Provider,
    D: contract::CallDecoder,
    E: SolInterface + std::fmt::Debug,
{
    let pending = call.send().await.map_err(explain::<E>)?;
    let hash = *pending.tx_hash();
    let receipt = pending
        .with_timeout(Some(RECEIPT_TIMEOUT))
        .get_receipt()
        .await
        .map_err(|e| CliError::unavailable(format!("transaction {hash} was sent, but: {e}")))?;
    if receipt.status() {
        Ok(receipt)
    } else {
        Err(CliError::refused(format!("transaction {hash} reverted")))
    }
}

/// Runs a view and decodes a custom error of `E`.
pub(crate) async fn view<P, D, E>(call: contract::CallBuilder<P, D>) -> Result<D::CallOutput>
where
    P: Provider,
    D: contract::CallDecoder + Unpin,
    E: SolInterface + std::fmt::Debug,
{
    call.call().await.map_err(explain::<E>)
}

/// A contract's refusal by its own name where it has one, an unreachable endpoint otherwise.
pub(crate) fn explain<E: SolInterface + std::fmt::Debug>(error: contract::Error) -> CliError {
    if let Some(decoded) = error.as_decoded_interface_error::<E>() {
        return CliError::refused(format!("the contract refuses: {decoded:?}"));
    }
    match error.as_revert_data() {
        Some(data) => CliError::refused(format!("the contract refuses: revert data {data}")),
        None => match &error {
            contract::Error::TransportError(e) if e.as_error_resp().is_some() => {
                CliError::refused(format!("the endpoint refuses: {e}"))
            }
            contract::Error::ZeroData(..) => {
                CliError::data(format!("no such contract there: {error}; is the address right?"))
            }
            _ => CliError::unavailable(error),
        },
    }
}

/// The block and transaction of a receipt, as every command that sends prints them.
pub(crate) fn sent(receipt: &TransactionReceipt) -> (Option<u64>, B256) {
    (receipt.block_number, receipt.transaction_hash)
}
