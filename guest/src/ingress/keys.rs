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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::{Ipv4Addr, SocketAddr};

    use mandate_acme::{ACCOUNT_KEY, P256};

    use super::*;
    use crate::ingress::scripted::World;

    #[tokio::test]
    async fn g12_key_that_the_app_asks_for_under_the_same_path_is_another_one() {
        let world = World::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), None);
        let own = HeldKeys::new(&world.held).key(ACCOUNT_KEY, P256).await.unwrap();
        assert_ne!(*own, *world.held.secret.path_key(ACCOUNT_KEY, P256));
        assert_eq!(*own, *HeldKeys::new(&world.held).key(ACCOUNT_KEY, P256).await.unwrap());
    }
}
