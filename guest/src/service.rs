// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent as a service: binds its sockets, fetches the secret for as long as that takes, and serves it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use mandate_runtime::{
    Ambient,
    http::{Health, operations_router, serve},
    net::Listener,
};
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Quoter,
    agent::{Agent, AppFacts, KeyState, Socket},
    config::Config,
    ingress::{Ingress, IngressError},
    keys::KeyClient,
};

mod leasing;

pub use leasing::Lease;
use leasing::{KEYS, Leasing};

const MAX_COMPOSE: u64 = 1 << 20;

/// Why the agent does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A socket cannot be bound.
    #[error("cannot listen on {place}: {source}")]
    Listen {
        /// Address or path.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Ingress mode cannot begin.
    #[error(transparent)]
    Ingress(IngressError),
    /// The app's compose file cannot be read.
    #[error("{}: {source}", path.display())]
    Compose {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A started agent: bound, not serving yet.
#[derive(Debug)]
pub struct Service {
    config: Config,
    ambient: Ambient,
    quoter: Arc<dyn Quoter>,
    socket: Socket,
    operations: Option<Listener>,
    ingress: Option<Ingress>,
    health: Health,
    keys: watch::Sender<KeyState>,
}

impl Service {
    /// Binds the socket and, if configured, the operations port.
    ///
    /// # Errors
    /// When something cannot be bound or read; the error names it.
    pub async fn start(
        config: Config,
        ambient: Ambient,
        quoter: Arc<dyn Quoter>,
    ) -> Result<Self, StartError> {
        let facts =
            AppFacts { name: config.app.name.clone(), compose: compose(config.app.compose.as_deref())? };
        let waiting = "nothing was asked yet".to_owned();
        let (keys, watching) = watch::channel(KeyState::Waiting(waiting.clone()));
        let agent = Agent::new(&ambient, Arc::clone(&quoter), facts, watching);
        let listen = |place: String| move |source| StartError::Listen { place, source };
        let socket = agent.bind(&config.socket).await.map_err(listen(config.socket.display().to_string()))?;
        let operations = match config.operations {
            Some(address) => Some(ambient.net.listen(address).await.map_err(listen(address.to_string()))?),
            None => None,
        };
        let health = Health::new();
        health.fail(KEYS, waiting);
        let ingress = match config.ingress.clone() {
            Some(ingress) => Some(
                Ingress::bind(ingress, &config, ambient.clone(), Arc::clone(&quoter), health.clone())
                    .await
                    .map_err(StartError::Ingress)?,
            ),
            None => None,
        };
        Ok(Self { config, ambient, quoter, socket, operations, ingress, health, keys })
    }

    /// Where operations are served.
    pub fn operations_address(&self) -> Option<SocketAddr> {
        self.operations.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where the app's domains are served, if they are.
    pub fn ingress_address(&self) -> Option<SocketAddr> {
        self.ingress.as_ref().map(Ingress::address)
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.config.socket
    }

    /// What the agent serves from, as it changes.
    pub fn keys(&self) -> watch::Receiver<KeyState> {
        self.keys.subscribe()
    }

    /// Serves until `stop` fires.
    pub async fn run(self, stop: CancellationToken) {
        let operations = async {
            if let Some(listener) = self.operations {
                serve(listener, operations_router(self.health.clone()), stop.clone()).await;
            }
        };
        let ingress = async {
            if let Some(ingress) = self.ingress {
                ingress.run(self.keys.subscribe(), stop.clone()).await;
            }
        };
        let leasing = Leasing {
            config: &self.config,
            ambient: &self.ambient,
            client: KeyClient::new(&self.ambient),
            quoter: &*self.quoter,
            health: &self.health,
            keys: &self.keys,
        };
        let leasing = stop.run_until_cancelled(leasing.forever());
        tokio::join!(self.socket.serve(stop.clone()), operations, ingress, leasing);
    }
}

fn compose(path: Option<&Path>) -> Result<String, StartError> {
    let Some(path) = path else { return Ok(String::new()) };
    let failed = |source| StartError::Compose { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_COMPOSE {
        return Err(failed(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {MAX_COMPOSE} bytes"),
        )));
    }
    std::fs::read_to_string(path).map_err(failed)
}
