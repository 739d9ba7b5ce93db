// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Step 2: the contracts are deployed.

use serde_json::json;

use crate::{
    context::{ConfigFile, send},
    demo::{
        World,
        actors::Actor,
        report::{Kind, Teller},
        setting::{
            ATTESTATION_PERIOD, MOTION_LIFETIME, PROTOCOL_NOTICE, VETO_WINDOW, VOTING_DELAY, VOTING_PERIOD,
        },
    },
    deploy::{self, CouncilRole, DaoParameters, Deployed, Parameters},
    error::Result,
};

pub(crate) async fn run(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let deployer = world.chain.of(Actor::Deployer)?;
    let (deployment, deployed) = deploy::protocol(deployer, &protocol()).await?;
    let (token, governor) = deploy::dao(deployer, &dao()).await?;
    let told = deployed.iter().chain([&token, &governor]);
    told.for_each(|contract| tell(teller, contract));
    let delegations = delegate_votes(world, token.address).await?;
    teller.tell(Kind::Done, format!("{delegations} holders delegate their votes to themselves"));

    let config = world.dir.join("mandate.toml");
    ConfigFile { rpc: Some(world.rpc_url()), deployment: deployment.clone() }.write(&config)?;
    teller.tell(Kind::Done, format!("the addresses are written to {}", config.display()));
    world.deployment = Some(deployment);
    world.governor = governor.address;
    Ok(())
}

fn tell(teller: &mut Teller<'_>, contract: &Deployed) {
    let purpose = match contract.contract {
        "RoleCouncil" => "the protocol's council: core, auditor and community must all approve",
        "AppAuth" => "the rules of an app; every app is a clone of this one",
        "KmsAuth" => "the registry of apps and OS images; decides who gets keys",
        "KmsCommittee" => "the nodes, their key ceremonies and epochs",
        "DomainRegistry" => "which app may serve a domain",
        "GovernanceToken" => "the DAO's votes",
        "AppGovernor" => "the DAO's governor",
        "GovernanceFactory" => "deploys an app with its own DAO or council in one transaction",
        "GovernanceToken for clones" | "AppGovernor for clones" => "what the factory clones",
        "ReceiptAnchor" => "where nodes anchor their logs of receipts",
        _ => "",
    };
    let text = format!("{}: {purpose}", contract.contract);
    let facts = [("address", json!(contract.address))];
    teller.at(Kind::Done, text, Some(contract.block), Some(contract.transaction), &facts);
}

/// Votes count only once delegated (ERC-5805).
async fn delegate_votes(world: &World, token: alloy::primitives::Address) -> Result<usize> {
    use mandate_model::bindings::GovernanceToken::{self, GovernanceTokenErrors};
    for voter in Actor::VOTERS {
        let token = GovernanceToken::new(token, world.chain.of(voter)?);
        send::<_, _, GovernanceTokenErrors>(token.delegate(voter.address())).await?;
    }
    Ok(Actor::VOTERS.len())
}

fn protocol() -> Parameters {
    let role = |name: &str, member: Actor| CouncilRole {
        name: name.into(),
        threshold: 1,
        members: vec![member.address()],
    };
    Parameters {
        notice: PROTOCOL_NOTICE,
        guardian: Actor::Guardian.address(),
        attestation_period: ATTESTATION_PERIOD,
        motion_lifetime: MOTION_LIFETIME,
        roles: vec![
            role("core", Actor::Core),
            role("auditors", Actor::Auditor),
            role("community", Actor::Community),
        ],
    }
}

fn dao() -> DaoParameters {
    DaoParameters {
        name: "Notes DAO".into(),
        holders: vec![
            (Actor::Alice.address(), 400),
            (Actor::Bob.address(), 350),
            (Actor::Carol.address(), 250),
        ],
        voting_delay: VOTING_DELAY,
        voting_period: VOTING_PERIOD,
        veto_window: VETO_WINDOW,
        quorum_percent: 20,
        proposal_guardian: Actor::Guardian.address(),
    }
}
