// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Step 4: the council admits the nodes and opens the genesis ceremony; the nodes run it through the chain.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, Bytes, aliases::U40},
    sol_types::SolCall,
};
use mandate_guest::Pinned;
use mandate_model::{
    bindings::{AppInit, DomainRegistry, Epoch, KmsAuth, KmsCommittee},
    compose::compose_hash,
    deployment::Deployment,
    wire::kms::NodeStatus,
};
use serde_json::json;

use super::hold;
use crate::{
    context::{send, view},
    demo::{
        World,
        actors::Actor,
        chain::{find, tell},
        report::{Kind, Teller},
        services::admission,
        setting::{KMS_CODE, KMS_SALT, PROTOCOL_NOTICE},
    },
    error::{CliError, Result},
};

/// `CeremonyKind.Genesis`.
const GENESIS: u8 = 1;
const WINDOW: Duration = Duration::from_secs(24 * 3600);
const YEAR: u64 = 365 * 24 * 3600;

pub(crate) async fn run(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let deployment = world.deployment()?.clone();
    let kms_code = compose_hash(KMS_CODE);
    let gateway_code = compose_hash(b"the gateway's own code");
    let kms_app = system_app(world, teller, "KMS", KMS_SALT, kms_code).await?;
    let gateway_app = system_app(world, teller, "gateway", 2, gateway_code).await?;

    let calls = admissions(world, &deployment, kms_app, gateway_app)?;
    let text = "allow the OS image, name the system apps, admit four nodes";
    world.chain.council_passes(teller, deployment.role_council, calls, text).await?;
    world.chain.pass(PROTOCOL_NOTICE + Duration::from_secs(1))?;
    let text = format!("the protocol's notice of {} passes", humantime::format_duration(PROTOCOL_NOTICE));
    teller.at(Kind::Done, text, Some(world.chain.dev.head().number()), None, &[]);

    await_attestation(world, deployment.committee).await?;
    let text = "each node proves the KMS's own code to the others, and three of four vouch for each on chain";
    teller.at(Kind::Done, text, Some(world.chain.dev.head().number()), None, &[]);

    let seconds = U40::from(WINDOW.as_secs());
    let open = KmsCommittee::openCeremonyCall { kind: GENESIS, dealWindow: seconds, confirmWindow: seconds };
    let calls = vec![(deployment.committee, open.abi_encode().into())];
    world.chain.council_passes(teller, deployment.role_council, calls, "open the genesis ceremony").await?;
    let epoch = await_epoch(world, deployment.committee).await?;
    let facts = [
        ("group_key", json!(epoch.groupKey)),
        ("quorum", json!(format!("{} of {}", epoch.quorum, epoch.members.len()))),
    ];
    let text = "every node dealt, checked and confirmed through the chain: epoch 1 starts";
    teller.at(Kind::Done, text, Some(world.chain.dev.head().number()), None, &facts);
    hold(epoch.quorum == 3 && epoch.members.len() == 4, "the epoch is not 3 of 4")?;

    let pinned = pin(&deployment, &epoch)?;
    world.pinned = Some(pinned);
    await_shares(world).await?;
    let quoter = Arc::new(world.guest(gateway_app, gateway_code));
    let mut services = world.services.take().ok_or_else(|| CliError::data("no service runs yet"))?;
    let started = services.start_agent(world, &pinned, quoter).await;
    world.services = Some(services);
    started?;
    world.gateway_app = (gateway_app, gateway_code);
    let text = "the gateway's agent proves the gateway's code and holds its secret, from which its ACME account derives";
    teller.at(Kind::Done, text, None, None, &[("app", json!(gateway_app))]);
    Ok(())
}

/// The KMS's and the gateway's own code are apps like any other, owned by the council.
async fn system_app(
    world: &World,
    teller: &mut Teller<'_>,
    name: &str,
    salt: u8,
    code: B256,
) -> Result<Address> {
    let deployment = world.deployment()?;
    let kms_auth = KmsAuth::new(deployment.kms_auth, world.chain.of(Actor::Deployer)?);
    let init = AppInit {
        owner: deployment.role_council,
        guardian: Actor::Guardian.address(),
        notice: U40::from(PROTOCOL_NOTICE.as_secs()),
        codeHashes: vec![code],
        devices: vec![],
        anyDevice: true,
        teeKinds: vec![mandate_attestation::Tee::Tdx as u8],
        tcbFloor: 1,
        ..AppInit::default()
    };
    let call = kms_auth.deployAndRegisterApp(init, B256::with_last_byte(salt));
    let receipt = send::<_, _, KmsAuth::KmsAuthErrors>(call).await?;
    tell(teller, Kind::Done, format!("the {name}'s own code is an app like any other"), &receipt);
    Ok(find::<KmsAuth::AppRegistered>(&receipt)?.app)
}

fn admissions(
    world: &World,
    d: &Deployment,
    kms_app: Address,
    gateway_app: Address,
) -> Result<Vec<(Address, Bytes)>> {
    let os_image_hash = mandate_attestation::dev_pki::DevGuest::default().os_image_hash();
    let image = KmsAuth::scheduleOsImageCall {
        osImageHash: os_image_hash,
        sourceUri: "https://example.org/dev-os".into(),
    };
    let mut calls = vec![
        (d.kms_auth, image.abi_encode().into()),
        (d.kms_auth, KmsAuth::setKmsAppCall { app: kms_app }.abi_encode().into()),
        (d.kms_auth, KmsAuth::setGatewayAppCall { app: gateway_app }.abi_encode().into()),
    ];
    let recorder = DomainRegistry::setRecorderCall { recorder: Actor::Relayer.address(), allowed: true };
    calls.push((d.domain_registry, recorder.abi_encode().into()));
    let expires_at = world.chain.dev.now() + YEAR;
    for slot in &world.services()?.nodes {
        let node = admission(slot, Actor::Deployer.address(), expires_at)?;
        calls.push((d.committee, KmsCommittee::admitNodeCall { node_: node }.abi_encode().into()));
    }
    Ok(calls)
}

/// Nobody takes part whom the others have not vouched for.
async fn await_attestation(world: &World, committee: Address) -> Result<()> {
    let reader = world.chain.reader();
    let committee = KmsCommittee::new(committee, &reader);
    for slot in &world.services()?.nodes {
        let node = slot.keys()?.address();
        let look = || async {
            view::<_, _, KmsCommittee::KmsCommitteeErrors>(committee.isAdmitted(node)).await.ok()
        };
        world.until(&format!("the others to vouch for node {node}"), look, |is: &bool| *is).await?;
    }
    Ok(())
}

async fn await_epoch(world: &World, committee: Address) -> Result<Epoch> {
    let reader = world.chain.reader();
    let committee = KmsCommittee::new(committee, &reader);
    let look =
        || async { view::<_, _, KmsCommittee::KmsCommitteeErrors>(committee.currentEpoch()).await.ok() };
    world.until("the committee to start its first epoch", look, |epoch: &Epoch| epoch.number == 1).await
}

/// Every node has verified the epoch at finality and holds its share.
async fn await_shares(world: &World) -> Result<()> {
    for url in world.services()?.node_urls() {
        let look = || world.look::<NodeStatus>(format!("{url}/v1/node"));
        world.until(&format!("node {url} to hold its share"), look, |s| s.epoch == 1 && s.fresh).await?;
    }
    world
        .until(
            "the relayer to tell the committee",
            || async { world.committee().await.ok() },
            |v| v.epoch == 1,
        )
        .await?;
    Ok(())
}

fn pin(deployment: &Deployment, epoch: &Epoch) -> Result<Pinned> {
    let group_key = epoch.groupKey.as_ref().try_into();
    Ok(Pinned {
        chain_id: deployment.chain_id,
        kms_auth: deployment.kms_auth,
        committee: deployment.committee,
        group_key: group_key.map_err(|_| CliError::data("the group key on chain is not 48 bytes long"))?,
    })
}
