// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which rules of the EVM a chain runs at which time.

use revm::primitives::{eip4844, hardfork::SpecId};
use serde::{Deserialize, Serialize};

/// BPO1's blob base fee update fraction (EIP-7892).
const BPO1_FRACTION: u64 = 8_346_193;
/// BPO2's.
const BPO2_FRACTION: u64 = 11_684_671;

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
}

impl From<ForkName> for SpecId {
    fn from(name: ForkName) -> Self {
        match name {
            ForkName::Cancun => Self::CANCUN,
            ForkName::Prague => Self::PRAGUE,
            ForkName::Osaka => Self::OSAKA,
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
}

impl ChainSpec {
    /// A development chain: Cancun from the first block on.
    pub fn dev(chain_id: u64) -> Self {
        let fork = Fork {
            from: 0,
            name: ForkName::Cancun,
            blob_fraction: eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_CANCUN,
        };
        Self { chain_id, forks: vec![fork] }
    }

    /// Ethereum's main network, up to BPO2.
    pub fn ethereum() -> Self {
        let cancun = eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_CANCUN;
        let prague = eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE;
        let forks = [
            (1_710_338_135, ForkName::Cancun, cancun),
            (1_746_612_311, ForkName::Prague, prague),
            (1_764_798_551, ForkName::Osaka, prague),
            (1_765_290_071, ForkName::Osaka, BPO1_FRACTION),
            (1_767_747_671, ForkName::Osaka, BPO2_FRACTION),
        ];
        let forks = forks.map(|(from, name, blob_fraction)| Fork { from, name, blob_fraction });
        Self { chain_id: 1, forks: forks.to_vec() }
    }

    /// The rules of a block with this timestamp; nothing for blocks older than the first fork here.
    pub fn fork_at(&self, timestamp: u64) -> Option<Fork> {
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
    fn ethereum_has_the_rules_of_its_time() {
        let spec = ChainSpec::ethereum();
        assert_eq!(spec.spec_at(1_710_338_134), None);
        assert_eq!(spec.spec_at(1_710_338_135), Some(SpecId::CANCUN));
        assert_eq!(spec.spec_at(1_746_612_310), Some(SpecId::CANCUN));
        assert_eq!(spec.spec_at(1_746_612_311), Some(SpecId::PRAGUE));
        assert_eq!(spec.spec_at(u64::MAX), Some(SpecId::OSAKA));
        assert!(spec.forks.is_sorted_by_key(|f| f.from));
    }

    #[test]
    fn dev_chain_is_cancun_from_the_start() {
        assert_eq!(ChainSpec::dev(31337).spec_at(0), Some(SpecId::CANCUN));
    }
}
