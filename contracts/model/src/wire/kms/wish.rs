// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be asked of a node.

use alloy::primitives::{Address, B256, B512};
use serde::{Deserialize, Serialize};

/// The public keys that an instance says its app has: what the committee signs as `mandate_threshold::AppStatement`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppKeys {
    /// SHA-256 of the SubjectPublicKeyInfo of the app's CA.
    pub ca_spki_sha256: B256,
    /// The address of the app's secp256k1 key.
    pub ethereum: Address,
}

/// A node that wants the members' word on its evidence: what they sign as [`crate::signed::Vouch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Candidate {
    /// Its secp256k1 address.
    pub node: Address,
    /// Ed25519.
    pub dealing_key: B256,
    /// X25519.
    pub sealing_key: B256,
    /// The number of the newest demand for attestation that it knows of.
    pub demand: u64,
    /// Until when it wants to be vouched for, block time.
    pub until: u64,
}

/// An instance that wants a route, proved to a gateway by the committee's word in place of its evidence: what the committee signs as
/// `mandate_threshold::InstanceStatement`, together with what the nodes found in the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteWish {
    /// [`crate::wire::gateway::RegisterRequest::report_data`].
    pub registration: B512,
    /// Until when the statement is to hold, Unix seconds: at most [`MAX_STATEMENT_LIFE`] from now.
    pub until: u64,
}

/// The longest that a statement about an instance holds, in seconds. What evidence would no longer prove then (collateral ends,
/// certificates are revoked) is found out only when the next one is asked for.
pub const MAX_STATEMENT_LIFE: u64 = 24 * 60 * 60;

/// What a request is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Wish {
    /// The app's secret.
    #[default]
    Secret,
    /// The committee's word on these keys of the app, in public.
    Statement(AppKeys),
    /// A member's word on a node of the committee, which proves itself as the KMS's own app.
    Vouch(Candidate),
    /// The single member's whole share, for this replica, which proves itself as the KMS's own app.
    Copy(Address),
    /// The committee's word on this instance, for a gateway.
    Instance(RouteWish),
}

impl Wish {
    /// Whether it is for the app's secret.
    pub fn is_secret(&self) -> bool {
        *self == Self::Secret
    }

    /// What evidence binds: a number for the kind, and its fields.
    pub(super) fn bind(&self, out: &mut Vec<u8>) {
        match self {
            Self::Secret => out.push(0),
            Self::Statement(keys) => {
                out.push(1);
                out.extend_from_slice(keys.ca_spki_sha256.as_slice());
                out.extend_from_slice(keys.ethereum.as_slice());
            }
            Self::Vouch(candidate) => {
                out.push(2);
                out.extend_from_slice(candidate.node.as_slice());
                out.extend_from_slice(candidate.dealing_key.as_slice());
                out.extend_from_slice(candidate.sealing_key.as_slice());
                out.extend_from_slice(&candidate.demand.to_be_bytes());
                out.extend_from_slice(&candidate.until.to_be_bytes());
            }
            Self::Copy(node) => {
                out.push(3);
                out.extend_from_slice(node.as_slice());
            }
            Self::Instance(route) => {
                out.push(4);
                out.extend_from_slice(route.registration.as_slice());
                out.extend_from_slice(&route.until.to_be_bytes());
            }
        }
    }
}
