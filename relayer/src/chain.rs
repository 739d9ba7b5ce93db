// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading the chain: which contracts, who the nodes and apps are, and following head and finality.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use alloy::{primitives::Address, providers::DynProvider, sol_types::Eip712Domain};
use mandate_model::{
    bindings::{KmsCommittee, Node},
    deployment::Deployment,
    signed,
};

mod endpoints;
mod follow;
mod latches;
mod reader;

pub use endpoints::{ChainIdError, EndpointSource, Endpoints};
pub use follow::{Bounds, FollowError, Follower, Ticked};
pub use latches::{LatchKind, Latches, UnknownLatch, operator};
pub use reader::{ChainReader, ReadError};

/// The contracts that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contracts {
    /// The chain.
    pub chain_id: u64,
    /// Registry of apps.
    pub kms_auth: Address,
    /// Registry of nodes.
    pub committee: Address,
    /// Registry of domains.
    pub domain_registry: Address,
    /// Where nodes anchor their receipts, if there is such a place.
    pub receipt_anchor: Option<Address>,
    /// What deploys apps with owners of their own, if there is such.
    pub governance_factory: Option<Address>,
    /// The council that owns the deployment.
    pub role_council: Address,
    /// The first block that matters.
    pub genesis_block: u64,
}

impl From<&Deployment> for Contracts {
    fn from(deployment: &Deployment) -> Self {
        Self {
            chain_id: deployment.chain_id,
            kms_auth: deployment.kms_auth,
            committee: deployment.committee,
            domain_registry: deployment.domain_registry,
            receipt_anchor: deployment.receipt_anchor,
            governance_factory: deployment.governance_factory,
            role_council: deployment.role_council,
            genesis_block: deployment.genesis_block,
        }
    }
}

impl Contracts {
    /// The contracts that are there from the start.
    pub fn fixed(&self) -> [Address; 3] {
        [self.kms_auth, self.committee, self.domain_registry]
    }

    /// The EIP-712 domain of what nodes sign.
    pub fn signing_domain(&self) -> Eip712Domain {
        signed::domain(self.chain_id, self.committee)
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            chain_id: 31_337,
            kms_auth: Address::repeat_byte(0x11),
            committee: Address::repeat_byte(0x22),
            domain_registry: Address::repeat_byte(0x33),
            receipt_anchor: Some(Address::repeat_byte(0x44)),
            governance_factory: None,
            role_council: Address::repeat_byte(0x55),
            genesis_block: 0,
        }
    }
}

/// What the parts of the relayer share about the newest processed state of the chain.
#[derive(Debug, Clone, Default)]
pub struct ChainView(Arc<RwLock<ViewState>>);

#[derive(Debug, Default)]
struct ViewState {
    nodes: Arc<Vec<Node>>,
    apps: Arc<BTreeSet<Address>>,
    owners: Arc<BTreeSet<Address>>,
    /// When the nodes were read, on the monotonic clock.
    read_at: Option<Duration>,
}

impl ChainView {
    /// The registered nodes.
    pub fn nodes(&self) -> Arc<Vec<Node>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).nodes)
    }

    /// Whether `key` is a registered node's.
    pub fn is_node(&self, key: Address) -> bool {
        self.nodes().iter().any(|node| node.nodeKey == key)
    }

    /// The registered apps.
    pub fn apps(&self) -> Arc<BTreeSet<Address>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).apps)
    }

    /// Owners of registered apps, past ones included; none unless they are to be found.
    pub fn owners(&self) -> Arc<BTreeSet<Address>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).owners)
    }

    pub(crate) fn set_owners(&self, owners: BTreeSet<Address>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).owners = Arc::new(owners);
    }

    pub(crate) fn add_owners(&self, owners: impl IntoIterator<Item = Address>) {
        let mut owners = owners.into_iter().peekable();
        if owners.peek().is_some() {
            let mut view = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut view.owners).extend(owners);
        }
    }

    pub(crate) fn set_nodes(&self, nodes: Vec<Node>, now: Duration) {
        let mut view = self.0.write().unwrap_or_else(PoisonError::into_inner);
        view.nodes = Arc::new(nodes);
        view.read_at = Some(now);
    }

    pub(crate) fn set_apps(&self, apps: BTreeSet<Address>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).apps = Arc::new(apps);
    }

    /// Whether `key` is a registered node's, asking the chain once more when it is not known: a node may speak before this
    /// relayer has processed the block of its admission. At most once in `every`, so that strangers cost next to nothing.
    pub async fn is_node_now(
        &self,
        key: Address,
        provider: &DynProvider,
        committee: Address,
        now: Duration,
        every: Duration,
    ) -> Result<bool, alloy::contract::Error> {
        if self.is_node(key) || !self.may_ask(now, every) {
            return Ok(self.is_node(key));
        }
        let nodes = KmsCommittee::new(committee, provider).nodes().call().await?;
        self.set_nodes(nodes, now);
        Ok(self.is_node(key))
    }

    fn may_ask(&self, now: Duration, every: Duration) -> bool {
        let mut view = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let may = view.read_at.is_none_or(|at| now.saturating_sub(at) >= every);
        if may {
            view.read_at = Some(now);
        }
        may
    }
}
