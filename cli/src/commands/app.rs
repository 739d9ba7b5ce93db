// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate app register|show|schedule|revoke`.

use std::{fs, path::Path, time::Duration};

use alloy::{
    primitives::{Address, B256, aliases::U40},
    providers::DynProvider,
    sol_types::{SolCall, SolEvent},
};
use mandate_model::{
    bindings::{AppAuth, AppInit, KmsAuth},
    compose::compose_hash,
};
use serde_json::{Value, json};

use super::governance::direct_or_propose;
use crate::{
    args::{RegisterArgs, RevokeArgs, ScheduleArgs},
    context::{Context, send, sent, view},
    error::{CliError, Result},
};

type Errors = AppAuth::AppAuthErrors;

/// The names of `VersionState`, in its order.
pub(crate) const STATES: [&str; 6] = ["none", "scheduled", "active", "retiring", "retired", "revoked"];

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
    };
    let kms_auth = KmsAuth::new(deployment.kms_auth, &provider);
    let receipt =
        send::<_, _, KmsAuth::KmsAuthErrors>(kms_auth.deployAndRegisterApp(init, args.salt)).await?;
    let registered = receipt
        .logs()
        .iter()
        .find_map(|log| KmsAuth::AppRegistered::decode_log(&log.inner).ok())
        .ok_or_else(|| CliError::data("no app was registered: is kms_auth in the config file a KmsAuth?"))?;
    let (block, transaction) = sent(&receipt);
    context.print(&json!({
        "app": registered.app, "owner": args.owner.unwrap_or(sender), "guardian": args.guardian,
        "noticeSeconds": args.notice.as_secs(), "block": block, "transaction": transaction,
    }))
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
        merge(&mut shown, rules(&provider, app).await?);
    }
    context.print(&shown)
}

async fn rules(provider: &DynProvider, app: Address) -> Result<Value> {
    let auth = AppAuth::new(app, provider);
    let generation = view::<_, _, Errors>(auth.generation()).await?;
    let mut codes = Vec::new();
    for hash in view::<_, _, Errors>(auth.liveCodes()).await? {
        codes.push(code(&auth, hash).await?);
    }
    Ok(json!({
        "owner": view::<_, _, Errors>(auth.owner()).await?,
        "guardian": view::<_, _, Errors>(auth.guardian()).await?,
        "noticeSeconds": view::<_, _, Errors>(auth.notice()).await?.to::<u64>(),
        "pausedUntil": view::<_, _, Errors>(auth.pausedUntil()).await?.to::<u64>(),
        "tcbFloor": view::<_, _, Errors>(auth.tcbFloor()).await?,
        "generation": generation.current,
        "codes": codes,
    }))
}

async fn code(auth: &AppAuth::AppAuthInstance<&DynProvider>, hash: B256) -> Result<Value> {
    let found = view::<_, _, Errors>(auth.codeState(hash)).await?;
    Ok(json!({
        "hash": hash,
        "state": STATES.get(usize::from(found.state)).copied().unwrap_or("unknown"),
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
    context.print(&shown)
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
    context.print(&json!({
        "app": args.app, "hash": args.code, "state": "revoked", "rotated": args.rotate,
        "block": block, "transaction": transaction,
    }))
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
