// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate domain incidents|close-incident`.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, keccak256},
    providers::DynProvider,
    rpc::types::{Filter, Log},
    sol_types::{SolCall, SolEvent},
};
use mandate_model::bindings::DomainRegistry::{self, DomainRegistryErrors as Errors};
use serde_json::{Value, json};

use super::super::governance::direct_or_propose;
use crate::{
    args::Route,
    connection::{failed, logs},
    context::{ConfigFile, Context, send, sent},
    error::{CliError, Result},
};

pub(super) async fn list(context: &Context<'_>, name: &str) -> Result<()> {
    let (provider, deployment) = context.reader().await?;
    let signatures = vec![
        DomainRegistry::IncidentReported::SIGNATURE_HASH,
        DomainRegistry::IncidentClosed::SIGNATURE_HASH,
    ];
    let filter =
        Filter::new().address(deployment.domain_registry).event_signature(signatures).topic1(keccak256(name));
    let mut incidents: BTreeMap<(Address, B256), usize> = BTreeMap::new();
    let mut shown: Vec<Value> = Vec::new();
    let mut times = BTreeMap::new();
    for log in logs(&provider, &filter, deployment.genesis_block).await? {
        let at = time(&provider, &log, &mut times).await?;
        if let Ok(event) = DomainRegistry::IncidentReported::decode_log(&log.inner) {
            incidents.insert((event.app, event.fingerprint), shown.len());
            shown.push(json!({
                "fingerprint": event.fingerprint, "state": "Open", "app": event.app, "reporter": event.reporter,
                "evidence": event.evidence, "reportedAt": at,
            }));
        } else if let Ok(event) = DomainRegistry::IncidentClosed::decode_log(&log.inner) {
            let place = incidents.get(&(event.app, event.fingerprint)).and_then(|i| shown.get_mut(*i));
            if let Some(incident) = place.and_then(Value::as_object_mut) {
                incident.insert("state".into(), "Closed".into());
                incident.insert("closedAt".into(), json!(at));
                incident.insert("closedBy".into(), json!(event.by));
                incident.insert("reason".into(), json!(event.reason));
            }
        }
    }
    let open = shown.iter().filter(|incident| incident.get("state").is_some_and(|s| s == "Open")).count();
    context.print(&provider, &json!({"name": name, "open": open, "incidents": shown})).await
}

/// When a log's block was made; asked once per block.
async fn time(provider: &DynProvider, log: &Log, known: &mut BTreeMap<u64, u64>) -> Result<u64> {
    use alloy::providers::Provider;
    if let Some(at) = log.block_timestamp {
        return Ok(at);
    }
    let number = log.block_number.unwrap_or_default();
    if let Some(at) = known.get(&number) {
        return Ok(*at);
    }
    let block = provider.get_block_by_number(number.into()).await.map_err(|e| failed(&e))?;
    let at = block.ok_or_else(|| CliError::unavailable(format!("the RPC endpoint lost block {number}")))?;
    known.insert(number, at.header.timestamp);
    Ok(at.header.timestamp)
}

pub(super) async fn close(
    context: &Context<'_>,
    name: &str,
    fingerprint: B256,
    reason: &str,
    route: &Route,
) -> Result<()> {
    let registry = ConfigFile::load(&context.global.config)?.deployment.domain_registry;
    let call =
        DomainRegistry::closeIncidentCall { name: name.to_owned(), fingerprint, reason: reason.to_owned() };
    let description = format!("Close the incident of {name} with certificate {fingerprint}: {reason}");
    if direct_or_propose(context, route, registry, call.abi_encode().into(), description).await?.is_some() {
        return Ok(());
    }
    let (provider, ..) = context.writer().await?;
    let registry = DomainRegistry::new(registry, &provider);
    let call = registry.closeIncident(call.name, fingerprint, call.reason);
    let receipt = send::<_, _, Errors>(call).await?;
    let (block, transaction) = sent(&receipt);
    context
        .print(
            &provider,
            &json!({
                "name": name, "fingerprint": fingerprint, "state": "Closed", "reason": reason,
                "block": block, "transaction": transaction,
            }),
        )
        .await
}
