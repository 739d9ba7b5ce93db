// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the relayer does in the world, as data: each effect is written to the outbox under a key that names its cause and
//! its target, so that a crash or a second look at the same log leads to the same effects (G-10).

use alloy::primitives::{Address, keccak256};
use mandate_model::wire::{
    gateway::{DomainOrder, IssuedCertificate},
    kms::RevocationNotice,
    relayer::Submission,
};
use serde::{Deserialize, Serialize};

use crate::{
    chain::Contracts,
    store::{Lane, StoredLog},
};

mod calls;
mod derive;
mod dispatch;

pub use calls::{ContractCall, transaction};
pub(crate) use calls::{Refusal, refusal, revert_name};
pub(crate) use derive::decoded;
pub use derive::{Targets, at_finality, at_head};
pub use dispatch::Dispatcher;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// Tell one node or gateway to look again.
    RevocationPush {
        /// Its base URL.
        target: String,
        /// What it is told.
        notice: RevocationNotice,
    },
    /// Let a gateway order the certificate of a domain.
    CertificateOrder {
        /// Which domain.
        order: DomainOrder,
        /// For which app it was approved.
        app: Address,
    },
    /// Send what a node signed.
    Submit {
        /// What it signed.
        submission: Submission,
    },
    /// Pin the ACME account that CAA names.
    PinAccount {
        /// The domain.
        name: String,
        /// The issuer.
        issuer: String,
        /// The account.
        account_uri: String,
    },
    /// Record an issued certificate.
    RecordCertificate {
        /// The certificate.
        certificate: IssuedCertificate,
    },
}

impl Effect {
    /// Who carries it out.
    pub fn lane(&self) -> Lane {
        match self {
            Self::RevocationPush { .. } | Self::CertificateOrder { .. } => Lane::Http,
            Self::Submit { .. } | Self::PinAccount { .. } | Self::RecordCertificate { .. } => Lane::Chain,
        }
    }

    /// A word for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RevocationPush { .. } => "revocation_push",
            Self::CertificateOrder { .. } => "certificate_order",
            Self::Submit { submission: Submission::DealerLog { .. } } => "dealer_log",
            Self::Submit { submission: Submission::Confirmation { .. } } => "confirmation",
            Self::Submit { submission: Submission::Nonce { .. } } => "nonce",
            Self::PinAccount { .. } => "pin_account",
            Self::RecordCertificate { .. } => "record_certificate",
        }
    }
}

/// An effect with its key and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEffect {
    /// Makes it one.
    pub key: String,
    /// `chain`, or the address of the node that asked.
    pub origin: String,
    /// What to do.
    pub effect: Effect,
    /// Not before this moment, Unix seconds.
    pub not_before: Option<u64>,
}

/// Where effects that a log causes come from.
pub const ORIGIN_CHAIN: &str = "chain";

impl NewEffect {
    /// The effect of a log: one per (chain, block hash, transaction, log index) and target.
    fn of_log(contracts: &Contracts, log: &StoredLog, target: &str, effect: Effect) -> Self {
        let key = format!(
            "{}:{}:{}:{}:{}:{target}",
            effect.kind(),
            contracts.chain_id,
            log.block_hash,
            log.tx_hash,
            log.log_index
        );
        Self { key, origin: ORIGIN_CHAIN.to_owned(), effect, not_before: None }
    }

    /// A node's submission: one per call data, whoever brings it and however often.
    pub fn of_submission(contracts: &Contracts, node: Address, submission: Submission) -> Self {
        let effect = Effect::Submit { submission };
        let data = transaction(contracts, &effect).map(|call| call.data).unwrap_or_default();
        let key = format!("{}:{}:{}", effect.kind(), contracts.chain_id, keccak256(data));
        Self { key, origin: node.to_string(), effect, not_before: None }
    }

    /// What follows from an issued certificate. Pinned first: the record is of a certificate under that account.
    pub fn of_certificate(contracts: &Contracts, issued: IssuedCertificate) -> Vec<Self> {
        let chain = contracts.chain_id;
        let mut effects = Vec::new();
        if !issued.issuer.is_empty() {
            effects.push(Self {
                key: format!(
                    "pin_account:{chain}:{}:{}:{}",
                    issued.name, issued.fingerprint, issued.account_uri
                ),
                origin: ORIGIN_CHAIN.to_owned(),
                effect: Effect::PinAccount {
                    name: issued.name.clone(),
                    issuer: issued.issuer.clone(),
                    account_uri: issued.account_uri.clone(),
                },
                not_before: None,
            });
        }
        effects.push(Self {
            key: format!("record_certificate:{chain}:{}:{}", issued.name, issued.fingerprint),
            origin: ORIGIN_CHAIN.to_owned(),
            effect: Effect::RecordCertificate { certificate: issued },
            not_before: None,
        });
        effects
    }
}
