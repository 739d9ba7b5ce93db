// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Settings of what the relayer does in the world: requests, transactions, and what it pays for.

use std::{collections::BTreeSet, time::Duration};

use alloy::primitives::Address;
use mandate_runtime::config::{Problems, duration};
use serde::Deserialize;

use crate::retry::Retry;

/// Requests to nodes and gateways.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EffectsConfig {
    /// When to try again.
    pub retry: Retry,
    /// Attempts before an effect is given up. A node that was away reads the chain anyway when it comes back.
    pub attempts: u32,
    /// Requests at a time.
    pub concurrency: usize,
    /// How long a node or gateway may take to take note of a revocation.
    #[serde(with = "duration")]
    pub push_timeout: Duration,
    /// How long a gateway may take to obtain a certificate.
    #[serde(with = "duration")]
    pub order_timeout: Duration,
    /// A recorded certificate that is valid for longer than this is not ordered again.
    #[serde(with = "duration")]
    pub renew_before: Duration,
    /// How often each node is asked for a root over its receipts, where `deployment.receipt_anchor` is set.
    #[serde(with = "duration")]
    pub anchor_every: Duration,
    /// How often each gateway is asked for its certificates, so that those which nobody ordered are recorded as well.
    #[serde(with = "duration")]
    pub list_every: Duration,
}

impl Default for EffectsConfig {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            attempts: 30,
            concurrency: 64,
            push_timeout: Duration::from_secs(5),
            order_timeout: Duration::from_secs(180),
            renew_before: Duration::from_secs(30 * 86_400),
            anchor_every: Duration::from_secs(6 * 3_600),
            list_every: Duration::from_secs(300),
        }
    }
}

/// Transactions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SenderConfig {
    /// When to try again.
    pub retry: Retry,
    /// Refused dry runs before an effect is given up.
    pub attempts: u32,
    /// Transactions that wait for a block at a time.
    pub in_flight: usize,
    /// A transaction that no block took for this long is sent again with a higher fee.
    #[serde(with = "duration")]
    pub bump_after: Duration,
    /// The highest fee per gas that is ever offered, in gwei.
    pub max_fee_gwei: u64,
    /// Below this balance of the paying account `/healthz` complains and `low-balance` webhooks are told, in gwei.
    pub low_balance_gwei: u64,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            retry: Retry { first: Duration::from_millis(100), most: Duration::from_secs(10) },
            attempts: 100,
            in_flight: 16,
            bump_after: Duration::from_secs(36),
            max_fee_gwei: 500,
            low_balance_gwei: 50_000_000,
        }
    }
}

/// Approvals of council members, which the relayer pays for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalsConfig {
    /// Councils besides `deployment.role_council`.
    pub councils: BTreeSet<Address>,
    /// Whether councils that `deployment.governance_factory` made, and that own a registered app, are paid for as well.
    pub discover: bool,
    /// Approvals of one member in an hour.
    pub per_hour: u32,
    /// Approvals of one member that wait for a block.
    pub open: u64,
    /// The most gas that is paid for one: a member that is a contract can make its signature dear.
    pub max_gas: u64,
}

impl Default for ApprovalsConfig {
    fn default() -> Self {
        Self { councils: BTreeSet::new(), discover: true, per_hour: 20, open: 4, max_gas: 500_000 }
    }
}

/// Executing what governors and councils have decided.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GovernanceConfig {
    /// Whether this relayer does that; it pays for what they decide.
    pub execute: bool,
    /// Whose decisions, besides those of `deployment.role_council`.
    pub contracts: BTreeSet<Address>,
    /// Whether those of every registered app's owner are executed as well. Anybody can register an app.
    pub discover: bool,
    /// The most gas that is paid for one.
    pub max_gas: u64,
}

impl Default for GovernanceConfig {
    fn default() -> Self {
        Self { execute: false, contracts: BTreeSet::new(), discover: false, max_gas: 3_000_000 }
    }
}

pub(super) fn validate(
    effects: &EffectsConfig,
    sender: &SenderConfig,
    approvals: &ApprovalsConfig,
    problems: &mut Problems,
) {
    effects.retry.validate("effects.retry", problems);
    sender.retry.validate("sender.retry", problems);
    for (path, n) in [
        ("effects.attempts", u64::from(effects.attempts)),
        ("effects.concurrency", effects.concurrency as u64),
        ("effects.anchor_every", effects.anchor_every.as_secs()),
        ("effects.list_every", effects.list_every.as_secs()),
        ("sender.attempts", u64::from(sender.attempts)),
        ("sender.in_flight", sender.in_flight as u64),
        ("sender.max_fee_gwei", sender.max_fee_gwei),
        ("approvals.max_gas", approvals.max_gas),
    ] {
        problems.require(n > 0, path, "must be above 0");
    }
}
