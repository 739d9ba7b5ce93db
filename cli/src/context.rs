// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a command works with: the config file, the connection, the key and the output format.

use std::{fs, path::Path, time::Duration};

use alloy::{
    contract,
    primitives::{Address, B256, TxKind},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::SolInterface,
};
use mandate_model::deployment::Deployment;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    args::Global,
    connection::{self, check_chain, connect},
    error::{CliError, Result},
    output::{self, Format},
    revert,
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
    /// `Config`, naming the file, the line and the field.
    pub fn load(path: &Path) -> Result<Self> {
        read_toml(path, "config file", "`mandate deploy` writes one, --config names another")
    }

    /// Writes it for the other commands to read.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(CliError::config)?;
        fs::write(path, text).map_err(|e| unwritable(path, &e))
    }
}

/// A config file that cannot be written.
pub(crate) fn unwritable(path: &Path, e: &std::io::Error) -> CliError {
    CliError::config(format!("cannot write config file {}: {e}; --config names another", path.display()))
}

/// Reads `path` as TOML; `what` it is and `hint` go into the error.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path, what: &str, hint: &str) -> Result<T> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|e| CliError::config(format!("cannot read {what} {name}: {e}; {hint}")))?;
    toml::from_str(&text).map_err(|e: toml::de::Error| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.lines().count().max(1);
        CliError::config(format!("{what} {name}, line {line}: {}; {hint}", e.message()))
    })
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

    /// Prints `value`, with times relative to the chain's own.
    pub(crate) async fn print(&self, provider: &DynProvider, value: &Value) -> Result<()> {
        self.print_named(provider, "", value).await
    }

    /// As [`Self::print`], of a value whose meaning `name` tells when it stands alone.
    pub(crate) async fn print_named(&self, provider: &DynProvider, name: &str, value: &Value) -> Result<()> {
        let now = match self.format() {
            Format::Text => connection::now(provider).await?,
            Format::Json => None,
        };
        output::print(self.format(), name, value, now)
            .map_err(|e| CliError::unavailable(format!("cannot write to stdout: {e}")))
    }

    /// Prints `value`, which has nothing to do with a chain.
    pub(crate) fn print_plain(&self, value: &Value) -> Result<()> {
        output::print(self.format(), "", value, None)
            .map_err(|e| CliError::unavailable(format!("cannot write to stdout: {e}")))
    }

    /// A connection for reading, on the deployment's chain.
    pub(crate) async fn reader(&self) -> Result<(DynProvider, Deployment)> {
        let file = ConfigFile::load(&self.global.config)?;
        let url = self.endpoint(file.rpc.as_deref())?;
        let provider = connect(&url, ProviderBuilder::new().with_simple_nonce_management()).await?;
        self.check(&provider, &url, &file).await?;
        Ok((provider, file.deployment))
    }

    /// A connection that signs with the invocation's key, on the deployment's chain.
    pub(crate) async fn writer(&self) -> Result<(DynProvider, Deployment, Address)> {
        let file = ConfigFile::load(&self.global.config)?;
        let url = self.endpoint(file.rpc.as_deref())?;
        let (provider, sender) = self.signing(&url).await?;
        self.check(&provider, &url, &file).await?;
        Ok((provider, file.deployment, sender))
    }

    async fn check(&self, provider: &DynProvider, url: &str, file: &ConfigFile) -> Result<()> {
        let wanted_by = format!("config file {} is for", self.global.config.display());
        check_chain(provider, url, file.deployment.chain_id, &wanted_by).await
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
            CliError::config(
                "no RPC endpoint: give --rpc URL, or set MANDATE_RPC or `rpc` in the config file",
            )
        })
    }
}

/// Sends `call`, waits for its receipt and refuses a failed one. `E` are the errors of the contract that is called.
pub(crate) async fn send<P, D, E>(call: contract::CallBuilder<P, D>) -> Result<TransactionReceipt>
where
    P: Provider,
    D: contract::CallDecoder,
    E: SolInterface,
{
    must_have_code::<_, _, E>(&call).await?;
    let pending = call.send().await.map_err(explain::<E>)?;
    let hash = *pending.tx_hash();
    tracing::info!(%hash, "transaction sent, waiting for its block");
    let receipt = pending.with_timeout(Some(RECEIPT_TIMEOUT)).get_receipt().await.map_err(|e| {
        CliError::unavailable(format!("transaction {hash} was sent, but: {e}; look for it later"))
    })?;
    if receipt.status() {
        Ok(receipt)
    } else {
        Err(CliError::refused(format!("transaction {hash} reverted: the chain changed since it was tried")))
    }
}

/// A call to an address without code succeeds and does nothing: in an emergency nobody must take that for done.
async fn must_have_code<P: Provider, D, E: SolInterface>(call: &contract::CallBuilder<P, D>) -> Result<()> {
    let request: &TransactionRequest = call.as_ref();
    let Some(to) = request.to.as_ref().and_then(TxKind::to) else { return Ok(()) };
    let code = call.provider.get_code_at(*to).await.map_err(|e| connection::failed(&e))?;
    if code.is_empty() { Err(nothing_there(contract_name::<E>())) } else { Ok(()) }
}

fn contract_name<E: SolInterface>() -> &'static str {
    E::NAME.trim_end_matches("Errors")
}

fn nothing_there(contract: &str) -> CliError {
    CliError::data(format!("no {contract} at that address; is it right, is the config file of this chain?"))
}

/// Runs a view of a contract whose errors are `E`.
pub(crate) async fn view<P, D, E>(call: contract::CallBuilder<P, D>) -> Result<D::CallOutput>
where
    P: Provider,
    D: contract::CallDecoder + Unpin,
    E: SolInterface,
{
    call.call().await.map_err(explain::<E>)
}

fn explain<E: SolInterface>(error: contract::Error) -> CliError {
    refusal(contract_name::<E>(), &error)
}

/// A contract's refusal in its own words, or an endpoint that failed.
pub(crate) fn refusal(contract: &str, error: &contract::Error) -> CliError {
    if let Some(data) = error.as_revert_data() {
        return CliError::refused(format!("the contract refuses: {}", revert::reason(contract, &data)));
    }
    match error {
        contract::Error::TransportError(e) => connection::failed(e),
        contract::Error::ZeroData(..) => nothing_there(contract),
        other => CliError::unavailable(format!("{contract}: {other}")),
    }
}

/// The block and transaction of a receipt, as every command that sends prints them.
pub(crate) fn sent(receipt: &TransactionReceipt) -> (Option<u64>, B256) {
    (receipt.block_number, receipt.transaction_hash)
}
