// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The contracts' state, rebuilt from their events alone (G-9). Pure: no I/O, no clock.
//!
//! This is what is shown, indexed and pushed. It decides nothing: a decision is a verified call of `KmsAuth.decide`.

mod app;
mod committee;
mod domains;
mod registry;
mod timed;

use std::collections::BTreeMap;

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

pub use self::{
    app::{App, Device},
    committee::{Ceremony, CeremonyKind, CeremonyState, Committee, Epoch, Node},
    domains::{Certificate, Closing, Domain, Domains, Incident, Incidents},
    registry::{Registration, Registry},
    timed::{FOREVER, Governed, Timed, Version, VersionState},
};
use crate::{
    deployment::Deployment,
    event::{Event, Position},
};

/// Which contracts are folded; events of others are those of apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contracts {
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// `KmsCommittee`.
    pub committee: Address,
    /// `DomainRegistry`.
    pub domain_registry: Address,
}

impl From<&Deployment> for Contracts {
    fn from(d: &Deployment) -> Self {
        Self { kms_auth: d.kms_auth, committee: d.committee, domain_registry: d.domain_registry }
    }
}

/// Everything that the events told so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Whose events count as what.
    pub contracts: Contracts,
    /// Of `KmsAuth`.
    pub registry: Registry,
    /// Whatever emitted an app's event, by address. Only what is in [`Registry::apps`] is an app: see [`State::app`].
    /// The others may register later, so they are kept; an indexer that filters by address never has any.
    pub policies: BTreeMap<Address, App>,
    /// Of `KmsCommittee`.
    pub committee: Committee,
    /// Of `DomainRegistry`.
    pub domains: Domains,
}

impl State {
    /// Before the first event.
    pub fn new(contracts: Contracts) -> Self {
        let (registry, policies) = (Registry::default(), BTreeMap::new());
        Self { contracts, registry, policies, committee: Committee::default(), domains: Domains::default() }
    }

    /// A registered app: how it is registered, and its own rules. A foreign app may have none that are known here.
    pub fn app(&self, app: Address) -> Option<(&Registration, Option<&App>)> {
        self.registry.apps.get(&app).map(|registration| (registration, self.policies.get(&app)))
    }
}

/// Takes in one event. Events must come in the order of the chain, each once; after a reorganisation, begin again from
/// a state before it.
pub fn fold(state: &mut State, event: &Event, at: &Position) {
    let Contracts { kms_auth, committee, domain_registry } = state.contracts;
    match at.address {
        a if a == kms_auth => state.registry.fold(event, at),
        a if a == committee => state.committee.fold(event, at),
        a if a == domain_registry => state.domains.fold(event, at),
        app if App::emits(event) => state.policies.entry(app).or_default().fold(event, at),
        _ => {}
    }
}
