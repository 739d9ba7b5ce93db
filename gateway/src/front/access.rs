// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The access log: one line for each connection when it has ended.

use std::{net::IpAddr, sync::Arc, time::Duration};

use mandate_runtime::{
    Clock,
    carry::{End, Traffic},
    net::Peer,
};

use super::Refusal;
use crate::routes::Route;

/// What is known of a connection so far.
#[derive(Debug)]
pub(super) struct Access {
    peer: Peer,
    name: String,
    mode: &'static str,
    route: Option<Arc<Route>>,
    pub(super) traffic: Traffic,
    clock: Arc<dyn Clock>,
    began: Duration,
}

impl Access {
    pub(super) fn new(peer: Peer, clock: Arc<dyn Clock>) -> Self {
        let began = clock.monotonic();
        Self {
            peer,
            name: String::new(),
            mode: "none",
            route: None,
            traffic: Traffic::default(),
            clock,
            began,
        }
    }

    /// The client, or the balancer before it has said for whom it connects.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    pub(super) fn ip(&self) -> Option<IpAddr> {
        match &self.peer {
            Peer::Socket(address) => Some(address.ip()),
            Peer::Unix(_) => None,
        }
    }

    /// `name` was checked to be a name, so that no client writes lines into the log.
    pub(super) fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    pub(super) fn set_mode(&mut self, mode: &'static str) {
        self.mode = mode;
    }

    pub(super) fn set_route(&mut self, route: &Arc<Route>) {
        self.route = Some(Arc::clone(route));
    }

    /// Writes the line and counts the connection.
    pub(super) fn end(&self, ended: &Result<End, Refusal>) {
        let label = ended.as_ref().map_or_else(Refusal::label, |end| end.label());
        metrics::counter!("mandate_gateway_connections_total", "end" => label, "mode" => self.mode)
            .increment(1);
        let (received, sent) = (self.traffic.to_instance(), self.traffic.to_client());
        metrics::counter!("mandate_gateway_bytes_total", "to" => "instance").increment(received);
        metrics::counter!("mandate_gateway_bytes_total", "to" => "client").increment(sent);
        let facts = self.route.as_ref().map(|route| &route.facts);
        let (app, instance) = (facts.map(|f| f.app), facts.map(|f| f.instance));
        let milliseconds = self.clock.monotonic().saturating_sub(self.began).as_millis();
        tracing::info!(
            target: "mandate_gateway::access",
            peer = %self.peer,
            name = self.name,
            mode = self.mode,
            app = app.map(tracing::field::display),
            instance = instance.map(tracing::field::display),
            received,
            sent,
            milliseconds,
            end = label,
            why = ended.as_ref().err().map(tracing::field::display),
        );
    }
}
