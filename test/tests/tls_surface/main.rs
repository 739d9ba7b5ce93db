// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway's TLS port as programs see it that we did not write: openssl, curl, h2load, testssl and Chromium, each where it
//! is installed; and what it says to peers that keep to no protocol.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, unreachable_pub)]

mod app;
mod browser;
mod curl;
mod damage;
mod hello;
mod malformed;
mod openssl;
mod programs;
mod talk;
mod testssl;
mod tickets;
mod truncation;
mod world;
