// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The relayer: how fast it catches up, how soon it acts, what it costs to run for long.
//!
//! The relayer runs in a process of its own ([`process`]), so that its memory is its own; the chain is in this one, served over
//! HTTP and WebSocket.

mod backfill;
mod day;
mod fleet;
mod latency;
mod peer;
mod process;
mod receiver;
mod town;

pub(super) use backfill::measure as backfill;
pub(super) use day::measure as day;
pub(super) use fleet::measure as fleet;
pub(super) use latency::measure as latency;
pub use process::{RELAYER_ROLE, relayer_role};
