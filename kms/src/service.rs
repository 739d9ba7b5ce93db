// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One node, from configuration to running tasks.

use std::{net::SocketAddr, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};

use alloy::{
    primitives::Address,
    providers::{DynProvider, Provider},
};
use futures::future::join_all;
use mandate_attestation::{Quoter, Verifier};
use mandate_runtime::{Ambient, http::Health, redact::without_urls};
use mandate_witness::{Contradiction, QuorumConfigError};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Sealing},
    keys::{KeyFileError, NodeKeys, SnpKey},
    receipts::ReceiptError,
    store::{Owner, Store, StoreError},
};

mod parts;

use parts::Parts;

/// How long the database may be in use after everything was told to stop.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an endpoint may take to say which chain it serves.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The key file.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The receipts.
    #[error(transparent)]
    Receipts(#[from] ReceiptError),
    /// The endpoints.
    #[error(transparent)]
    Quorum(#[from] QuorumConfigError),
    /// An endpoint serves another chain.
    #[error("rpc {index} serves chain {got}, this node is for chain {expected}")]
    WrongChain {
        /// Its place in the list.
        index: usize,
        /// The configured chain.
        expected: u64,
        /// What it serves.
        got: u64,
    },
    /// Not one endpoint answers.
    #[error("none of the {count} RPC endpoints answers; the first says: {first}")]
    NoEndpoint {
        /// How many there are.
        count: usize,
        /// What the first one said.
        first: String,
    },
    /// The address to listen on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A part of the node stopped by itself, and the whole node with it.
#[derive(Debug, Error)]
#[error("a part of the node ended by itself: {why}")]
pub struct Ended {
    why: String,
}

/// What a node takes from outside.
#[derive(Debug)]
pub struct Outside {
    /// Clock, entropy, sockets.
    pub ambient: Ambient,
    /// RPC endpoints of the chain.
    pub providers: Vec<DynProvider>,
    /// Who believes evidence.
    pub verifier: Verifier,
    /// Where this node's own evidence comes from. Without one it is attested no more when its attestation ends.
    pub quoter: Option<Arc<dyn Quoter>>,
}

/// A committee node.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Starts a node whose keys are in the configuration's key file, which is made when there is none.
    pub async fn start(config: Config, outside: Outside) -> Result<Running, StartError> {
        let keys = Self::keys(&config, &outside.ambient)?;
        Self::start_with_keys(config, keys, outside).await
    }

    /// Its public keys, for whoever admits it; makes the key file when there is none.
    ///
    /// # Errors
    /// When the key file cannot be read or made.
    pub fn keys(config: &Config, ambient: &Ambient) -> Result<NodeKeys, StartError> {
        make_directory(&config.data_dir)?;
        let path = config.key_path();
        Ok(match config.sealing {
            Sealing::Development => NodeKeys::load_or_create(&path, &*ambient.entropy)?,
            Sealing::Snp => NodeKeys::load_or_create_sealed(&path, &SnpKey::default(), &*ambient.entropy)?,
        })
    }

    /// For the operator who has looked: lets a node that stopped on a contradiction about finality start again. What it was.
    pub fn clear_latch(config: &Config) -> Result<Option<Contradiction>, StartError> {
        let path = config.key_path();
        let keys = match config.sealing {
            Sealing::Development => NodeKeys::load(&path)?,
            Sealing::Snp => NodeKeys::load_sealed(&path, &SnpKey::default())?,
        };
        Ok(Store::open(&config.data_dir, &owner(config, &keys))?.clear_latch()?)
    }

    /// Starts a node with these keys.
    pub async fn start_with_keys(
        config: Config,
        keys: NodeKeys,
        outside: Outside,
    ) -> Result<Running, StartError> {
        let listener = outside.ambient.net.listen(config.listen).await;
        let refused = |source| StartError::Listen { addr: config.listen, source };
        let listener = listener.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        check_endpoints(&config, &outside.providers).await?;
        let parts = Parts::build(&config, keys, outside)?;
        Ok(parts.run(listener, addr))
    }
}

/// A node that runs. Dropping it stops the node.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    node: Address,
    health: Health,
    stop: CancellationToken,
    closed: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its secp256k1 address, by which the committee knows it.
    pub fn node(&self) -> Address {
        self.node
    }

    /// What it says of itself at `/healthz`.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Fires when the node is to stop; fire it to stop the node.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Returns when the node has stopped.
    ///
    /// # Errors
    /// When it was not asked to.
    pub async fn wait(mut self) -> Result<(), Ended> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            if !self.stop.is_cancelled() {
                let why = ended.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string());
                tracing::error!(%why, "a task of the node ended by itself; stopping");
                outcome = Err(Ended { why });
            }
            // The node is of one piece: without its loop, or without its API, it stops.
            self.stop.cancel();
        }
        // Work that cannot be broken off, a write for example, may still hold the database.
        if tokio::time::timeout(CLOSE_TIMEOUT, self.closed.cancelled()).await.is_err() {
            tracing::warn!(node = %self.node, "the database is still in use");
        }
        outcome
    }

    /// Stops the node and waits until its data directory can be opened again.
    pub async fn shutdown(self) {
        self.stop.cancel();
        // Whatever ends now was asked to.
        let _ = self.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    let mut directory = std::fs::DirBuilder::new();
    let made = directory.recursive(true).mode(0o700).create(path);
    made.map_err(|source| StoreError::Directory { path: path.to_owned(), source })
}

fn owner(config: &Config, keys: &NodeKeys) -> Owner {
    let chain = &config.chain;
    let (chain_id, kms_auth, committee) = (chain.chain_id, chain.kms_auth, chain.committee);
    Owner { node: keys.address(), chain_id, kms_auth, committee }
}

/// Refuses what an operator must put right. An endpoint that is silent for the moment is not among that, all of them are.
async fn check_endpoints(config: &Config, providers: &[DynProvider]) -> Result<(), StartError> {
    let ask = |provider: &DynProvider| {
        let provider = provider.clone();
        async move {
            match tokio::time::timeout(ENDPOINT_TIMEOUT, provider.get_chain_id()).await {
                Ok(answer) => answer.map_err(|e| without_urls(&e.to_string()).into_owned()),
                Err(_) => Err("no answer in time".to_owned()),
            }
        }
    };
    let answers = join_all(providers.iter().map(ask)).await;
    let expected = config.chain.chain_id;
    for (index, answer) in answers.iter().enumerate() {
        match answer {
            Ok(got) if *got != expected => return Err(StartError::WrongChain { index, expected, got: *got }),
            Ok(_) => {}
            Err(error) => tracing::warn!(index, %error, "an RPC endpoint does not answer"),
        }
    }
    match answers.iter().find_map(|answer| answer.as_ref().err()) {
        Some(first) if answers.iter().all(Result::is_err) => {
            Err(StartError::NoEndpoint { count: answers.len(), first: first.clone() })
        }
        _ => Ok(()),
    }
}
