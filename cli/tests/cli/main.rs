// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `mandate` command as a shell runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod audit;
mod commands;
mod committee;
mod ct;
#[path = "../../../test/tests/support/dns_server.rs"]
mod dns_server;
mod failures;
mod image;
mod replay;
mod shell;
mod site;
mod town;
