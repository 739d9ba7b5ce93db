// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looking up what is published.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Message, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};

use super::{
    Dns, DnsError, Zone,
    rfc2136::{challenge_name, parse},
};
use crate::{caa::Property, name::DomainName};

/// Aliases that are followed in a row (RFC 1034, section 3.6.2, wants loops to be noticed).
const MAX_ALIASES: usize = 8;
/// Records of one answer that are looked at.
const MAX_RECORDS: usize = 512;
const FIRST_LOOK: Duration = Duration::from_millis(5);
const SLOWEST_LOOK: Duration = Duration::from_millis(500);

/// The relevant record set of a name (RFC 8659, section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relevant {
    /// The name that has it: the one that was asked about or the closest above it.
    pub at: String,
    /// The set; never empty.
    pub properties: Vec<Property>,
    /// Whether the resolver says of every answer on the way that DNSSEC vouches for it: its word, over a network that
    /// nobody vouches for.
    pub authenticated: bool,
}

/// What was found, and whether the resolver says that DNSSEC vouches for it.
#[derive(Debug)]
pub(super) struct Looked<T> {
    pub(super) found: Found<T>,
    authenticated: bool,
}

/// What an answer says about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// These, in order; none when there are none.
    Records(BTreeSet<T>),
    /// It is an alias of a name about which the answer says no more.
    Alias(Name),
}

/// Reads an answer about the CAA records of `name`, as the lookups do. For the fuzzer.
pub fn parse_answer(name: &str, answer: &[u8]) -> Option<usize> {
    let (name, message) = (parse(name).ok()?, Message::from_vec(answer).ok()?);
    match read(&message, &name, &caa).ok()? {
        Found::Records(records) => Some(records.len()),
        Found::Alias(_) => None,
    }
}

impl Dns {
    /// The CAA records that govern `name`: its own or those of the closest name above it that has any. None when there are
    /// none up to the root, so that anybody may issue.
    ///
    /// # Errors
    /// When that could not be found out for one of the names on the way.
    pub async fn relevant_caa(&self, name: &DomainName) -> Result<Option<Relevant>, DnsError> {
        let (mut at, mut authenticated) = (parse(name.as_str())?, true);
        while !at.is_root() {
            let (found, vouched) = self.caa_at(at.clone()).await?;
            authenticated &= vouched;
            if !found.is_empty() {
                let properties = found.into_iter().collect();
                let at = at.to_ascii().trim_end_matches('.').to_owned();
                return Ok(Some(Relevant { at, properties, authenticated }));
            }
            at = at.base_name();
        }
        Ok(None)
    }

    /// The CAA records of `name` itself, in a zone of ours, as every server of the zone shows them.
    ///
    /// # Errors
    /// When a server does not say, or they do not agree.
    pub async fn own_caa(&self, zone: &dyn Zone, name: &DomainName) -> Result<Vec<Property>, DnsError> {
        match self.on_all(zone, &parse(name.as_str())?, RecordType::CAA, &caa).await? {
            Found::Records(records) => Ok(records.into_iter().collect()),
            Found::Alias(_) => Ok(Vec::new()),
        }
    }

    /// Waits until every server of the zone shows these values of `_acme-challenge.<name>`.
    ///
    /// # Errors
    /// When one does not in time.
    pub async fn until_challenges(
        &self,
        zone: &dyn Zone,
        name: &DomainName,
        values: &[String],
    ) -> Result<(), DnsError> {
        let shown = || async {
            let found = self.challenges(zone, name).await?;
            Ok(values.iter().all(|value| found.contains(value)))
        };
        self.until(zone, &format!("the TXT records of {}", challenge_name(name)?), shown).await
    }

    /// The values of `_acme-challenge.<name>`, as every server of the zone shows them.
    ///
    /// # Errors
    /// When a server does not say, or they do not agree.
    pub async fn challenges(&self, zone: &dyn Zone, name: &DomainName) -> Result<BTreeSet<String>, DnsError> {
        match self.on_all(zone, &challenge_name(name)?, RecordType::TXT, &txt).await? {
            Found::Records(records) => Ok(records),
            Found::Alias(_) => Ok(BTreeSet::new()),
        }
    }

    /// Waits until `shown`, for as long as changes may take to spread. Errors on the way count as "not yet".
    pub(crate) async fn until<F>(
        &self,
        zone: &dyn Zone,
        what: &str,
        shown: impl Fn() -> F,
    ) -> Result<(), DnsError>
    where
        F: Future<Output = Result<bool, DnsError>>,
    {
        let clock = self.exchange.clock();
        let deadline = clock.monotonic().saturating_add(self.propagation);
        let mut delay = FIRST_LOOK;
        loop {
            let last = match shown().await {
                Ok(true) => return Ok(()),
                Ok(false) => None,
                Err(error) => Some(error),
            };
            if clock.monotonic() >= deadline {
                let (zone, what) = (zone.origin().clone(), what.to_owned());
                return Err(last.unwrap_or(DnsError::NotShown { zone, what, after: self.propagation }));
            }
            clock.sleep(delay).await;
            delay = delay.saturating_mul(2).min(SLOWEST_LOOK);
        }
    }

    async fn caa_at(&self, mut name: Name) -> Result<(BTreeSet<Property>, bool), DnsError> {
        let mut authenticated = true;
        for _ in 0..MAX_ALIASES {
            let text = name.to_ascii().to_ascii_lowercase();
            let ours = DomainName::try_from(text.trim_end_matches('.')).ok();
            let looked = match ours.as_ref().and_then(|name| self.zone_of(name)) {
                // The servers of a zone vouch for nothing but themselves.
                Some(zone) => {
                    let found = self.on_all(zone.as_ref(), &name, RecordType::CAA, &caa).await?;
                    Looked { found, authenticated: false }
                }
                None => self.resolve(&name, RecordType::CAA, &caa).await?,
            };
            authenticated &= looked.authenticated;
            match looked.found {
                Found::Records(records) => return Ok((records, authenticated)),
                Found::Alias(target) => name = target,
            }
        }
        Err(DnsError::Aliases { name: name.to_ascii() })
    }

    /// Every server of a zone of ours has to say the same.
    async fn on_all<T: Ord>(
        &self,
        zone: &dyn Zone,
        name: &Name,
        kind: RecordType,
        pick: &(dyn Fn(&RData) -> Option<T> + Sync),
    ) -> Result<Found<T>, DnsError> {
        let mut agreed: Option<Found<T>> = None;
        for server in self.servers(zone).await? {
            let found = self.query(server, name, kind, pick).await?.found;
            if agreed.as_ref().is_some_and(|agreed| *agreed != found) {
                let (zone, name) = (zone.origin().clone(), name.to_ascii());
                return Err(DnsError::Disagreement { zone, name });
            }
            agreed = Some(found);
        }
        agreed.ok_or_else(|| DnsError::NoResolver { name: name.to_ascii() })
    }

    /// The first resolver that knows.
    pub(super) async fn resolve<T: Ord>(
        &self,
        name: &Name,
        kind: RecordType,
        pick: &(dyn Fn(&RData) -> Option<T> + Sync),
    ) -> Result<Looked<T>, DnsError> {
        let mut failed = DnsError::NoResolver { name: name.to_ascii() };
        for server in &self.resolvers {
            match self.query(*server, name, kind, pick).await {
                Ok(found) => return Ok(found),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn query<T: Ord>(
        &self,
        server: SocketAddr,
        name: &Name,
        kind: RecordType,
        pick: &(dyn Fn(&RData) -> Option<T> + Sync),
    ) -> Result<Looked<T>, DnsError> {
        let mut message = self.exchange.message(OpCode::Query);
        message.metadata.recursion_desired = true;
        // Asks for the bit in the answer (RFC 6840, 5.7).
        message.metadata.authentic_data = true;
        message.add_query(Query::query(name.clone(), kind));
        let (_, answer) = self.exchange.ask(server, &message).await?;
        let wrong = |what: &str| DnsError::Answer { server, what: what.to_owned() };
        match answer.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => return Err(DnsError::Code { server, code: format!("{code:?}") }),
        }
        let [asked] = answer.queries.as_slice() else { return Err(wrong("an answer to no question")) };
        if asked.name() != name || asked.query_type() != kind {
            return Err(wrong("an answer to another question"));
        }
        // A server that neither has the zone nor looks further refers to others, which reads like "nothing there".
        if answer.truncation || !(answer.authoritative || answer.recursion_available) {
            return Err(wrong("it does not answer for this name: is it the right server?"));
        }
        let found = read(&answer, name, pick).map_err(wrong)?;
        Ok(Looked { found, authenticated: answer.authentic_data })
    }
}

/// What a message says about `name`, along the aliases in it.
fn read<T: Ord>(
    message: &Message,
    name: &Name,
    pick: &(dyn Fn(&RData) -> Option<T> + Sync),
) -> Result<Found<T>, &'static str> {
    if message.answers.len() > MAX_RECORDS {
        return Err("an answer with too many records");
    }
    let mut at = name.clone();
    for _ in 0..=MAX_ALIASES {
        let of_name = || message.answers.iter().filter(|record| record.name == at);
        let records: BTreeSet<T> = of_name().filter_map(|record| pick(&record.data)).collect();
        let alias = of_name().find_map(|record| match &record.data {
            RData::CNAME(target) => Some(target.0.clone()),
            _ => None,
        });
        match alias {
            Some(target) if records.is_empty() => at = target,
            _ if records.is_empty()
                && at != *name
                && message.authoritative
                && !message.recursion_available =>
            {
                return Ok(Found::Alias(at));
            }
            _ => return Ok(Found::Records(records)),
        }
    }
    Err("too many aliases in a row")
}

fn caa(data: &RData) -> Option<Property> {
    match data {
        RData::CAA(caa) => {
            Some(Property { flags: caa.flags(), tag: caa.tag.clone(), value: caa.value.clone() })
        }
        _ => None,
    }
}

fn txt(data: &RData) -> Option<String> {
    match data {
        RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
        _ => None,
    }
}
