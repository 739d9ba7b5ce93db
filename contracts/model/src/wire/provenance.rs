// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a domain's certificate key and ACME account come from: what a gateway answers to
//! `GET /.well-known/mandate/domain/{name}?nonce=HEX` and `GET /.well-known/mandate/gateway`.
//!
//! ```text
//! TLS key of the connection = spki_hash ─┐
//! chain, registry, domain, app ──────────┤
//! issuer, account, account key ──────────┼─► DomainStatement::encode ─┬─ report data of the gateway's evidence
//! nonce of who asks ─────────────────────┘                            └─ signed by a key of the app secret, which the
//!                                                                        committee's AppKeys vouch for
//! ```
//!
//! Nothing in an answer is believed: whoever asks checks each line against what it knows from elsewhere.

use std::fmt;

use alloy::primitives::{Address, B256, Bytes, Signature, keccak256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};

use super::gateway::IssuedCertificate;

/// Begins the encoding of every statement, and so tells it from anything else that is signed or quoted.
pub const DOMAIN_STATEMENT: &[u8] = b"mandate-domain-statement-v1";

/// The purpose for which the signing key of statements is derived from the app secret. A guest agent signs it with the
/// key, so that no key of another purpose can stand in for it.
pub const KEY_PURPOSE: &str = "mandate-domain-statement-v1";

/// The path under which that key is derived.
pub const KEY_PATH: &str = "provenance";

/// The largest answer, in bytes: evidence in hex, and what is around it.
pub const MAX_PROVENANCE: usize = 2 * 256 * 1024 + 64 * 1024;

/// What a gateway says of a domain that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DomainStatement {
    /// Chain of the policy.
    pub chain_id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// `DomainRegistry`.
    pub domain_registry: Address,
    /// The domain.
    pub domain: String,
    /// The app whose domain it is.
    pub app: Address,
    /// SHA-256 of the SubjectPublicKeyInfo that the domain's certificate has.
    pub spki_hash: B256,
    /// Who issued the certificate, as CAA names it.
    pub issuer: String,
    /// The ACME account's URI, as CAA pins it; empty when the issuer has no accounts.
    pub account_uri: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the ACME account key.
    pub account_key_hash: B256,
    /// What the client gave, so that it knows the answer to be fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<B256>,
}

impl DomainStatement {
    /// The bytes that are quoted and signed: [`DOMAIN_STATEMENT`], then each field in the order above behind its length
    /// (4 bytes, big endian). Numbers are 8 bytes, big endian; no nonce is an empty field.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let nonce = self.nonce.as_ref().map(|nonce| nonce.as_slice()).unwrap_or_default();
        let fields: [&[u8]; 11] = [
            DOMAIN_STATEMENT,
            &self.chain_id.to_be_bytes(),
            self.kms_auth.as_slice(),
            self.domain_registry.as_slice(),
            self.domain.as_bytes(),
            self.app.as_slice(),
            self.spki_hash.as_slice(),
            self.issuer.as_bytes(),
            self.account_uri.as_bytes(),
            self.account_key_hash.as_slice(),
            nonce,
        ];
        for field in fields {
            // No text of 4 GiB is held in memory here: every reader caps what it takes.
            out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(field);
        }
        out
    }

    /// What the gateway's evidence must carry as report data: SHA-512 of the encoding, whose beginning no other report
    /// data has.
    pub fn report_data(&self) -> [u8; 64] {
        Sha512::digest(self.encode()).into()
    }

    /// What the statement's key signs.
    pub fn signing_hash(&self) -> B256 {
        keccak256(self.encode())
    }
}

/// A gateway's answer about one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DomainProvenance {
    /// What it says.
    pub statement: DomainStatement,
    /// By the gateway's own clock, Unix seconds.
    pub made_at: u64,
    /// Whether the gateway's keys are a developer's and prove nothing. Then there is no evidence.
    pub development: bool,
    /// `mandate_attestation::Evidence`, encoded, whose report data is [`DomainStatement::report_data`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Bytes>,
    /// The committee's word on the gateway app's keys; not there before the committee has given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<AppKeys>,
    /// The statement, signed by a key that `keys` vouches for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<StatementSignature>,
}

/// What the committee says of an app's keys (`mandate_threshold::AppStatement`), and the group's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppKeys {
    /// Chain of the policy.
    pub chain_id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// The app.
    pub app: Address,
    /// Its key generation.
    pub generation: u64,
    /// SHA-256 of the SubjectPublicKeyInfo of the app's CA.
    pub ca_spki_hash: B256,
    /// Address of the app's secp256k1 key.
    pub ethereum: Address,
    /// The group's signature.
    pub signature: Bytes,
}

/// A statement's signature: the app key vouches for a key that derives from the same secret, which signs the statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatementSignature {
    /// The signing key: a compressed secp256k1 point, 33 bytes.
    pub public_key: Bytes,
    /// The app key's signature over keccak256([`KEY_PURPOSE`] ‖ ":" ‖ hex of `public_key`), 65 bytes.
    pub vouched: Bytes,
    /// The signing key's signature over [`DomainStatement::signing_hash`], 65 bytes.
    pub signature: Bytes,
}

impl StatementSignature {
    /// The address of the app key that stands behind the signature; `None` when there is none.
    pub fn app_key(&self, statement: &DomainStatement) -> Option<Address> {
        let signature = Signature::from_raw(&self.signature).ok()?;
        let signer = signature.recover_from_prehash(&statement.signing_hash()).ok()?;
        if *signer.to_encoded_point(true).as_bytes() != *self.public_key {
            return None;
        }
        let vouched = Signature::from_raw(&self.vouched).ok()?;
        vouched.recover_address_from_prehash(&vouched_hash(&self.public_key)).ok()
    }
}

/// What an app key signs to vouch for a statement's key, as a guest agent's `GetKey` does.
fn vouched_hash(public_key: &[u8]) -> B256 {
    keccak256(format!("{KEY_PURPOSE}:{}", hex::encode(public_key)))
}

/// What a gateway says of itself. Nothing in it is attested: it tells where to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayProvenance {
    /// Chain of the policy.
    pub chain_id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// `DomainRegistry`.
    pub domain_registry: Address,
    /// The gateway's own app, as its agent gives it; none with development keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Address>,
    /// Under which apps and instances are reached by id.
    pub base_domain: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the ACME account key.
    pub account_key_hash: B256,
    /// Whether the gateway's keys are a developer's and prove nothing.
    pub development: bool,
    /// What it serves, in the order of the names, each with issuer, account and key.
    pub domains: Vec<IssuedCertificate>,
}

/// Hex that is no nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANonce;

impl fmt::Display for NotANonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nonce: must be 32 bytes in hex")
    }
}

impl std::error::Error for NotANonce {}

/// Reads a nonce, with or without `0x`.
///
/// # Errors
/// When it is not 32 bytes in hex.
pub fn parse_nonce(text: &str) -> Result<B256, NotANonce> {
    let mut nonce = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut nonce).map_err(|_| NotANonce)?;
    Ok(nonce.into())
}

#[cfg(test)]
mod tests;
