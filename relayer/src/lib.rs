// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The relayer: watches the contracts and carries what they show to nodes and gateways, and what nodes sign to the chain.
//!
//! It is trusted with nothing but its own gas (G-5): whoever receives something from it verifies it against the chain. Many
//! may run at once. Start reading at [`Service`]; `chain` follows, `effects` says what follows from what, `store` makes it
//! durable, `sender` turns it into transactions, `api` answers.

pub mod api;
pub mod approvals;
mod budget;
pub mod chain;
pub mod config;
pub mod effects;
pub mod intake;
pub mod listing;
pub mod mailbox;
pub mod metrics;
pub mod operator;
mod periodic;
mod redact;
mod retry;
pub mod sender;
mod service;
pub mod store;
pub mod submissions;
pub mod witness;

pub use config::Config;
pub use redact::Redact;
pub use retry::Retry;
pub use service::{Service, StartError};
