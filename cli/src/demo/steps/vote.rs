// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Step 5: a developer registers an app, and a DAO votes its first code in.

use std::time::Duration;

use alloy::{
    primitives::{B256, aliases::U40},
    sol_types::SolCall,
};
use mandate_model::bindings::{AppAuth, AppInit, KmsAuth};
use serde_json::json;

use super::hold;
use crate::{
    context::{send, view},
    demo::{
        World,
        actors::Actor,
        chain::{find, tell},
        guest::{V1, compose},
        report::{Kind, Teller},
        setting::NOTICE,
    },
    error::Result,
};

pub(crate) async fn run(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let kms_auth = KmsAuth::new(world.deployment()?.kms_auth, world.chain.of(Actor::Developer)?);
    let init = AppInit {
        owner: world.governor,
        guardian: Actor::Guardian.address(),
        notice: U40::from(NOTICE.as_secs()),
        codeHashes: vec![],
        devices: vec![],
        anyDevice: true,
        teeKinds: vec![mandate_attestation::Tee::Tdx as u8],
        tcbFloor: 1,
        ..AppInit::default()
    };
    let call = kms_auth.deployAndRegisterApp(init, B256::with_last_byte(1));
    let receipt = send::<_, _, KmsAuth::KmsAuthErrors>(call).await?;
    world.app = find::<KmsAuth::AppRegistered>(&receipt)?.app;
    let text = format!("the developer registers the app “notes” as {}, owned by the DAO", world.app);
    tell(teller, Kind::Done, text, &receipt);

    let (compose, code) = compose(V1);
    teller.at(
        Kind::Done,
        "v1's app-compose.json is hashed",
        None,
        None,
        &[("code", json!(code)), ("bytes", json!(compose.len()))],
    );
    let call = AppAuth::scheduleCodeCall {
        codeHash: code,
        sourceUri: "https://example.org/notes/v1".into(),
        supersede: false,
        handover: U40::ZERO,
    };
    let text = format!("run notes v1, code {code}");
    world
        .chain
        .dao_passes(teller, world.governor, vec![(world.app, call.abi_encode().into())], &text)
        .await?;
    await_notice(world, teller, code).await
}

/// The approved code is not active before the notice has passed, and is afterwards.
pub(crate) async fn await_notice(world: &World, teller: &mut Teller<'_>, code: B256) -> Result<()> {
    const SCHEDULED: u8 = 1;
    const ACTIVE: u8 = 2;
    let reader = world.chain.reader();
    let auth = AppAuth::new(world.app, &reader);
    let before = view::<_, _, AppAuth::AppAuthErrors>(auth.codeState(code)).await?;
    hold(before.state == SCHEDULED, "the code is not in its notice after the vote")?;
    world.chain.pass(NOTICE + Duration::from_secs(1))?;
    let after = view::<_, _, AppAuth::AppAuthErrors>(auth.codeState(code)).await?;
    hold(after.state == ACTIVE, "the code is not active after its notice")?;
    let text = format!("the notice of {} passes: the code is active", humantime::format_duration(NOTICE));
    teller.at(Kind::Done, text, Some(world.chain.dev.head().number()), None, &[]);
    world.settle().await
}
