// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One node of the KMS committee.
//!
//! ```text
//! guest ─ nonce, evidence ─▶ release ─ facts ─▶ decide ─▶ Outcome ─▶ receipts ─▶ sealed partial
//!                               ├─ attestation: what runs there
//!                               ├─ chain: what the contracts say about it, by proof, at finality and at the head
//!                               └─ revocation: what was revoked once
//! relayer ◀─ letters, submissions ─ ceremony, beacon, membership ◀─ the node's loop ◀─ finalised blocks
//! ```
//!
//! The decision itself is [`decide::decide`], a pure function; everything around it gathers facts or keeps what was
//! decided. The node holds one share of the root key and never learns an app's secret (G-4).

mod anchor;
mod api;
mod beacon;
pub mod boot;
pub mod ceremony;
pub mod chain;
pub mod committee;
pub mod config;
pub mod decide;
pub mod keys;
mod membership;
mod node;
pub mod nonce;
pub mod receipts;
mod relayer;
pub mod release;
pub mod revocation;
pub mod seat;
mod service;
pub mod shares;
pub mod store;
mod strikes;

pub use config::Config;
pub use keys::NodeKeys;
pub use service::{Ended, Node, Outside, Running, StartError};
