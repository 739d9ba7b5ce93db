// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which rules of the EVM a chain runs at which time.

mod public;

use revm::primitives::{eip4844, hardfork::SpecId};
use serde::{Deserialize, Serialize};

/// The forks under which the contracts can run at all: their bytecode needs Cancun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForkName {
    /// March 2024 on Ethereum.
    Cancun,
    /// May 2025.
    Prague,
    /// December 2025.
    Osaka,
    /// OP stack, March 2024: Cancun.
    Ecotone,
    /// OP stack, July 2024: Cancun and a P-256 precompile (RIP-7212).
    Fjord,
    /// OP stack, September 2024: Fjord with a limit to pairings. Holocene, January 2025, runs the same EVM.
    Granite,
    /// OP stack, May 2025: Prague, the P-256 precompile and limits.
    Isthmus,
    /// OP stack, December 2025: Isthmus with lower limits.
    Jovian,
    /// OP stack, July 2026: Osaka's instructions. Calls of precompiles whose rules are not known here are undecided.
    Karst,
    /// Base, May 2026: Osaka with Jovian's limits.
    Azul,
}

impl From<ForkName> for SpecId {
    fn from(name: ForkName) -> Self {
        match name {
            ForkName::Cancun | ForkName::Ecotone | ForkName::Fjord | ForkName::Granite => Self::CANCUN,
            ForkName::Prague | ForkName::Isthmus | ForkName::Jovian => Self::PRAGUE,
            ForkName::Osaka | ForkName::Karst | ForkName::Azul => Self::OSAKA,
        }
    }
}

/// One change of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// Block timestamp from which the rules hold.
    pub from: u64,
    /// The rules.
    pub name: ForkName,
    /// The blob base fee's update fraction, which changes between forks too.
    pub blob_fraction: u64,
}

/// A chain: its id and its forks in ascending order of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSpec {
    /// EIP-155 id.
    pub chain_id: u64,
    /// Forks, ascending by `from`.
    pub forks: Vec<Fork>,
    /// Block timestamp from which the chain runs rules that are not known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl ChainSpec {
    /// A development chain: Cancun from the first block on.
    pub fn dev(chain_id: u64) -> Self {
        let fork = Fork {
            from: 0,
            name: ForkName::Cancun,
            blob_fraction: eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_CANCUN,
        };
        Self { chain_id, forks: vec![fork], until: None }
    }

    /// The rules of a block with this timestamp; nothing for blocks older than the first fork here, or of rules that this
    /// build does not know.
    pub fn fork_at(&self, timestamp: u64) -> Option<Fork> {
        if self.until.is_some_and(|until| timestamp >= until) {
            return None;
        }
        self.forks.iter().rev().find(|f| f.from <= timestamp).copied()
    }

    /// The rules as revm names them.
    pub fn spec_at(&self, timestamp: u64) -> Option<SpecId> {
        self.fork_at(timestamp).map(|f| f.name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_chain_is_cancun_from_the_start() {
        assert_eq!(ChainSpec::dev(31337).spec_at(0), Some(SpecId::CANCUN));
    }

    #[test]
    fn g6_rules_after_the_last_known_ones_are_unknown() {
        let spec = ChainSpec { until: Some(100), ..ChainSpec::dev(1) };
        assert_eq!(spec.spec_at(99), Some(SpecId::CANCUN));
        assert_eq!(spec.spec_at(100), None);
    }
}
