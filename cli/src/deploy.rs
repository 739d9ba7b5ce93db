// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Deploying the contracts: one protocol council that owns them, and on request a token DAO for an app.

use std::{collections::BTreeMap, time::Duration};

use alloy::{
    contract::RawCallBuilder,
    primitives::{Address, B256, U256, aliases::U40},
    providers::{DynProvider, Provider},
};
use mandate_model::{
    bindings::{
        AppAuth, AppGovernor, DomainRegistry, GovernanceToken, GovernorSettings, KmsAuth, KmsCommittee, Role,
        RoleCouncil,
    },
    deployment::Deployment,
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    connection::failed,
    context::refusal,
    error::{CliError, Result},
};

/// What a deployment is made with; `mandate deploy --parameters FILE` reads it as TOML.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Time between a decision to loosen the protocol's rules and its effect.
    #[serde(with = "humantime_serde")]
    pub notice: Duration,
    /// Who may revoke OS images and suspend apps at once; zero for nobody.
    #[serde(default)]
    pub guardian: Address,
    /// How long a motion of the council stays open.
    #[serde(with = "humantime_serde")]
    pub motion_lifetime: Duration,
    /// The protocol council, which owns `KmsAuth`, `KmsCommittee` and `DomainRegistry`.
    pub roles: Vec<CouncilRole>,
}

/// A role of the council: a motion needs `threshold` approvals of its members.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CouncilRole {
    /// Its name.
    pub name: String,
    /// Approvals needed.
    pub threshold: u32,
    /// Who may approve.
    pub members: Vec<Address>,
}

impl Parameters {
    /// A development deployment: a council of one.
    pub fn development(owner: Address) -> Self {
        Self {
            notice: Duration::from_secs(24 * 3600),
            guardian: owner,
            motion_lifetime: Duration::from_secs(14 * 24 * 3600),
            roles: vec![CouncilRole { name: "core".into(), threshold: 1, members: vec![owner] }],
        }
    }
}

/// What an `AppGovernor` and its token are made with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaoParameters {
    /// Name of the governor.
    pub name: String,
    /// Who holds how many votes, in whole tokens.
    #[serde(deserialize_with = "holders")]
    pub holders: Vec<(Address, u64)>,
    /// Between the proposal and the first vote.
    #[serde(with = "humantime_serde")]
    pub voting_delay: Duration,
    /// How long votes are taken.
    #[serde(with = "humantime_serde")]
    pub voting_period: Duration,
    /// Between queueing and execution; the proposal guardian may cancel meanwhile.
    #[serde(with = "humantime_serde")]
    pub veto_window: Duration,
    /// Share of the supply that must take part, in percent.
    pub quorum_percent: u8,
    /// Who may cancel a proposal; zero: each proposer its own.
    #[serde(default)]
    pub proposal_guardian: Address,
}

/// A table of `"0xHOLDER" = votes`.
fn holders<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Vec<(Address, u64)>, D::Error> {
    Ok(BTreeMap::<Address, u64>::deserialize(d)?.into_iter().collect())
}

/// One contract that was deployed.
#[derive(Debug, Clone, Serialize)]
pub struct Deployed {
    /// Name of the contract.
    pub contract: &'static str,
    /// Where.
    pub address: Address,
    /// In which block.
    pub block: u64,
    /// By which transaction.
    pub transaction: B256,
}

/// Deploys the protocol's contracts.
///
/// # Errors
/// When the endpoint fails or a constructor refuses; what was deployed before that is lost gas, nothing else.
pub async fn protocol(provider: &DynProvider, p: &Parameters) -> Result<(Deployment, Vec<Deployed>)> {
    let chain_id = provider.get_chain_id().await.map_err(|e| failed(&e))?;
    let notice = uint40(p.notice)?;
    let roles = p
        .roles
        .iter()
        .map(|r| Role { name: r.name.clone(), threshold: r.threshold, members: r.members.clone() })
        .collect();

    let council =
        create("RoleCouncil", RoleCouncil::deploy_builder(provider, roles, uint40(p.motion_lifetime)?))
            .await?;
    let implementation = create("AppAuth", AppAuth::deploy_builder(provider)).await?;
    let owner = council.address;
    let kms_auth = KmsAuth::deploy_builder(provider, implementation.address, owner, p.guardian, notice);
    let kms_auth = create("KmsAuth", kms_auth).await?;
    let committee = KmsCommittee::deploy_builder(provider, owner, p.guardian, notice);
    let committee = create("KmsCommittee", committee).await?;
    let registry = DomainRegistry::deploy_builder(provider, kms_auth.address, owner);
    let registry = create("DomainRegistry", registry).await?;

    let deployment = Deployment {
        chain_id,
        kms_auth: kms_auth.address,
        app_implementation: implementation.address,
        committee: committee.address,
        domain_registry: registry.address,
        role_council: council.address,
        genesis_block: council.block,
    };
    Ok((deployment, vec![council, implementation, kms_auth, committee, registry]))
}

/// Deploys a voting token and an `AppGovernor` over it.
///
/// # Errors
/// As [`protocol`].
pub async fn dao(provider: &DynProvider, p: &DaoParameters) -> Result<(Deployed, Deployed)> {
    let unit = U256::from(10).pow(U256::from(18));
    let (holders, amounts) =
        p.holders.iter().map(|(holder, votes)| (*holder, U256::from(*votes) * unit)).unzip();
    let symbol = "VOTE".to_owned();
    let token =
        GovernanceToken::deploy_builder(provider, format!("{} vote", p.name), symbol, holders, amounts);
    let token = create("GovernanceToken", token).await?;
    let settings = GovernorSettings {
        votingDelay: p.voting_delay.as_secs().try_into().map_err(too_long)?,
        votingPeriod: p.voting_period.as_secs().try_into().map_err(too_long)?,
        proposalThreshold: U256::ZERO,
        quorumNumerator: U256::from(p.quorum_percent),
        lateQuorumExtension: p.voting_delay.as_secs().try_into().map_err(too_long)?,
        vetoWindow: p.veto_window.as_secs().try_into().map_err(too_long)?,
        proposalGuardian: p.proposal_guardian,
    };
    let governor = AppGovernor::deploy_builder(provider, p.name.clone(), token.address, settings);
    Ok((token, create("AppGovernor", governor).await?))
}

async fn create<P: Provider>(contract: &'static str, call: RawCallBuilder<P>) -> Result<Deployed> {
    let failed = |e: CliError| CliError::new(e.code, format!("deploying {contract}: {e}"));
    let pending = call.send().await.map_err(|e| failed(refusal(contract, &e)))?;
    let receipt = pending.get_receipt().await.map_err(|e| {
        CliError::unavailable(format!("deploying {contract}: the transaction was sent, but: {e}"))
    })?;
    match (receipt.status(), receipt.contract_address) {
        (true, Some(address)) => Ok(Deployed {
            contract,
            address,
            block: receipt.block_number.unwrap_or_default(),
            transaction: receipt.transaction_hash,
        }),
        _ => Err(CliError::refused(format!(
            "deploying {contract}: transaction {} reverted",
            receipt.transaction_hash
        ))),
    }
}

fn uint40(duration: Duration) -> Result<U40> {
    U40::try_from(duration.as_secs()).map_err(too_long)
}

fn too_long<E>(_: E) -> CliError {
    CliError::config("a duration is longer than the contracts can count")
}
