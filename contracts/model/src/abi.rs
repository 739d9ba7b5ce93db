// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The contracts' JSON ABIs by name, for tools that call what they learn about at run time.

use alloy::{json_abi::JsonAbi, primitives::Bytes};
use serde::Deserialize;

macro_rules! contracts {
    ($($name:literal),* $(,)?) => {
        /// Every contract with committed artifacts.
        pub const NAMES: &[&str] = &[$($name),*];

        fn artifact(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!("../../artifacts/", $name, ".json"))),)*
                _ => None,
            }
        }
    };
}

contracts!(
    "AppAuth",
    "AppGovernor",
    "DomainRegistry",
    "GovernanceFactory",
    "GovernanceNft",
    "GovernanceToken",
    "KmsAuth",
    "KmsCommittee",
    "RebuildCondition",
    "ReceiptAnchor",
    "RoleCouncil"
);

#[derive(Deserialize)]
struct Artifact {
    abi: JsonAbi,
    #[serde(rename = "deployedBytecode")]
    runtime: RuntimeCode,
}

/// The code of a deployed contract.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RuntimeCode {
    /// As compiled, with zeros where the constructor writes.
    #[serde(rename = "object")]
    pub bytes: Bytes,
    /// Where the constructor writes: offset and length in bytes.
    pub immutables: Vec<(usize, usize)>,
}

impl RuntimeCode {
    /// Whether `code` is this, whatever the constructor wrote.
    pub fn matches(&self, code: &[u8]) -> bool {
        let mut code = code.to_vec();
        for (start, length) in &self.immutables {
            let Some(place) = code.get_mut(*start..start + length) else { return false };
            place.fill(0);
        }
        code == self.bytes
    }
}

/// The ABI of the contract called `name`, or nothing when there is no such contract.
pub fn of(name: &str) -> Option<JsonAbi> {
    parsed(name).map(|a| a.abi)
}

/// The code that a contract called `name` has on chain, or nothing when there is no such contract.
pub fn runtime_code(name: &str) -> Option<RuntimeCode> {
    parsed(name).map(|a| a.runtime)
}

fn parsed(name: &str) -> Option<Artifact> {
    serde_json::from_str(artifact(name)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_artifact_has_an_abi() {
        for name in NAMES {
            assert!(of(name).is_some_and(|abi| !abi.functions.is_empty()), "{name}");
        }
        assert!(of("Unknown").is_none());
    }

    #[test]
    fn code_matches_but_for_what_the_constructor_writes() {
        let compiled = RuntimeCode { bytes: vec![1, 0, 0, 4].into(), immutables: vec![(1, 2)] };
        assert!(compiled.matches(&[1, 0, 0, 4]) && compiled.matches(&[1, 2, 3, 4]));
        for other in [&[1, 2, 3, 5][..], &[0, 2, 3, 4], &[1, 2], &[1, 2, 3, 4, 0], &[]] {
            assert!(!compiled.matches(other), "{other:?}");
        }
        assert!(!runtime_code("KmsAuth").unwrap().immutables.is_empty());
    }
}
