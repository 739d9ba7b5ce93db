// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the committee says in public about an app: "this generation has this CA key and this Ethereum address".
//! Signed in a namespace of its own, so that no statement is ever an app's secret, nor the other way round.

use crate::{
    codec::DecodeError,
    derive::context,
    polynomial::{CombineError, GROUP_KEY_LENGTH, GroupSignature, PublicPolynomial},
    share::{Partial, Share},
};

/// The namespace of statements.
pub const STATEMENT_NAMESPACE: &[u8] = b"mandate-statement-v1";

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

impl Share {
    /// This node's part of the committee's signature on `statement`.
    pub fn sign_statement(&self, statement: &AppStatement) -> Partial {
        self.sign(STATEMENT_NAMESPACE, &statement.message())
    }
}
