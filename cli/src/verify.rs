// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A live deployment beside what it was to be made with: every contract's code, every role and every parameter.
//!
//! What changes by the protocol's own decisions later (OS images, system apps, nodes, domains) is no parameter and is not
//! looked at; a change of owner, guardian or notice that is pending is drift like one that has happened.

use std::fmt::Display;

use alloy::{
    primitives::{Address, U256},
    providers::{DynProvider, Provider},
};
use mandate_model::{
    abi,
    bindings::{
        AppAuth, AppGovernor, DomainRegistry, GovernanceFactory, GovernanceToken, KmsAuth, KmsCommittee,
        ReceiptAnchor, Role, RoleCouncil,
    },
    deployment::Deployment,
};
use serde::Serialize;

use crate::{
    connection::failed,
    context::view,
    deploy::{DaoParameters, Parameters, uint40},
    error::{CliError, Result},
};

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Name of the contract.
    pub(crate) contract: &'static str,
    /// Its address.
    pub(crate) address: Address,
    /// Which of its views, or `code`.
    pub(crate) what: &'static str,
    /// What it was to be.
    pub(crate) expected: String,
    /// What it is.
    pub(crate) found: String,
    /// Whether both are the same.
    pub(crate) holds: bool,
}

/// Compares one after the other and keeps what was found.
#[derive(Debug)]
pub(crate) struct Verifier<'a> {
    provider: &'a DynProvider,
    findings: Vec<Finding>,
}

/// Compares a contract's code and then, where that is the right one, the answer of a view in each line. Its value is the
/// contract where the code is right.
macro_rules! compare {
    ($self:ident, $contract:ident at $address:expr; $($view:ident() $(. $field:ident)? == $expected:expr;)*) => {{
        let at = $contract::new($address, $self.provider);
        let right = $self.code(stringify!($contract), $address).await?;
        $(if right {
            let answer = view::<_, _, errors::$contract>(at.$view()).await?;
            $self.note(stringify!($contract), $address, view_name(stringify!($view)), &$expected, &answer$(.$field)?);
        })*
        right.then_some(at)
    }};
}

/// The generated bindings number overloads.
fn view_name(binding: &'static str) -> &'static str {
    binding.trim_end_matches(|c: char| c == '_' || c.is_ascii_digit())
}

/// The contracts' errors under the contracts' names.
mod errors {
    use mandate_model::bindings;

    pub(super) type AppAuth = bindings::AppAuth::AppAuthErrors;
    pub(super) type AppGovernor = bindings::AppGovernor::AppGovernorErrors;
    pub(super) type DomainRegistry = bindings::DomainRegistry::DomainRegistryErrors;
    pub(super) type GovernanceFactory = bindings::GovernanceFactory::GovernanceFactoryErrors;
    pub(super) type GovernanceToken = bindings::GovernanceToken::GovernanceTokenErrors;
    pub(super) type KmsAuth = bindings::KmsAuth::KmsAuthErrors;
    pub(super) type KmsCommittee = bindings::KmsCommittee::KmsCommitteeErrors;
    pub(super) type ReceiptAnchor = bindings::ReceiptAnchor::ReceiptAnchorErrors;
    pub(super) type RoleCouncil = bindings::RoleCouncil::RoleCouncilErrors;
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(provider: &'a DynProvider) -> Self {
        Self { provider, findings: Vec::new() }
    }

    /// Everything that was compared.
    pub(crate) fn findings(self) -> Vec<Finding> {
        self.findings
    }

    /// The protocol's contracts.
    pub(crate) async fn protocol(&mut self, d: &Deployment, p: &Parameters) -> Result<()> {
        let (notice, attestation_period) = (uint40(p.notice)?, uint40(p.attestation_period)?);
        self.council(d.role_council, p).await?;
        compare! { self, AppAuth at d.app_implementation;
            kmsAuth() == Address::ZERO;
            owner() == Address::ZERO;
        };
        compare! { self, KmsAuth at d.kms_auth;
            appImplementation() == d.app_implementation;
            owner() == d.role_council;
            pendingOwner().newOwner == Address::ZERO;
            guardian() == p.guardian;
            pendingGuardian().from == 0;
            notice() == notice;
            pendingNotice().from == 0;
        };
        compare! { self, KmsCommittee at d.committee;
            owner() == d.role_council;
            pendingOwner().newOwner == Address::ZERO;
            guardian() == p.guardian;
            pendingGuardian().from == 0;
            notice() == notice;
            pendingNotice().from == 0;
            attestationPeriod() == attestation_period;
        };
        compare! { self, DomainRegistry at d.domain_registry;
            kmsAuth() == d.kms_auth;
            owner() == d.role_council;
            pendingOwner() == Address::ZERO;
        };
        self.helpers(d).await
    }

    /// What nobody depends on for a decision.
    async fn helpers(&mut self, d: &Deployment) -> Result<()> {
        if let Some(anchor) = d.receipt_anchor {
            compare! { self, ReceiptAnchor at anchor; committee() == d.committee; };
        }
        let Some(factory) = d.governance_factory else { return Ok(()) };
        let factory = compare! { self, GovernanceFactory at factory; kmsAuth() == d.kms_auth; };
        let Some(at) = factory else { return Ok(()) };
        let governor = view::<_, _, errors::GovernanceFactory>(at.governorImplementation()).await?;
        self.code("AppGovernor", governor).await?;
        let token = view::<_, _, errors::GovernanceFactory>(at.tokenImplementation()).await?;
        self.code("GovernanceToken", token).await?;
        let council = view::<_, _, errors::GovernanceFactory>(at.councilImplementation()).await?;
        self.code("RoleCouncil", council).await.map(drop)
    }

    async fn council(&mut self, council: Address, p: &Parameters) -> Result<()> {
        let lifetime = uint40(p.motion_lifetime)?;
        let right = compare! { self, RoleCouncil at council; motionLifetime() == lifetime; };
        let Some(at) = right else { return Ok(()) };
        let found = view::<_, _, errors::RoleCouncil>(at.roles()).await?;
        let expected = p.roles.iter().map(|r| shown(&Role::from(r))).collect::<Vec<_>>().join("; ");
        let found = found.iter().map(shown).collect::<Vec<_>>().join("; ");
        self.note("RoleCouncil", council, "roles", &expected, &found);
        Ok(())
    }

    /// A DAO, by its governor.
    pub(crate) async fn dao(&mut self, governor: Address, p: &DaoParameters) -> Result<()> {
        let settings = p.settings()?;
        let right = compare! { self, AppGovernor at governor;
            name() == p.name;
            votingDelay() == settings.votingDelay;
            votingPeriod() == settings.votingPeriod;
            proposalThreshold() == settings.proposalThreshold;
            quorumNumerator_1() == settings.quorumNumerator;
            lateQuorumVoteExtension() == settings.lateQuorumExtension;
            vetoWindow() == settings.vetoWindow;
            proposalGuardian() == settings.proposalGuardian;
        };
        let Some(at) = right else { return Ok(()) };
        let token = view::<_, _, errors::AppGovernor>(at.token()).await?;
        let supply: U256 = p.holders.iter().map(|(_, votes)| U256::from(*votes)).sum();
        compare! { self, GovernanceToken at token; totalSupply() == supply * U256::from(DaoParameters::UNIT); };
        Ok(())
    }

    /// The code is the one that this build knows, whatever its constructor wrote into it.
    async fn code(&mut self, contract: &'static str, address: Address) -> Result<bool> {
        let known = abi::runtime_code(contract)
            .ok_or_else(|| CliError::data(format!("this build knows no contract {contract}")))?;
        let code = self.provider.get_code_at(address).await.map_err(|e| failed(&e))?;
        let found = match (code.is_empty(), known.matches(&code)) {
            (true, _) => "none".to_owned(),
            (_, true) => contract.to_owned(),
            _ => format!("{} bytes of something else", code.len()),
        };
        self.note(contract, address, "code", &contract, &found);
        Ok(found == contract)
    }

    fn note(
        &mut self,
        contract: &'static str,
        address: Address,
        what: &'static str,
        expected: &impl Display,
        found: &impl Display,
    ) {
        let (expected, found) = (expected.to_string(), found.to_string());
        let holds = expected == found;
        self.findings.push(Finding { contract, address, what, expected, found, holds });
    }
}

/// `2 of core (0x…, 0x…)`.
fn shown(role: &Role) -> String {
    let members: Vec<_> = role.members.iter().map(ToString::to_string).collect();
    format!("{} of {} ({})", role.threshold, role.name, members.join(", "))
}
