// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole story in one process: a vote releases a key and issues a certificate.
//!
//! Every service is the real one, on real loopback sockets; only the chain is embedded, TEE evidence is minted under a
//! development root, and the certificate authority is Debian's `pebble` or, without it, the embedded issuer.

use std::path::PathBuf;

use tokio::time::Instant;

use crate::error::Result;

mod actors;
mod app;
pub mod bench;
mod chain;
pub mod client;
mod guest;
mod issuer;
mod lying;
pub mod pebble;
pub mod report;
mod services;
mod setting;
mod steps;
mod world;

pub use world::World;

use report::{Kind, Sink, TITLES, Teller};

/// How to run the demo.
#[derive(Debug, Clone)]
pub struct Options {
    /// For sockets, databases and the config file; must exist and be empty.
    pub dir: PathBuf,
    /// Port of the chain's JSON-RPC on 127.0.0.1; 0 takes a free one.
    pub rpc_port: u16,
    /// Use the embedded issuer even when `pebble` is installed.
    pub embedded_issuer: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// Steps that held.
    pub held: usize,
    /// Everything that runs.
    pub world: World,
}

/// Tells the story to `sink`. A step that fails is told as such and ends the story.
///
/// # Errors
/// When the port is taken or the directory cannot be used, before anything is told.
pub async fn run(options: Options, sink: &mut dyn Sink) -> Result<Outcome> {
    let start = Instant::now();
    let mut teller = Teller::new(sink, move || start.elapsed());
    teller.begin(1);
    let mut world = World::begin(options, &mut teller).await?;
    teller.held();
    for step in 2..=TITLES.len() {
        teller.begin(step);
        let ran = steps::run(step, &mut world, &mut teller).await;
        if let Err(error) = ran {
            teller.tell(Kind::Failed, error.to_string());
            return Ok(Outcome { held: step - 1, world });
        }
        teller.held();
    }
    Ok(Outcome { held: TITLES.len(), world })
}
