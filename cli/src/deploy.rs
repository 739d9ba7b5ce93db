// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Deploying the contracts: one protocol council that owns them, and on request a token DAO for an app.

use std::{collections::BTreeMap, path::Path, time::Duration};

use alloy::{
    contract::RawCallBuilder,
    primitives::{Address, B256, U256, aliases::U40},
    providers::{DynProvider, Provider},
};
use mandate_model::{
    bindings::{
        AppAuth, AppGovernor, DomainRegistry, GovernanceFactory, GovernanceToken, GovernorSettings, KmsAuth,
        KmsCommittee, ReceiptAnchor, Role, RoleCouncil,
    },
    deployment::Deployment,
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    connection::failed,
    context::{read_toml, refusal},
    error::{CliError, Result},
};

/// The file that `mandate deploy --parameters` names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParametersFile {
    pub(crate) protocol: Parameters,
    pub(crate) dao: Option<DaoParameters>,
}

impl ParametersFile {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        read_toml(path, "parameters file", "script/deploy has examples")
    }
}

/// What the protocol is made with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Time between a decision to loosen the protocol's rules and its effect.
    #[serde(with = "humantime_serde")]
    pub notice: Duration,
    /// Who may revoke OS images and suspend apps at once; zero for nobody.
    #[serde(default)]
    pub guardian: Address,
    /// For how long the members' word on a KMS node's evidence is good; zero for a committee whose nodes the council's word
    /// alone admits.
    #[serde(with = "humantime_serde")]
    pub attestation_period: Duration,
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

impl From<&CouncilRole> for Role {
    fn from(role: &CouncilRole) -> Self {
        Self { name: role.name.clone(), threshold: role.threshold, members: role.members.clone() }
    }
}

impl Parameters {
    /// A development deployment: a council of one.
    pub fn development(owner: Address) -> Self {
        Self {
            notice: Duration::from_secs(24 * 3600),
            guardian: owner,
            attestation_period: Duration::ZERO,
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

impl DaoParameters {
    /// The smallest units of the token in a whole one.
    pub(crate) const UNIT: u128 = 10u128.pow(18);

    /// As the governor takes them.
    pub(crate) fn settings(&self) -> Result<GovernorSettings> {
        Ok(GovernorSettings {
            votingDelay: self.voting_delay.as_secs().try_into().map_err(too_long)?,
            votingPeriod: self.voting_period.as_secs().try_into().map_err(too_long)?,
            proposalThreshold: U256::ZERO,
            quorumNumerator: U256::from(self.quorum_percent),
            lateQuorumExtension: self.voting_delay.as_secs().try_into().map_err(too_long)?,
            vetoWindow: self.veto_window.as_secs().try_into().map_err(too_long)?,
            proposalGuardian: self.proposal_guardian,
        })
    }
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
    let roles = p.roles.iter().map(Role::from).collect();
    let council = RoleCouncil::deploy_builder(provider, roles, uint40(p.motion_lifetime)?);
    let council = create("RoleCouncil", council).await?;
    let implementation = create("AppAuth", AppAuth::deploy_builder(provider)).await?;
    let owner = council.address;
    let kms_auth = KmsAuth::deploy_builder(provider, implementation.address, owner, p.guardian, notice);
    let kms_auth = create("KmsAuth", kms_auth).await?;
    let committee =
        KmsCommittee::deploy_builder(provider, owner, p.guardian, notice, uint40(p.attestation_period)?);
    let committee = create("KmsCommittee", committee).await?;
    let registry = DomainRegistry::deploy_builder(provider, kms_auth.address, owner);
    let registry = create("DomainRegistry", registry).await?;
    let anchor = create("ReceiptAnchor", ReceiptAnchor::deploy_builder(provider, committee.address)).await?;
    let factory = factory(provider, kms_auth.address, council.address).await?;

    let deployment = Deployment {
        chain_id,
        kms_auth: kms_auth.address,
        app_implementation: implementation.address,
        committee: committee.address,
        domain_registry: registry.address,
        role_council: council.address,
        governance_factory: factory.last().map(|f| f.address),
        receipt_anchor: Some(anchor.address),
        genesis_block: council.block,
    };
    let mut deployed = vec![council, implementation, kms_auth, committee, registry, anchor];
    deployed.extend(factory);
    Ok((deployment, deployed))
}

/// What the factory clones, and the factory itself. Clones share nothing with the council but its code.
async fn factory(provider: &DynProvider, kms_auth: Address, council: Address) -> Result<[Deployed; 3]> {
    let (name, nobody) = ("for cloning only".to_owned(), Vec::new());
    let token = GovernanceToken::deploy_builder(provider, name.clone(), String::new(), nobody, Vec::new());
    let token = create("GovernanceToken for clones", token).await?;
    let settings =
        GovernorSettings { votingPeriod: 1, quorumNumerator: U256::from(100), ..GovernorSettings::default() };
    let governor = AppGovernor::deploy_builder(provider, name, token.address, settings);
    let governor = create("AppGovernor for clones", governor).await?;
    let factory =
        GovernanceFactory::deploy_builder(provider, kms_auth, governor.address, token.address, council);
    let factory = create("GovernanceFactory", factory).await?;
    Ok([token, governor, factory])
}

/// Deploys a voting token and an `AppGovernor` over it.
///
/// # Errors
/// As [`protocol`].
pub async fn dao(provider: &DynProvider, p: &DaoParameters) -> Result<(Deployed, Deployed)> {
    let unit = U256::from(DaoParameters::UNIT);
    let (holders, amounts) =
        p.holders.iter().map(|(holder, votes)| (*holder, U256::from(*votes) * unit)).unzip();
    let symbol = "VOTE".to_owned();
    let token =
        GovernanceToken::deploy_builder(provider, format!("{} vote", p.name), symbol, holders, amounts);
    let token = create("GovernanceToken", token).await?;
    let settings = p.settings()?;
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

pub(crate) fn uint40(duration: Duration) -> Result<U40> {
    U40::try_from(duration.as_secs()).map_err(too_long)
}

fn too_long<E>(_: E) -> CliError {
    CliError::config("a duration is longer than the contracts can count")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_parameters_are_read() {
        let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../script/deploy"));
        for example in ["dev.toml", "l1.toml", "l2.toml"] {
            let file = ParametersFile::load(&examples.join(example)).unwrap();
            assert!(file.protocol.roles.iter().all(|role| role.threshold > 0), "{example}");
        }
    }
}
