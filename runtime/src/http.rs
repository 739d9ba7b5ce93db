// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTP between the services: a small JSON client, a server that drains, and the pages an operator needs.

mod answer;
mod client;
mod guard;
mod operations;
mod rates;
mod server;

pub use answer::{ApiError, ApiJson, ApiPath, ApiQuery};
pub use client::{Client, HttpError};
pub use guard::{Caps, Refused, guarded};
pub use operations::{Health, metrics_page, operations_router};
pub use rates::{PeerKey, Rate, Rates};
pub use server::{ServeOptions, serve, serve_with};

/// The largest body that is read on either side unless set otherwise, in bytes.
pub const MAX_BODY: usize = 1 << 20;

#[cfg(test)]
mod tests;
