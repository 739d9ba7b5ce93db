// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections to JSON-RPC endpoints. An endpoint's path and user part may be a credential: no message has them.

use std::{error::Error, time::Duration};

use alloy::{
    network::Ethereum,
    providers::{DynProvider, Provider, ProviderBuilder, ProviderLayer, RootProvider, fillers::TxFiller},
    rpc::types::{Filter, Log},
    transports::TransportError,
};

use crate::error::{CliError, Code, Result};

/// How long an endpoint may take to say which chain it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Endpoints that limit a log query accept at least this many blocks.
const LEAST_WINDOW: u64 = 500;

/// Connects to `url`; WebSocket endpoints are dialled at once, HTTP ones with the first request.
pub(crate) async fn connect<L, F>(url: &str, builder: ProviderBuilder<L, F, Ethereum>) -> Result<DynProvider>
where
    L: ProviderLayer<RootProvider, Ethereum>,
    F: TxFiller<Ethereum> + ProviderLayer<L::Provider, Ethereum>,
    F::Provider: 'static,
{
    let connecting = builder.connect(url);
    let provider = tokio::time::timeout(PATIENCE, connecting)
        .await
        .map_err(|_| silent(url))?
        .map_err(|e| unreachable(url, &e))?
        .erased();
    // Receipts are polled for; a development chain mines at once, and a few polls a second are polite elsewhere.
    provider.client().set_poll_interval(Duration::from_millis(200));
    Ok(provider)
}

/// The endpoint's chain id.
pub(crate) async fn chain_id(provider: &DynProvider, url: &str) -> Result<u64> {
    let asked = tokio::time::timeout(PATIENCE, provider.get_chain_id());
    asked.await.map_err(|_| silent(url))?.map_err(|e| unreachable(url, &e))
}

/// Refuses an endpoint of another chain than the one that `wanted_by` is for.
pub(crate) async fn check_chain(
    provider: &DynProvider,
    url: &str,
    expected: u64,
    wanted_by: &str,
) -> Result<()> {
    let given = chain_id(provider, url).await?;
    if given == expected {
        return Ok(());
    }
    let url = shown(url);
    let text = format!(
        "wrong chain: {url} has chain id {given}, {wanted_by} {expected}; --rpc names another endpoint"
    );
    Err(CliError::new(Code::WrongChain, text))
}

/// Logs from block `from` on, in one request where the endpoint allows it and in ever smaller windows where not.
pub(crate) async fn logs(provider: &DynProvider, filter: &Filter, from: u64) -> Result<Vec<Log>> {
    let head = provider.get_block_number().await.map_err(|e| failed(&e))?;
    let (mut from, mut window) = (from, head.saturating_sub(from).saturating_add(1));
    let mut all = Vec::new();
    while from <= head {
        let to = head.min(from.saturating_add(window - 1));
        match provider.get_logs(&filter.clone().from_block(from).to_block(to)).await {
            Ok(found) => {
                all.extend(found);
                from = to.saturating_add(1);
            }
            Err(e) if e.as_error_resp().is_some() && window > LEAST_WINDOW => window = window.div_ceil(2),
            Err(e) => return Err(failed(&e)),
        }
    }
    Ok(all)
}

/// The chain's own time.
pub(crate) async fn now(provider: &DynProvider) -> Result<Option<u64>> {
    let latest = alloy::eips::BlockNumberOrTag::Latest;
    let block = provider.get_block_by_number(latest).await.map_err(|e| failed(&e))?;
    Ok(block.map(|b| b.header.timestamp))
}

/// A request that an endpoint failed, once it was known to be the right one.
pub(crate) fn failed(error: &TransportError) -> CliError {
    match error.as_error_resp() {
        Some(response) => CliError::refused(format!("the RPC endpoint refuses: {response}")),
        None => CliError::unavailable(format!("the RPC endpoint failed: {}", cause(error))),
    }
}

fn silent(url: &str) -> CliError {
    let (url, patience) = (shown(url), PATIENCE.as_secs());
    CliError::unavailable(format!("RPC endpoint {url} said nothing for {patience} s; --rpc names another"))
}

fn unreachable(url: &str, error: &TransportError) -> CliError {
    let hint = "is it running, is the URL right? --rpc names another";
    let cause = cause(error).replace(url, &shown(url));
    CliError::unavailable(format!("RPC endpoint {}: {cause}; {hint}", shown(url)))
}

/// The innermost cause of a failed transport (the outer ones quote the URL), the error itself otherwise.
pub(crate) fn cause(error: &TransportError) -> String {
    let mut innermost: &dyn Error = error;
    if error.is_transport_error() {
        while let Some(source) = innermost.source() {
            innermost = source;
        }
    }
    const LONGEST: usize = 200;
    innermost.to_string().chars().take(LONGEST).collect()
}

/// `url` without what may be a credential: user part, path and query.
pub(crate) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.contains(['@', '/']) { "(not a URL)".into() } else { format!("{url:?}") };
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}", if path.len() > 1 { "/…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_an_endpoint_are_not_shown() {
        assert_eq!(shown("https://user:pw@rpc.example:8545/v3/KEY?x=KEY"), "https://rpc.example:8545/…");
        assert_eq!(shown("ws://127.0.0.1:8545/"), "ws://127.0.0.1:8545");
        assert_eq!(shown("user:pw@host"), "(not a URL)");
        assert_eq!(shown("nonsense"), "\"nonsense\"");
    }

    #[tokio::test]
    async fn endpoint_key_is_not_in_the_error_when_nobody_answers() {
        for url in [
            "http://127.0.0.1:1/v3/KEY",
            "ws://127.0.0.1:1/v3/KEY",
            "http://u:KEY@127.0.0.1:1",
            "KEY://x/KEY",
        ] {
            let error = match connect(url, ProviderBuilder::new()).await {
                Ok(provider) => chain_id(&provider, url).await.unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(error.code, Code::Unavailable);
            assert!(!error.message.contains("/v3/KEY") && !error.message.contains(":KEY"), "{error}");
        }
    }
}
