// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate app register|show|schedule|revoke`.

use std::{fs, path::Path, time::Duration};

use alloy::{
    primitives::{Address, B256, aliases::U40},
    providers::DynProvider,
    rpc::types::Filter,
    sol_types::{SolCall, SolEvent},
};
use mandate_model::{
    bindings::{AppAuth, AppInit, KmsAuth},
    compose::compose_hash,
};
use mandate_runtime::entropy::{self, OsEntropy};
use serde_json::{Value, json};

use super::governance::direct_or_propose;
use crate::{
    args::{RegisterArgs, RevokeArgs, ScheduleArgs},
    connection::logs,
    context::{Context, send, sent, view},
    error::{CliError, Result},
    names::variant,
};

type Errors = AppAuth::AppAuthErrors;

pub(crate) async fn register(context: &Context<'_>, args: &RegisterArgs) -> Result<()> {
    let (provider, deployment, sender) = context.writer().await?;
    let init = AppInit {
        owner: args.owner.unwrap_or(sender),
        guardian: args.guardian.unwrap_or_default(),
        notice: seconds(args.notice)?,
        codeHashes: args.codes.clone(),
        devices: args.devices.clone(),
        anyDevice: args.devices.is_empty(),
        teeKinds: args.tees.iter().map(|t| *t as u8).collect(),
        tcbFloor: args.tcb_floor as u8,
        conditions: args.conditions.clone(),
        ticketNeeded: args.require_ticket || !args.tickets.is_empty(),
        tickets: args.tickets.clone(),
    };
    let kms_auth = KmsAuth::new(deployment.kms_auth, &provider);
    let receipt = send::<_, _, KmsAuth::KmsAuthErrors>(
        kms_auth.deployAndRegisterApp(init, args.salt.unwrap_or_else(fresh_salt)),
    )
    .await?;
    let registered = receipt
        .logs()
        .iter()
        .find_map(|log| KmsAuth::AppRegistered::decode_log(&log.inner).ok())
        .ok_or_else(|| CliError::data("no app was registered: is kms_auth in the config file a KmsAuth?"))?;
    let (block, transaction) = sent(&receipt);
    context
        .print(
            &provider,
            &json!({
                "app": registered.app, "owner": args.owner.unwrap_or(sender), "guardian": args.guardian,
                "noticeSeconds": args.notice.as_secs(), "block": block, "transaction": transaction,
            }),
        )
        .await
}

pub(crate) async fn show(context: &Context<'_>, app: Address) -> Result<()> {
    let (provider, deployment) = context.reader().await?;
    let kms_auth = KmsAuth::new(deployment.kms_auth, &provider);
    let registration = view::<_, _, KmsAuth::KmsAuthErrors>(kms_auth.isRegistered(app)).await?;
    if !registration.registered {
        return Err(CliError::data(format!("{app} is not registered with KmsAuth {}", deployment.kms_auth)));
    }
    let suspended = view::<_, _, KmsAuth::KmsAuthErrors>(kms_auth.isSuspended(app)).await?;
    let mut shown = json!({"app": app, "foreign": registration.foreign, "suspended": suspended});
    if !registration.foreign {
        merge(&mut shown, rules(&provider, app, deployment.genesis_block).await?);
    }
    context.print(&provider, &shown).await
}

async fn rules(provider: &DynProvider, app: Address, genesis_block: u64) -> Result<Value> {
    let auth = AppAuth::new(app, provider);
    let generation = view::<_, _, Errors>(auth.generation()).await?;
    let conditions: Vec<Value> = view::<_, _, Errors>(auth.conditions())
        .await?
        .into_iter()
        .map(|c| json!({"condition": c.condition, "endsAt": c.endsAt.to::<u64>()}))
        .collect();
    let mut codes = Vec::new();
    for (hash, source) in known_codes(&auth, genesis_block).await? {
        let mut shown = code(&auth, hash).await?;
        merge(&mut shown, json!({"source": source}));
        codes.push(shown);
    }
    Ok(json!({
        "owner": view::<_, _, Errors>(auth.owner()).await?,
        "guardian": view::<_, _, Errors>(auth.guardian()).await?,
        "noticeSeconds": view::<_, _, Errors>(auth.notice()).await?.to::<u64>(),
        "pausedUntil": view::<_, _, Errors>(auth.pausedUntil()).await?.to::<u64>(),
        "tcbFloor": variant("TcbStatus", view::<_, _, Errors>(auth.tcbFloor()).await?),
        "generation": generation.current,
        "sunset": view::<_, _, Errors>(auth.isSunset()).await?,
        "ticketNeeded": view::<_, _, Errors>(auth.ticketRequirement()).await?.needed,
        "conditions": conditions,
        "codes": codes,
    }))
}

/// Every code hash that was ever scheduled or revoked, in that order, with where its source was last said to be.
async fn known_codes(
    auth: &AppAuth::AppAuthInstance<&DynProvider>,
    genesis_block: u64,
) -> Result<Vec<(B256, String)>> {
    let signatures = vec![AppAuth::CodeScheduled::SIGNATURE_HASH, AppAuth::CodeRevoked::SIGNATURE_HASH];
    let filter = Filter::new().address(*auth.address()).event_signature(signatures);
    let mut known: Vec<(B256, String)> = Vec::new();
    let mut note = |hash: B256, source: Option<String>| match known.iter_mut().find(|(h, _)| *h == hash) {
        Some((_, known)) => *known = source.unwrap_or_else(|| std::mem::take(known)),
        None => known.push((hash, source.unwrap_or_default())),
    };
    for log in logs(auth.provider(), &filter, genesis_block).await? {
        if let Ok(event) = AppAuth::CodeScheduled::decode_log(&log.inner) {
            note(event.codeHash, Some(event.sourceUri.clone()));
        } else if let Ok(event) = AppAuth::CodeRevoked::decode_log(&log.inner) {
            note(event.codeHash, None);
        }
    }
    Ok(known)
}

async fn code(auth: &AppAuth::AppAuthInstance<&DynProvider>, hash: B256) -> Result<Value> {
    let found = view::<_, _, Errors>(auth.codeState(hash)).await?;
    Ok(json!({
        "hash": hash,
        "state": variant("VersionState", found.state),
        "activeFrom": found.version.activeFrom.to::<u64>(),
        "retireAt": found.version.retireAt.to::<u64>(),
    }))
}

pub(crate) async fn schedule(context: &Context<'_>, args: &ScheduleArgs) -> Result<()> {
    let code = match (&args.code, &args.compose) {
        (Some(code), _) => *code,
        (None, Some(path)) => hash_of(path)?,
        (None, None) => return Err(CliError::data("give a code hash or --compose FILE")),
    };
    let call = AppAuth::scheduleCodeCall {
        codeHash: code,
        sourceUri: args.source.clone(),
        supersede: args.supersede,
        handover: seconds(args.handover)?,
    };
    let description = format!("Schedule code {code} of app {} (source: {})", args.app, args.source);
    if direct_or_propose(context, &args.route, args.app, call.abi_encode().into(), description)
        .await?
        .is_some()
    {
        return Ok(());
    }
    let (provider, ..) = context.writer().await?;
    let auth = AppAuth::new(args.app, &provider);
    let call = auth.scheduleCode(code, call.sourceUri, call.supersede, call.handover);
    let receipt = send::<_, _, Errors>(call).await?;
    let (block, transaction) = sent(&receipt);
    let mut shown = json!({"app": args.app, "block": block, "transaction": transaction});
    merge(&mut shown, self::code(&auth, code).await?);
    context.print(&provider, &shown).await
}

pub(crate) async fn revoke(context: &Context<'_>, args: &RevokeArgs) -> Result<()> {
    let call = AppAuth::revokeCodeCall { codeHash: args.code, rotate: args.rotate };
    let description = format!("Revoke code {} of app {}", args.code, args.app);
    if direct_or_propose(context, &args.route, args.app, call.abi_encode().into(), description)
        .await?
        .is_some()
    {
        return Ok(());
    }
    let (provider, ..) = context.writer().await?;
    let auth = AppAuth::new(args.app, &provider);
    let receipt = send::<_, _, Errors>(auth.revokeCode(args.code, args.rotate)).await?;
    let (block, transaction) = sent(&receipt);
    context.print(&provider, &json!({
        "app": args.app, "hash": args.code, "state": variant("VersionState", 5), "rotated": args.rotate,
        "block": block, "transaction": transaction,
    })).await
}

/// A salt that this sender has not used before, so that every registration makes another app.
fn fresh_salt() -> B256 {
    B256::from(entropy::bytes::<32>(&OsEntropy))
}

/// The hash of exactly these bytes, which are what the guest boots.
fn hash_of(path: &Path) -> Result<B256> {
    let bytes = fs::read(path).map_err(|e| CliError::data(format!("cannot read {}: {e}", path.display())))?;
    serde_json::from_slice::<Value>(&bytes)
        .map_err(|e| CliError::data(format!("{} is no app-compose.json: {e}", path.display())))?;
    Ok(compose_hash(&bytes))
}

/// A duration as the contracts count it.
pub(crate) fn seconds(duration: Duration) -> Result<U40> {
    U40::try_from(duration.as_secs()).map_err(|_| CliError::data(format!("{duration:?} is too long")))
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}
