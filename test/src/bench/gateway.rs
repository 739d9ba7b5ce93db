// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the gateway costs a connection, beside nginx and HAProxy where Debian's are installed.

use anyhow::Result;

use super::Figure;

mod acme;
mod backend;
mod idle;
mod load;
mod proxies;
mod rates;
mod restore;
mod revoke;
mod role;

pub use role::{GATEWAY_ROLE, gateway_role};

pub(super) async fn acme(names: usize) -> Result<Vec<Figure>> {
    acme::measure(names).await
}

pub(super) async fn terminate(rounds: usize) -> Result<Vec<Figure>> {
    rates::terminated(rounds).await
}

pub(super) async fn passthrough(rounds: usize) -> Result<Vec<Figure>> {
    rates::passthrough(rounds).await
}

pub(super) async fn keepalive(rounds: usize) -> Result<Vec<Figure>> {
    rates::keepalive(rounds).await
}

pub(super) async fn idle(connections: usize) -> Result<Vec<Figure>> {
    idle::measure(connections).await
}

pub(super) async fn load(certificates: usize) -> Result<Vec<Figure>> {
    restore::measure(certificates).await
}

pub(super) async fn revoke(connections: usize) -> Result<Vec<Figure>> {
    revoke::measure(connections).await
}
