// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate committee`.

use std::time::Duration;

use alloy::primitives::Address;
use clap::{Args, Subcommand, ValueEnum};

use super::Route;

#[derive(Debug, Subcommand)]
pub(crate) enum CommitteeCommand {
    /// Nodes, epoch and group key
    Show,
    /// Admit a node, or renew its admission: after the notice, at once before the first epoch (by the owner)
    Admit(AdmitArgs),
    /// Evict a node at once, but not below a quorum (by the owner, the guardian, or its operator)
    Evict {
        /// The node's address
        node: Address,
        #[command(flatten)]
        route: Route,
    },
    /// Open a key ceremony (by the owner)
    Open(OpenArgs),
    /// Have every node prove itself again; those that the policy no longer allows take no part any more (by the owner or the
    /// guardian)
    DemandAttestation {
        /// How long the present attestations stay good at most
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
        grace: Duration,
        #[command(flatten)]
        route: Route,
    },
    /// Let the single member of a committee hand its whole share to the other admitted nodes, after the notice, or no more, at
    /// once (by the owner)
    Replicate {
        /// Whether there are replicas
        replicated: Switch,
        #[command(flatten)]
        route: Route,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AdmitArgs {
    /// Where guests reach the node; it is asked for its keys
    pub(crate) url: String,
    /// Who may change its URL and take it out
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) operator: Address,
    /// For how long it is admitted
    #[arg(long = "for", value_name = "TIME", default_value = "1year", value_parser = humantime::parse_duration)]
    pub(crate) lasts: Duration,
    #[command(flatten)]
    pub(crate) route: Route,
}

#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// What for
    pub(crate) kind: Kind,
    /// How long dealers may post
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) deal: Duration,
    /// How long players may confirm after that
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) confirm: Duration,
    #[command(flatten)]
    pub(crate) route: Route,
}

/// `CeremonyKind`, by the contract's numbers.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The first key
    Genesis = 1,
    /// New shares of the same key for the same members
    Refresh = 2,
    /// New shares of the same key for all admitted nodes
    Reshare = 3,
    /// A new key; the old one stays good for the notice
    Rotate = 4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// There are
    On,
    /// There are none
    Off,
}
