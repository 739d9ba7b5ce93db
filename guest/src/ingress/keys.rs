// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The app's own keys for authorities and domains.

use std::{fmt, sync::Arc};

use futures::future::{BoxFuture, FutureExt, ready};
use mandate_acme::keys::{KeyError, KeySource, Material};

use crate::agent::Held;

/// Derives from the app's secret, for as long as it is held. The same keys in every instance of the app's generation.
pub(super) struct HeldKeys(Arc<Held>);

impl HeldKeys {
    pub(super) fn new(held: &Arc<Held>) -> Self {
        Self(Arc::clone(held))
    }
}

impl fmt::Debug for HeldKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldKeys(..)")
    }
}

impl KeySource for HeldKeys {
    /// The app itself can derive every key of its secret; the label keeps it from doing so by accident.
    fn key<'a>(&'a self, path: &'a str, purpose: &'a str) -> BoxFuture<'a, Result<Material, KeyError>> {
        ready(Ok(self.0.secret.path_key(&format!("mandate-ingress/{path}"), purpose))).boxed()
    }
}
