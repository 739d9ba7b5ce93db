// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where one deployment's contracts are: the addresses file of services and CLI (TOML or JSON).

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

/// The addresses of one deployment. Nothing in it is secret; whoever changes it changes whom a service obeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The chain.
    pub chain_id: u64,
    /// The registry that decides.
    pub kms_auth: Address,
    /// The `AppAuth` whose clones are blessed.
    pub app_implementation: Address,
    /// Nodes, ceremonies, epochs.
    pub committee: Address,
    /// Domains and certificates.
    pub domain_registry: Address,
    /// The council that owns the registry.
    pub role_council: Address,
    /// What deploys an app with a DAO or a council of its own, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governance_factory: Option<Address>,
    /// Where nodes anchor their logs of receipts, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_anchor: Option<Address>,
    /// The block of the first deployment transaction: no event is older.
    pub genesis_block: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployment_roundtrips_and_refuses_unknown_fields() {
        let a = Address::repeat_byte;
        let deployment = Deployment {
            chain_id: 31337,
            kms_auth: a(1),
            app_implementation: a(2),
            committee: a(3),
            domain_registry: a(4),
            role_council: a(5),
            governance_factory: Some(a(6)),
            receipt_anchor: None,
            genesis_block: 1,
        };
        let text = serde_json::to_string(&deployment).unwrap();
        assert_eq!(serde_json::from_str::<Deployment>(&text).unwrap(), deployment);
        let more = text.replacen('{', r#"{"kms_aut":"","#, 1);
        assert!(serde_json::from_str::<Deployment>(&more).is_err());
    }
}
