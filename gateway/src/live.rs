// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may change while the gateway runs.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{limits::Limits, network::Network};

/// Counts for new connections at once when it is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    /// How much, how many and how long.
    pub limits: Limits,
    /// Who is believed, and where instances may be.
    pub network: Network,
}

/// Tells of the present [`Live`].
pub type Lives = watch::Receiver<Arc<Live>>;
