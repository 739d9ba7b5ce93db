// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bindings, typed events, folded state and wire types of the Mandate contracts.
//!
//! Everything that two services say to each other is a type of [`wire`]; nothing here does I/O.

pub mod abi;
pub mod bindings;
pub mod boot;
pub mod bundle;
pub mod committee;
pub mod compose;
pub mod deployment;
pub mod event;
pub mod outcome;
pub mod receipt;
pub mod receipt_chain;
pub mod receipt_tree;
pub mod signed;
pub mod state;
pub mod wire;

pub use outcome::{Outcome, Reason};
