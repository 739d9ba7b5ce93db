// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The public chains whose rules are known here. Times are those of the clients' own configurations: go-ethereum's
//! `params/config.go`, and for the OP stack the superchain registry.

use revm::primitives::eip4844;

use super::{ChainSpec, Fork, ForkName};

/// Blob base fee update fractions (EIP-4844, EIP-7691, EIP-7892).
const CANCUN: u64 = eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_CANCUN;
const PRAGUE: u64 = eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE;
const BPO1: u64 = 8_346_193;
const BPO2: u64 = 11_684_671;

/// When Base left the rules that are known here (Beryl).
const BASE_BERYL: u64 = 1_782_410_400;

impl ChainSpec {
    /// Ethereum's main network, up to BPO2.
    pub fn ethereum() -> Self {
        ethereum(1, [1_710_338_135, 1_746_612_311, 1_764_798_551, 1_765_290_071, 1_767_747_671])
    }

    /// OP mainnet, up to Karst.
    pub fn op_mainnet() -> Self {
        Self { chain_id: 10, forks: op_stack(Some((1_783_526_401, ForkName::Karst))), until: None }
    }

    /// Base, up to Azul. It has since moved on to rules of its own that are not known here.
    pub fn base() -> Self {
        let forks = op_stack(Some((1_779_991_200, ForkName::Azul)));
        Self { chain_id: 8453, forks, until: Some(BASE_BERYL) }
    }

    /// The public chain with this id, if its rules are known here: Ethereum (1), Sepolia (11155111), Hoodi (560048), OP
    /// mainnet (10), Base (8453). Arbitrum is not among them: there the EVM's block number is another chain's.
    pub fn public(chain_id: u64) -> Option<Self> {
        Some(match chain_id {
            1 => Self::ethereum(),
            10 => Self::op_mainnet(),
            8453 => Self::base(),
            560_048 => ethereum(560_048, [0, 1_742_999_832, 1_761_677_592, 1_762_365_720, 1_762_955_544]),
            11_155_111 => ethereum(
                chain_id,
                [1_706_655_072, 1_741_159_776, 1_760_427_360, 1_761_017_184, 1_761_607_008],
            ),
            _ => return None,
        })
    }
}

/// A chain that had Ethereum's forks at these times: Cancun, Prague, Osaka, BPO1, BPO2.
fn ethereum(chain_id: u64, times: [u64; 5]) -> ChainSpec {
    let rules = [
        (ForkName::Cancun, CANCUN),
        (ForkName::Prague, PRAGUE),
        (ForkName::Osaka, PRAGUE),
        (ForkName::Osaka, BPO1),
        (ForkName::Osaka, BPO2),
    ];
    let fork = |(from, (name, blob_fraction))| Fork { from, name, blob_fraction };
    ChainSpec { chain_id, forks: times.into_iter().zip(rules).map(fork).collect(), until: None }
}

/// The forks that all chains of the superchain's main network had at one time, and one more. There are no blobs, so that
/// the blob base fee is always the least there is.
fn op_stack(last: Option<(u64, ForkName)>) -> Vec<Fork> {
    let common = [
        (1_710_374_401, ForkName::Ecotone),
        (1_720_627_201, ForkName::Fjord),
        (1_726_070_401, ForkName::Granite),
        (1_746_806_401, ForkName::Isthmus),
        (1_764_691_201, ForkName::Jovian),
    ];
    let fork = |(from, name)| Fork { from, name, blob_fraction: CANCUN };
    common.into_iter().chain(last).map(fork).collect()
}

#[cfg(test)]
mod tests {
    use revm::primitives::hardfork::SpecId;

    use super::*;

    #[test]
    fn ethereum_has_the_rules_of_its_time() {
        let spec = ChainSpec::ethereum();
        assert_eq!(spec.spec_at(1_710_338_134), None);
        assert_eq!(spec.spec_at(1_710_338_135), Some(SpecId::CANCUN));
        assert_eq!(spec.spec_at(1_746_612_310), Some(SpecId::CANCUN));
        assert_eq!(spec.spec_at(1_746_612_311), Some(SpecId::PRAGUE));
        assert_eq!(spec.spec_at(u64::MAX), Some(SpecId::OSAKA));
    }

    #[test]
    fn op_stack_has_the_rules_of_its_time() {
        let name = |spec: ChainSpec, at| spec.fork_at(at).map(|fork| fork.name);
        assert_eq!(name(ChainSpec::op_mainnet(), 1_710_374_400), None);
        for (at, expected) in [
            (1_710_374_401, ForkName::Ecotone),
            (1_720_627_201, ForkName::Fjord),
            (1_726_070_401, ForkName::Granite),
            // Holocene.
            (1_736_445_601, ForkName::Granite),
            (1_746_806_401, ForkName::Isthmus),
            (1_764_691_201, ForkName::Jovian),
        ] {
            assert_eq!(name(ChainSpec::op_mainnet(), at), Some(expected), "{at}");
            assert_eq!(name(ChainSpec::base(), at), Some(expected), "{at}");
        }
        assert_eq!(name(ChainSpec::op_mainnet(), u64::MAX), Some(ForkName::Karst));
        assert_eq!(name(ChainSpec::base(), BASE_BERYL - 1), Some(ForkName::Azul));
        assert_eq!(name(ChainSpec::base(), BASE_BERYL), None);
    }

    #[test]
    fn every_public_chain_has_its_own_id_and_ascending_forks() {
        for id in [1, 10, 8453, 560_048, 11_155_111] {
            let spec = ChainSpec::public(id).unwrap();
            assert_eq!(spec.chain_id, id);
            assert!(spec.forks.is_sorted_by_key(|f| f.from));
        }
        for unsupported in [42_161, 42_170, 31_337] {
            assert_eq!(ChainSpec::public(unsupported), None);
        }
    }
}
