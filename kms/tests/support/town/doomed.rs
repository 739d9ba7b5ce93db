// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A node that can be made to lose everything that is not on its disk, wherever it stands.

use std::{sync::Arc, time::Duration};

use mandate_kms::Running;
use mandate_runtime::clock::SystemClock;
use tokio::runtime::{Builder, Runtime};

use super::Town;

/// How long a write that has begun may take to end.
const WRITE: Duration = Duration::from_secs(20);

/// A node with threads of its own.
pub struct Doomed {
    pub node: Running,
    threads: Runtime,
}

impl Town {
    /// Starts a node that can crash.
    pub async fn start_doomed(&self, n: u8) -> Doomed {
        let threads = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let start = self.starting(n, self.config(n), Arc::new(SystemClock::new()));
        let node = threads.spawn(start).await.unwrap().unwrap();
        Doomed { node, threads }
    }
}

impl Doomed {
    /// Every task is dropped where it stands, with no word to anybody.
    pub async fn crash(self) {
        let Self { node, threads } = self;
        tokio::task::spawn_blocking(move || threads.shutdown_timeout(WRITE)).await.unwrap();
        // Its tasks were not asked to end.
        assert!(node.wait().await.is_err());
    }
}
