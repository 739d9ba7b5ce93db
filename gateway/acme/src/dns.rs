// SPDX-License-Identifier: Apache-2.0 OR MIT
//! DNS as far as certificates need it: changing CAA and challenge records in zones that are ours, and looking up what
//! others see. An answer is "this is there", "nothing is there", or an error when that is not known; an error is never
//! taken for nothing.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mandate_runtime::Ambient;
use thiserror::Error;

use crate::{caa::Property, name::DomainName};

mod api;
mod cloudflare;
mod exchange;
mod lookup;
mod rfc2136;
mod route53;
mod servers;

pub use api::{Endpoint, EndpointError};
pub use cloudflare::{Cloudflare, CloudflareToken, TokenError};
pub use lookup::{Relevant, parse_answer};
pub use rfc2136::{Rfc2136, TsigAlgorithm, TsigError, TsigKey};
pub use route53::{AccessKey, AccessKeyError, HostedZone, Route53};

/// How long one question or update may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why nothing is known, or nothing was changed.
#[derive(Debug, Error)]
pub enum DnsError {
    /// Nobody was reached, or the conversation broke.
    #[error("{server}: {source}")]
    Io {
        /// Which server.
        server: SocketAddr,
        /// How it failed.
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("{server}: no answer within {}s", TIMEOUT.as_secs())]
    Timeout {
        /// Which server.
        server: SocketAddr,
    },
    /// The server could not or would not say.
    #[error("{server} answers {code}{}", hint(code))]
    Code {
        /// Which server.
        server: SocketAddr,
        /// Its response code.
        code: String,
    },
    /// The answer is none to the question.
    #[error("{server}: {what}")]
    Answer {
        /// Which server.
        server: SocketAddr,
        /// What is wrong with it.
        what: String,
    },
    /// A message cannot be written.
    #[error("a DNS message cannot be written: {0}")]
    Encode(String),
    /// The servers of a zone say different things.
    #[error("the servers of {zone} do not agree about {name}")]
    Disagreement {
        /// The zone.
        zone: DomainName,
        /// The name.
        name: String,
    },
    /// There is nobody to ask.
    #[error("nobody to ask about {name}: name it in dns.resolvers")]
    NoResolver {
        /// The name.
        name: String,
    },
    /// One alias leads to the next and so on.
    #[error("{name}: too many aliases in a row")]
    Aliases {
        /// The name.
        name: String,
    },
    /// A provider's API was not reached, or said what it should not.
    #[error("{provider}: {what}")]
    Provider {
        /// Which provider.
        provider: &'static str,
        /// What happened.
        what: String,
    },
    /// A provider does not take the credentials, or does not let them do this.
    #[error(
        "{provider} refuses with {status}: {what}; do the credentials hold, and may they change this zone?"
    )]
    Credentials {
        /// Which provider.
        provider: &'static str,
        /// 401 or 403.
        status: u16,
        /// Its own words.
        what: String,
    },
    /// A provider had enough for now.
    #[error("{provider} takes no request for another {}s", after.as_secs())]
    RateLimited {
        /// Which provider.
        provider: &'static str,
        /// How long to wait.
        after: Duration,
    },
    /// A provider shows no zone that the origin lies in.
    #[error(
        "{provider} shows no public zone that {origin} lies in: may the credentials list it? else set zone_id"
    )]
    NoZone {
        /// Which provider.
        provider: &'static str,
        /// What was looked for.
        origin: DomainName,
    },
    /// The zone's servers do not show what was written.
    #[error("the servers of {zone} do not show {what} within {}s", after.as_secs())]
    NotShown {
        /// The zone.
        zone: DomainName,
        /// What was written.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
}

/// What to look at, for the codes that an operator meets.
fn hint(code: &str) -> &'static str {
    match code {
        "NotAuth" | "BADSIG" | "BADKEY" => ": is the TSIG key the one that the server knows?",
        "BADTIME" => ": the clocks of this machine and of the server differ",
        "Refused" | "NotZone" => ": does the server let this key change the zone?",
        _ => "",
    }
}

/// A change to a zone. There is no way to say anything about other records than these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds these records to the CAA records that the name has.
    AddCaa(DomainName, Vec<Property>),
    /// Puts these records in place of all CAA records that the name has.
    ReplaceCaa(DomainName, Vec<Property>),
    /// Adds a value of `_acme-challenge.<name>`.
    AddChallenge(DomainName, String),
    /// Takes one value of `_acme-challenge.<name>` away, and leaves others.
    RemoveChallenge(DomainName, String),
}

/// A zone that can be changed.
pub trait Zone: Send + Sync + fmt::Debug {
    /// Its name.
    fn origin(&self) -> &DomainName;

    /// The servers that answer for it. None when its NS records say.
    fn nameservers(&self) -> &[SocketAddr];

    /// Whether a replaced set is seen as the old one or the new one at each moment and nothing else. Where it is not, the new
    /// records are added first, and the old ones removed once everybody sees the new.
    fn replaces_at_once(&self) -> bool {
        true
    }

    /// Makes all changes, or none of them.
    fn apply<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<(), DnsError>>;
}

/// The zones that are ours, and whom to ask about all others.
#[derive(Debug)]
pub struct Dns {
    zones: Vec<Arc<dyn Zone>>,
    resolvers: Vec<SocketAddr>,
    propagation: Duration,
    exchange: exchange::Exchange,
    found: servers::Found,
}

impl Dns {
    /// Changes are expected to be seen on all servers of a zone within `propagation`.
    pub fn new(
        zones: Vec<Arc<dyn Zone>>,
        resolvers: Vec<SocketAddr>,
        propagation: Duration,
        ambient: &Ambient,
    ) -> Self {
        Self {
            zones,
            resolvers,
            propagation,
            exchange: exchange::Exchange::new(ambient),
            found: servers::Found::default(),
        }
    }

    /// The zone of ours that `name` lies in: the innermost, as it is with delegations.
    pub fn zone_of(&self, name: &DomainName) -> Option<&Arc<dyn Zone>> {
        let covering = self.zones.iter().filter(|zone| name.is_within(zone.origin()));
        covering.max_by_key(|zone| zone.origin().as_str().len())
    }
}

/// A name and those above it down to two labels, the innermost first.
fn parents(name: &DomainName) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name.as_str()), |&name| {
        name.split_once('.').map(|(_, above)| above).filter(|above| above.contains('.'))
    })
}

/// Reads a provider's answer, as its client does. For the fuzzer.
pub fn parse_provider_answer(answer: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(answer).ok();
    cloudflare::parse_records(answer).or_else(|| route53::parse_records(text?))
}
