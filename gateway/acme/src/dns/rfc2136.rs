// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dynamic updates (RFC 2136), signed with a key that the server shares (TSIG, RFC 8945). All changes of one call travel in
//! one message, which a server applies as a whole or not at all (RFC 2136, section 3.4.2).

use std::{fmt, net::SocketAddr};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures::future::{BoxFuture, FutureExt};
use hickory_proto::{
    op::{Message, OpCode, Query, ResponseCode, update_message::UpdateMessage},
    rr::{
        DNSClass, Name, RData, Record, RecordType, TSigner,
        rdata::{CAA, TXT, tsig},
    },
};
use mandate_runtime::Ambient;
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Change, DnsError, Zone, exchange::Exchange};
use crate::{caa::Property, name::DomainName};

/// How long resolvers may keep CAA. Authorities look it up anew in any case.
const CAA_TTL: u32 = 300;
/// Challenge records live for seconds.
const TXT_TTL: u32 = 1;
/// How far the clocks may be apart (RFC 8945, section 10).
const FUDGE: u16 = 300;
/// Shorter secrets than the digest's output weaken it; RFC 8945, section 8, asks for that length.
const MIN_SECRET: usize = 16;

/// The hash of a TSIG key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// HMAC with SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}

/// Why a TSIG key is none. No variant holds any of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TsigError {
    /// Not a DNS name.
    #[error("the key's name is no DNS name")]
    Name,
    /// Not base64, or too short.
    #[error("the secret has to be at least {MIN_SECRET} bytes in base64, as tsig-keygen prints it")]
    Secret,
    /// The library does not take it.
    #[error("the key cannot be used: {0}")]
    Unusable(String),
}

/// A key that this gateway and a DNS server share.
#[derive(Clone)]
pub struct TsigKey(TSigner);

impl TsigKey {
    /// From its name, and its secret in base64.
    ///
    /// # Errors
    /// When it is no key.
    pub fn new(name: &str, algorithm: TsigAlgorithm, secret: &str) -> Result<Self, TsigError> {
        let name = Name::from_ascii(name).map_err(|_| TsigError::Name)?;
        let secret = BASE64_STANDARD.decode(secret.trim()).map(Zeroizing::new);
        let secret = secret.ok().filter(|s| s.len() >= MIN_SECRET).ok_or(TsigError::Secret)?;
        let algorithm = match algorithm {
            TsigAlgorithm::HmacSha256 => tsig::TsigAlgorithm::HmacSha256,
            TsigAlgorithm::HmacSha512 => tsig::TsigAlgorithm::HmacSha512,
        };
        // The signer's own copy lives as long as the process: the library does not wipe it.
        let signer = TSigner::new(secret.to_vec(), algorithm, name, FUDGE);
        signer.map(Self).map_err(|e| TsigError::Unusable(e.to_string()))
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TsigKey({})", self.0.signer_name())
    }
}

/// A zone on a server that takes signed updates.
#[derive(Debug)]
pub struct Rfc2136 {
    origin: DomainName,
    primary: SocketAddr,
    nameservers: Vec<SocketAddr>,
    key: TsigKey,
    exchange: Exchange,
}

impl Rfc2136 {
    /// Updates go to `primary`. The servers that authorities ask are `nameservers`, or the primary when there are none.
    pub fn new(
        origin: DomainName,
        primary: SocketAddr,
        mut nameservers: Vec<SocketAddr>,
        key: TsigKey,
        ambient: &Ambient,
    ) -> Self {
        if nameservers.is_empty() {
            nameservers.push(primary);
        }
        Self { origin, primary, nameservers, key, exchange: Exchange::new(ambient) }
    }

    fn message(&self, changes: &[Change]) -> Result<Message, DnsError> {
        let mut message = self.exchange.message(OpCode::Update);
        let mut zone = Query::query(parse(self.origin.as_str())?, RecordType::SOA);
        zone.set_query_class(DNSClass::IN);
        message.add_zone(zone);
        for change in changes {
            message.add_updates(records(change)?);
        }
        Ok(message)
    }

    async fn update(&self, changes: &[Change]) -> Result<(), DnsError> {
        let server = self.primary;
        let mut message = self.message(changes)?;
        let signed = message.finalize(&self.key.0, self.exchange.clock().unix());
        let signed = signed.map_err(|e| DnsError::Encode(e.to_string()))?;
        let (bytes, answer) = self.exchange.ask(server, &message).await?;
        let code = |code: ResponseCode| DnsError::Code { server, code: format!("{code:?}") };
        // A refusal may come unsigned (RFC 8945, section 5.3.2). A success may not: anybody on the way could say so.
        if answer.response_code != ResponseCode::NoError {
            return Err(code(answer.response_code));
        }
        let unsigned =
            |what: String| DnsError::Answer { server, what: format!("its answer is not signed: {what}") };
        let mut verifier = signed.ok_or_else(|| unsigned("nothing to compare with".to_owned()))?;
        let verified = verifier.verify(&bytes).map_err(|e| unsigned(e.to_string()))?;
        match verified.response_code {
            ResponseCode::NoError => Ok(()),
            other => Err(code(other)),
        }
    }
}

impl Zone for Rfc2136 {
    fn origin(&self) -> &DomainName {
        &self.origin
    }

    fn nameservers(&self) -> &[SocketAddr] {
        &self.nameservers
    }

    fn apply<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<(), DnsError>> {
        self.update(changes).boxed()
    }
}

pub(super) fn parse(name: &str) -> Result<Name, DnsError> {
    let mut parsed = Name::from_ascii(name).map_err(|e| DnsError::Encode(format!("{name}: {e}")))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

pub(super) fn challenge_name(name: &DomainName) -> Result<Name, DnsError> {
    parse(&format!("_acme-challenge.{name}"))
}

/// The update section's records (RFC 2136, section 2.5).
fn records(change: &Change) -> Result<Vec<Record>, DnsError> {
    match change {
        Change::AddCaa(name, wanted) => {
            let name = parse(name.as_str())?;
            let record = |one| Record::from_rdata(name.clone(), CAA_TTL, RData::CAA(caa(one)));
            Ok(wanted.iter().map(record).collect())
        }
        Change::ReplaceCaa(name, wanted) => {
            let mut all = vec![remove_all(parse(name.as_str())?)];
            all.extend(records(&Change::AddCaa(name.clone(), wanted.clone()))?);
            Ok(all)
        }
        Change::AddChallenge(name, value) => Ok(vec![challenge(name, value, DNSClass::IN, TXT_TTL)?]),
        // Class NONE takes exactly this record away (section 2.5.4).
        Change::RemoveChallenge(name, value) => Ok(vec![challenge(name, value, DNSClass::NONE, 0)?]),
    }
}

/// Class ANY without data takes the whole set away (section 2.5.2).
fn remove_all(name: Name) -> Record {
    let mut record = Record::from_rdata(name, 0, RData::Update0(RecordType::CAA));
    record.dns_class = DNSClass::ANY;
    record
}

fn challenge(name: &DomainName, value: &str, class: DNSClass, ttl: u32) -> Result<Record, DnsError> {
    let data = RData::TXT(TXT::new(vec![value.to_owned()]));
    let mut record = Record::from_rdata(challenge_name(name)?, ttl, data);
    record.dns_class = class;
    Ok(record)
}

fn caa(property: &Property) -> CAA {
    let mut record = CAA::new_issue(property.is_critical(), None, Vec::new());
    record.reserved_flags = property.flags & 0x7f;
    record.tag.clone_from(&property.tag);
    record.value.clone_from(&property.value);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    #[test]
    fn g12_tsig_secret_never_shows() {
        let key = TsigKey::new("gateway.", TsigAlgorithm::HmacSha256, SECRET).unwrap();
        assert_eq!(format!("{key:?}"), "TsigKey(gateway.)");
        for bad in ["", "c2hvcnQ=", "not base64!", "MDEyMzQ1Njc4OTAxMjM0NQ"] {
            let refused = TsigKey::new("gateway.", TsigAlgorithm::HmacSha512, bad).unwrap_err();
            assert_eq!(refused, TsigError::Secret);
            assert!(bad.is_empty() || !refused.to_string().contains(bad));
        }
        let long = "a".repeat(64);
        assert_eq!(TsigKey::new(&long, TsigAlgorithm::HmacSha256, SECRET).unwrap_err(), TsigError::Name);
    }

    #[test]
    fn replacement_of_caa_is_one_message_that_removes_before_it_adds() {
        let origin = DomainName::try_from("example.org").unwrap();
        let key = TsigKey::new("gateway.", TsigAlgorithm::HmacSha256, SECRET).unwrap();
        let primary = ([127, 0, 0, 1], 53).into();
        let zone = Rfc2136::new(origin.clone(), primary, Vec::new(), key, &Ambient::system());
        let wanted = Property { flags: 129, tag: "issue".to_owned(), value: b";".to_vec() };
        let message = zone.message(&[Change::ReplaceCaa(origin, vec![wanted])]).unwrap();
        let message = Message::from_vec(&message.to_vec().unwrap()).unwrap();
        let [remove, add] = message.updates() else { panic!("{message:?}") };
        assert_eq!((remove.dns_class, remove.record_type(), remove.ttl), (DNSClass::ANY, RecordType::CAA, 0));
        assert_eq!((add.dns_class, add.record_type()), (DNSClass::IN, RecordType::CAA));
        let RData::CAA(added) = &add.data else { panic!("{add:?}") };
        assert_eq!(
            (added.flags(), added.tag.as_str(), added.value.as_slice()),
            (129, "issue", b";".as_slice())
        );
    }
}
