// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the committee says in public: of an app, "this generation has this CA key and this Ethereum address"; of an instance,
//! "this runs there and asked for this route". Each is signed in a namespace of its own, so that no statement is ever an app's
//! secret or the other statement, nor the other way round.

use crate::{
    codec::DecodeError,
    derive::context,
    polynomial::{CombineError, GROUP_KEY_LENGTH, GroupSignature, PublicPolynomial},
    share::{Partial, Share},
};

/// The namespace of statements about apps.
pub const STATEMENT_NAMESPACE: &[u8] = b"mandate-statement-v1";

/// The namespace of statements about instances.
pub const INSTANCE_NAMESPACE: &[u8] = b"mandate-instance-v1";

/// The keys of one generation of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppStatement {
    /// Chain of the policy.
    pub chain_id: u64,
    /// The `KmsAuth` of the deployment.
    pub kms_auth: [u8; 20],
    /// The app.
    pub app: [u8; 20],
    /// Its key generation.
    pub generation: u64,
    /// SHA-256 of the SubjectPublicKeyInfo of the app's CA.
    pub ca_spki_sha256: [u8; 32],
    /// The Ethereum address of the app's secp256k1 key.
    pub ethereum: [u8; 20],
}

impl AppStatement {
    /// The signed bytes.
    pub fn message(&self) -> Vec<u8> {
        context(
            "app-statement",
            &[
                &self.chain_id.to_be_bytes(),
                &self.kms_auth,
                &self.app,
                &self.generation.to_be_bytes(),
                &self.ca_spki_sha256,
                &self.ethereum,
            ],
        )
    }

    /// Combines the nodes' parts into the signature that everybody can check.
    ///
    /// # Errors
    /// When too few are right.
    pub fn combine(
        &self,
        polynomial: &PublicPolynomial,
        partials: &[Partial],
    ) -> Result<Vec<u8>, CombineError> {
        let signature = polynomial.combine(STATEMENT_NAMESPACE, &self.message(), partials)?;
        Ok(signature.as_bytes().to_vec())
    }

    /// Whether the group of `group_key` says this.
    ///
    /// # Errors
    /// When it does not, or key or signature are malformed.
    pub fn verify(&self, group_key: &[u8; GROUP_KEY_LENGTH], signature: &[u8]) -> Result<(), DecodeError> {
        GroupSignature::decode_verified(group_key, STATEMENT_NAMESPACE, &self.message(), signature)
            .map(|_| ())
    }
}

/// What a quorum verified of one instance, for whoever cannot or would not verify its evidence again. It says what the policy must
/// be asked, and not what the policy answers: code that is revoked later is still what the statement says, and is refused all
/// the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceStatement<'a> {
    /// Chain of the policy.
    pub chain_id: u64,
    /// The `KmsAuth` of the deployment.
    pub kms_auth: [u8; 20],
    /// The facts of the evidence: `abi.encode(BootRequest)`, its generation 0.
    pub boot_request: &'a [u8],
    /// What the instance registers: what evidence would bind for that.
    pub registration: &'a [u8; 64],
    /// When the statement ends, Unix seconds.
    pub until: u64,
}

impl InstanceStatement<'_> {
    /// The signed bytes.
    pub fn message(&self) -> Vec<u8> {
        let Self { chain_id, kms_auth, boot_request, registration, until } = self;
        let (chain_id, until) = (chain_id.to_be_bytes(), until.to_be_bytes());
        context("instance-statement", &[&chain_id, kms_auth, boot_request, *registration, &until])
    }

    /// Whether the group of `group_key` says this.
    ///
    /// # Errors
    /// When it does not, or key or signature are malformed.
    pub fn verify(&self, group_key: &[u8; GROUP_KEY_LENGTH], signature: &[u8]) -> Result<(), DecodeError> {
        GroupSignature::decode_verified(group_key, INSTANCE_NAMESPACE, &self.message(), signature).map(|_| ())
    }
}

impl Share {
    /// This node's part of the committee's signature on `statement`.
    pub fn sign_statement(&self, statement: &AppStatement) -> Partial {
        self.sign(STATEMENT_NAMESPACE, &statement.message())
    }

    /// This node's part of the committee's signature on `statement`.
    pub fn sign_instance(&self, statement: &InstanceStatement<'_>) -> Partial {
        self.sign(INSTANCE_NAMESPACE, &statement.message())
    }
}
