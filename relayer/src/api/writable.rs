// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the database can be written: a full disk, a lock that is not given back and a server that only reads do not
//! show in what is read. Tried by writing, but not for everybody who asks.

use std::{sync::Arc, time::Duration};

use mandate_runtime::Clock;
use tokio::sync::Mutex;

use crate::store::Store;

/// For how long it counts that it could be written.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// And that it could not: when it can again, that is to be noticed soon.
const BAD_FOR: Duration = Duration::from_secs(1);
/// A write that takes longer counts as none.
const PATIENCE: Duration = Duration::from_secs(5);

/// When it was tried last, and why it did not work, if so.
pub(crate) struct Writable {
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Duration, Option<&'static str>)>>,
}

impl Writable {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: Mutex::default() }
    }

    /// Why the database cannot be written, if it cannot. Whoever asks at the same time gets the same answer.
    pub(super) async fn why_not(&self, store: &dyn Store) -> Option<&'static str> {
        let mut last = self.last.lock().await;
        if let Some((at, why)) = *last {
            let counts = if why.is_none() { GOOD_FOR } else { BAD_FOR };
            if self.clock.monotonic().saturating_sub(at) < counts {
                return why;
            }
        }
        let why = self.write(store).await;
        *last = Some((self.clock.monotonic(), why));
        why
    }

    async fn write(&self, store: &dyn Store) -> Option<&'static str> {
        tokio::select! {
            written = store.probe() => {
                let error = written.err()?;
                tracing::error!(%error, "cannot write to the database");
                Some("the database cannot be written; the log says more")
            }
            () = self.clock.sleep(PATIENCE) => Some("a write to the database was not done within five seconds"),
        }
    }
}
