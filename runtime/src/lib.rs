// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every service takes from outside: clock, entropy, sockets, configuration, telemetry and shutdown.
//!
//! A service never reads the system's clock, randomness or network by itself: it takes an [`Ambient`], so that a test can
//! put a whole deployment into one process and drive it from one seed.

use std::sync::Arc;

pub mod carry;
mod causes;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod http;
pub mod net;
pub mod peek;
pub mod redact;
pub mod shutdown;
pub mod telemetry;

pub use causes::causes;
pub use clock::Clock;
pub use entropy::Entropy;
pub use net::Net;

/// The three things that make a run differ from another: time, randomness, the network.
#[derive(Debug, Clone)]
pub struct Ambient {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Sockets.
    pub net: Arc<dyn Net>,
}

impl Ambient {
    /// The operating system's.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(clock::SystemClock::new()),
            entropy: Arc::new(entropy::OsEntropy),
            net: Arc::new(net::TcpNet),
        }
    }
}
