// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening a database that nobody has opened before, many at once; and one that cannot be written.

use std::sync::Arc;

use mandate_relayer::store::open_beside;
use mandate_runtime::Clock;

use super::{Kind, contracts, database};

crate::on_both_databases! {
    many_that_find_a_new_database_at_once_all_open_it;
    a_database_that_cannot_be_written_is_noticed_though_it_can_be_read;
}

/// As an operator's command does that meets a relayer on its first start.
async fn many_that_find_a_new_database_at_once_all_open_it(kind: Kind) {
    for _ in 0..10 {
        let db = database(kind).await;
        let clock = || Arc::clone(&db.clock) as Arc<dyn Clock>;
        let contracts = contracts();
        // Each connection works in a thread, or a server, of its own.
        let opening = (0..8).map(|_| open_beside(&db.config, &contracts, clock()));
        for opened in futures::future::join_all(opening).await {
            assert_eq!(opened.unwrap().progress().await.unwrap(), Default::default());
        }
    }
}

async fn a_database_that_cannot_be_written_is_noticed_though_it_can_be_read(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    store.probe().await.unwrap();
    let mut outsider = db.outsider().await;
    outsider.breaks().await;
    store.probe().await.unwrap_err();
    assert!(store.progress().await.is_ok() && store.latches().await.is_ok());
    outsider.mends().await;
    store.probe().await.unwrap();
}
