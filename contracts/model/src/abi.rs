// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The contracts' JSON ABIs by name, for tools that call what they learn about at run time.

use alloy::json_abi::JsonAbi;
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
}

/// The ABI of the contract called `name`, or nothing when there is no such contract.
pub fn of(name: &str) -> Option<JsonAbi> {
    serde_json::from_str::<Artifact>(artifact(name)?).ok().map(|a| a.abi)
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
}
