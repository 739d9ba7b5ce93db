// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The signal to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that fires on the first SIGINT or SIGTERM. A second one ends the process the hard way.
///
/// # Errors
/// When the signal handlers cannot be installed. Must be called inside a tokio runtime.
pub fn token() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let fire = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            }
        };
        let name = next().await;
        tracing::info!(signal = name, "shutting down");
        fire.cancel();
        next().await;
        tracing::warn!("second signal: stopping without draining");
        std::process::exit(130);
    });
    Ok(token)
}
