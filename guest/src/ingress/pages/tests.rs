// SPDX-License-Identifier: Apache-2.0 OR MIT
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};

use futures::future::{BoxFuture, FutureExt, join_all};
use mandate_attestation::Evidence;

use super::*;
use crate::{
    QuoterError,
    ingress::scripted::{DEPLOYED, DOMAIN, DevQuoter, World, pki},
};

/// Gives evidence to as many as it has been told to.
#[derive(Debug)]
struct Slow {
    quoter: DevQuoter,
    gate: Semaphore,
}

impl Quoter for Slow {
    fn evidence(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Evidence, QuoterError>> {
        async move {
            self.gate.acquire().await.unwrap().forget();
            self.quoter.evidence(report_data).await
        }
        .boxed()
    }
}

#[tokio::test]
async fn attack_crowd_that_wants_evidence_waits_or_is_sent_away() {
    let world = World::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), None);
    world.certified().await;
    let slow = Arc::new(Slow { quoter: DevQuoter(pki()), gate: Semaphore::new(0) });
    let (quoter, shown) = (Arc::clone(&slow) as Arc<dyn Quoter>, Arc::clone(&world.shown));
    let pages = Pages::new(DEPLOYED, &world.held, world.keys(), quoter, shown, world.clock.clone());
    let mut four = std::pin::pin!(join_all((0..4).map(|_| pages.domain(DOMAIN, None))));
    let mut fifth = std::pin::pin!(pages.domain(DOMAIN, None));
    let before = world.clock.monotonic();
    let refused = loop {
        tokio::select! {
            biased;
            _ = &mut four => panic!("nobody can have been answered yet"),
            refused = &mut fifth => break refused.unwrap_err(),
            () = tokio::task::yield_now() => world.clock.advance(Duration::from_millis(100)),
        }
        assert!(world.clock.monotonic() - before < 3 * TURN, "it waits for longer than its turn");
    };
    assert_eq!(refused.into_response().status(), 503);
    slow.gate.add_permits(4);
    assert!(four.await.iter().all(Result::is_ok));
}
