// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `mandate` command as a shell runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod audit;
mod commands;
mod committee;
mod ct;
// Whole tests take it from the library of theirs.
#[path = "../../../test/src/dns.rs"]
#[allow(dead_code, unreachable_pub)]
mod dns;
mod failures;
mod image;
mod replay;
mod shell;
mod site;
mod town;
