// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The servers of a zone whose operator named none: its NS records, as the resolvers have them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hickory_proto::rr::{Name, RData, RecordType};

use super::{Dns, DnsError, Zone, lookup::Found as Answer, parents, rfc2136::parse};
use crate::name::DomainName;

const PORT: u16 = 53;
/// How long they are taken for the same.
const KEPT: Duration = Duration::from_secs(300);
/// A zone has 13 at most that fit into an answer of old, and providers have four to eight.
const MAX_SERVERS: usize = 16;

/// What was found, and when, by a zone's name.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<BTreeMap<DomainName, (Duration, Vec<SocketAddr>)>>);

impl Found {
    fn get(&self, zone: &DomainName, now: Duration) -> Option<Vec<SocketAddr>> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(zone).filter(|(at, _)| now.saturating_sub(*at) < KEPT).map(|(_, servers)| servers.clone())
    }

    /// There are as many as there are zones of ours.
    fn keep(&self, zone: &DomainName, now: Duration, servers: &[SocketAddr]) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.insert(zone.clone(), (now, servers.to_vec()));
    }
}

impl Dns {
    /// The servers that answer for a zone of ours. By IPv4: every zone's servers have that, many machines have no IPv6.
    pub(super) async fn servers(&self, zone: &dyn Zone) -> Result<Vec<SocketAddr>, DnsError> {
        let now = self.exchange.clock().monotonic();
        if !zone.nameservers().is_empty() {
            return Ok(zone.nameservers().to_vec());
        }
        if let Some(servers) = self.found.get(zone.origin(), now) {
            return Ok(servers);
        }
        let mut servers = Vec::new();
        for name in self.delegation(zone.origin()).await? {
            if let Answer::Records(addresses) = self.resolve(&name, RecordType::A, &address).await?.found {
                servers.extend(addresses.into_iter().map(|ip| SocketAddr::from((ip, PORT))));
            }
        }
        servers.truncate(MAX_SERVERS);
        if servers.is_empty() {
            return Err(DnsError::NoResolver { name: zone.origin().to_string() });
        }
        self.found.keep(zone.origin(), now, &servers);
        Ok(servers)
    }

    /// The names of the servers of the zone that `origin` lies in.
    async fn delegation(&self, origin: &DomainName) -> Result<Vec<Name>, DnsError> {
        for candidate in parents(origin) {
            let found = self.resolve(&parse(candidate)?, RecordType::NS, &server).await?.found;
            if let Answer::Records(names) = found
                && !names.is_empty()
            {
                return Ok(names.into_iter().take(MAX_SERVERS).collect());
            }
        }
        Err(DnsError::NoResolver { name: origin.to_string() })
    }
}

fn server(data: &RData) -> Option<Name> {
    match data {
        RData::NS(name) => Some(name.0.clone()),
        _ => None,
    }
}

fn address(data: &RData) -> Option<Ipv4Addr> {
    match data {
        RData::A(address) => Some(address.0),
        _ => None,
    }
}
