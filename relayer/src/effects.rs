// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the relayer does in the world, as data: each effect is written to the outbox under a key that names its cause and
//! its target, so that a crash or a second look at the same log leads to the same effects (G-10).

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use mandate_model::wire::{
    gateway::{DomainOrder, DomainRelease, IssuedCertificate},
    kms::{GrantNotice, RevocationNotice, SignedRoot},
    relayer::{Approval, Submission},
};
use serde::{Deserialize, Serialize};

use crate::{
    chain::Contracts,
    store::{Lane, StoredLog},
};

mod calls;
mod derive;
mod dispatch;
pub mod webhook;

pub use calls::{ContractCall, transaction};
pub(crate) use calls::{Refusal, refusal, revert_name};
pub(crate) use derive::decoded;
pub use derive::{Plan, Targets, at_finality, at_head};
pub use dispatch::{Dispatcher, Outside};
use webhook::{Message, Occurrence};

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
    /// Tell one node or gateway that more is allowed.
    GrantPush {
        /// Its base URL.
        target: String,
        /// What it is told.
        notice: GrantNotice,
    },
    /// Let a gateway order the certificate of a domain.
    CertificateOrder {
        /// Which domain.
        order: DomainOrder,
        /// For which app it was approved.
        app: Address,
    },
    /// Let a gateway order another certificate before a recorded one ends.
    CertificateRenewal {
        /// keccak256 of the domain's name.
        domain: B256,
        /// The recorded certificate; nothing is to be done when another one is recorded by then.
        fingerprint: B256,
    },
    /// Tell one gateway that a domain was released, so that it revokes the certificate.
    DomainRelease {
        /// Its base URL.
        target: String,
        /// What it is told.
        notice: DomainRelease,
    },
    /// Ask a node for the next root over its receipts.
    RootRequest {
        /// Its key.
        node: Address,
        /// Its base URL.
        url: String,
    },
    /// Anchor what it answered.
    PostRoot {
        /// What it signed.
        root: SignedRoot,
    },
    /// Send a council member's approval.
    Approve {
        /// What the member signed.
        approval: Approval,
    },
    /// Look whether a decision waits to be executed.
    CheckPassed {
        /// Who decided.
        at: Address,
        /// What kind of contract that is.
        body: Body,
        /// The proposal or motion.
        id: U256,
    },
    /// Execute it.
    Execute {
        /// Who decided.
        at: Address,
        /// The call.
        data: Bytes,
    },
    /// Use up a nonce that nothing of this relayer's has, so that those behind it are not stuck.
    FillGap {
        /// Whose.
        signer: Address,
        /// Which.
        nonce: u64,
    },
    /// Tell a webhook.
    Webhook {
        /// Its name in the configuration.
        hook: String,
        /// What it is told.
        message: Message,
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
        /// The app whose certificate it issued.
        app: Address,
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

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    /// An `AppGovernor`, by vote.
    Governor,
    /// A `RoleCouncil`, by approvals.
    Council,
}

impl Effect {
    /// Who carries it out.
    pub fn lane(&self) -> Lane {
        match self {
            Self::RevocationPush { .. }
            | Self::GrantPush { .. }
            | Self::CertificateOrder { .. }
            | Self::CertificateRenewal { .. }
            | Self::DomainRelease { .. }
            | Self::RootRequest { .. }
            | Self::CheckPassed { .. }
            | Self::Webhook { .. } => Lane::Http,
            Self::Submit { .. }
            | Self::PinAccount { .. }
            | Self::RecordCertificate { .. }
            | Self::PostRoot { .. }
            | Self::Approve { .. }
            | Self::Execute { .. }
            | Self::FillGap { .. } => Lane::Chain,
        }
    }

    /// Whether it helps somebody to get more: withheld while a latch is set (G-6).
    pub fn is_grant(&self) -> bool {
        matches!(
            self,
            Self::GrantPush { .. }
                | Self::CertificateOrder { .. }
                | Self::CertificateRenewal { .. }
                | Self::CheckPassed { .. }
        )
    }

    /// Whether it only saves its target time: a node that is away when something is allowed asks the chain when it is back.
    pub fn is_hint(&self) -> bool {
        matches!(self, Self::GrantPush { .. } | Self::RootRequest { .. })
    }

    /// Whether it may be meant for a later time than that of its cause, so that how long it took means nothing.
    pub fn is_scheduled(&self) -> bool {
        matches!(
            self,
            Self::GrantPush { .. }
                | Self::CertificateRenewal { .. }
                | Self::CheckPassed { .. }
                | Self::Webhook { .. }
        )
    }

    /// The domain and the app that must hold it still when this is sent: the contract records for whoever holds it.
    pub(crate) fn of_domain(&self) -> Option<(&str, Address)> {
        match self {
            Self::PinAccount { name, app, .. } => Some((name, *app)),
            Self::RecordCertificate { certificate } => Some((&certificate.name, certificate.app)),
            _ => None,
        }
    }

    /// A word for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RevocationPush { .. } => "revocation_push",
            Self::GrantPush { .. } => "grant_push",
            Self::CertificateRenewal { .. } => "certificate_renewal",
            Self::DomainRelease { .. } => "domain_release",
            Self::RootRequest { .. } => "root_request",
            Self::PostRoot { .. } => "receipt_root",
            Self::Approve { .. } => "approval",
            Self::CheckPassed { .. } => "check_passed",
            Self::Execute { .. } => "execution",
            Self::FillGap { .. } => "fill_gap",
            Self::Webhook { .. } => "webhook",
            Self::CertificateOrder { .. } => "certificate_order",
            Self::Submit { submission: Submission::DealerLog { .. } } => "dealer_log",
            Self::Submit { submission: Submission::Confirmation { .. } } => "confirmation",
            Self::Submit { submission: Submission::Attestation { .. } } => "attestation",
            Self::Submit { submission: Submission::Nonce { .. } } => "nonce",
            Self::PinAccount { .. } => "pin_account",
            Self::RecordCertificate { .. } => "record_certificate",
        }
    }
}

/// An effect with its key and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewEffect {
    /// Makes it one.
    pub key: String,
    /// `chain`, or the address of the node that asked.
    pub origin: String,
    /// What to do.
    pub effect: Effect,
    /// Not before this moment, Unix seconds; at once when unset.
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
        Self::of_call(contracts, node, Effect::Submit { submission })
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
                    app: issued.app,
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

    /// The same, at or after a moment.
    #[must_use]
    pub fn not_before(self, at: u64) -> Self {
        Self { not_before: (at > 0).then_some(at), ..self }
    }

    /// Asks a node for a root, once in each `period` of time, whoever asks.
    pub fn of_root_request(contracts: &Contracts, node: Address, url: String, period: u64) -> Self {
        let effect = Effect::RootRequest { node, url };
        let key = format!("{}:{}:{node}:{period}", effect.kind(), contracts.chain_id);
        Self { key, origin: ORIGIN_CHAIN.to_owned(), effect, not_before: None }
    }

    /// Anchors a root: one per call data.
    pub fn of_root(contracts: &Contracts, root: SignedRoot) -> Self {
        let node = root.node;
        Self::of_call(contracts, node, Effect::PostRoot { root })
    }

    /// A council member's approval: one per call data, whoever brings it and however often.
    pub fn of_approval(contracts: &Contracts, approval: Approval) -> Self {
        let member = approval.member;
        Self::of_call(contracts, member, Effect::Approve { approval })
    }

    /// What the relayer itself has to say to a webhook; `about` makes it one.
    pub fn of_webhook(contracts: &Contracts, hook: &str, about: &str, what: Occurrence) -> Self {
        let message = Message { chain_id: contracts.chain_id, place: None, what };
        let effect = Effect::Webhook { hook: hook.to_owned(), message };
        let key = format!("{}:{}:{about}:{hook}", effect.kind(), contracts.chain_id);
        Self { key, origin: ORIGIN_CHAIN.to_owned(), effect, not_before: None }
    }

    /// Executes a decision: one per call data, however many approvals led to it.
    pub fn of_execution(contracts: &Contracts, at: Address, data: Bytes) -> Self {
        Self::of_call(contracts, at, Effect::Execute { at, data })
    }

    /// Uses up a nonce: one per account and nonce, with as many tries as the chain needs.
    pub fn of_gap(contracts: &Contracts, signer: Address, nonce: u64) -> Self {
        let effect = Effect::FillGap { signer, nonce };
        Self::again(format!("{}:{}:{signer}:{nonce}", effect.kind(), contracts.chain_id), effect)
    }

    /// An effect under a key that whoever made it chose.
    pub(crate) fn again(key: String, effect: Effect) -> Self {
        Self { key, origin: ORIGIN_CHAIN.to_owned(), effect, not_before: None }
    }

    fn of_call(contracts: &Contracts, origin: Address, effect: Effect) -> Self {
        let data = transaction(contracts, &effect).map(|call| (call.to, call.data)).unwrap_or_default();
        let hash = keccak256([data.0.as_slice(), &data.1].concat());
        let key = format!("{}:{}:{hash}", effect.kind(), contracts.chain_id);
        Self { key, origin: origin.to_string(), effect, not_before: None }
    }
}
