// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Zones at Amazon Route 53. All changes of one call are one batch, which its name servers take as a whole; a change of a
//! record set puts the new set in the place of the old one.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{Method, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use mandate_runtime::{Ambient, clock::within};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::{Mutex, OnceCell};

use super::{
    Change, DnsError, Zone,
    api::{Api, Endpoint, is_id},
    parents,
};
use crate::{caa::Property, name::DomainName};

mod xml;

pub(super) use xml::parse_records;
use xml::{Answered, Changed, Failure, Set, Sets, Zones};

const PROVIDER: &str = "Route 53";
const API: &str = "https://route53.amazonaws.com";
const VERSION: &str = "/2013-04-01";
const CAA_TTL: u32 = 300;
const TXT_TTL: u32 = 1;
/// The first wait for a change to have spread; Amazon lets one ask five times a second for everything together.
const FIRST_POLL: Duration = Duration::from_secs(1);
const SLOWEST_POLL: Duration = Duration::from_secs(4);

/// Why a key is none. It holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an access key has an id and a secret of letters, digits, `+`, `/` and `=`")]
pub struct AccessKeyError;

/// An access key of an IAM user.
#[derive(Clone)]
pub struct AccessKey(Credentials);

impl AccessKey {
    /// From its id and its secret.
    ///
    /// # Errors
    /// When it can be no key.
    pub fn new(id: &str, secret: &str) -> Result<Self, AccessKeyError> {
        let (id, secret) = (id.trim(), secret.trim());
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        let good = |text: &str| !text.is_empty() && text.bytes().all(fits);
        match good(id) && good(secret) {
            // The library wipes its copy, and does not show it.
            true => Ok(Self(Credentials::new(id, secret, None, None, "mandate"))),
            false => Err(AccessKeyError),
        }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKey({})", self.0.access_key_id())
    }
}

/// A hosted zone at Route 53, or a part of one.
#[derive(Debug)]
pub struct Route53 {
    origin: DomainName,
    nameservers: Vec<SocketAddr>,
    key: AccessKey,
    region: String,
    propagation: Duration,
    api: Api,
    zone: OnceCell<String>,
    /// Held from reading a set until it is written: the API changes whole sets.
    changing: Mutex<()>,
}

/// Which hosted zone, and where it is asked for.
#[derive(Debug, Clone)]
pub struct HostedZone {
    /// Its id. By default the innermost public one that the origin lies in.
    pub id: Option<String>,
    /// What signatures name.
    pub region: String,
    /// Another API than Amazon's.
    pub endpoint: Option<Endpoint>,
    /// How long a change may take until it has spread.
    pub propagation: Duration,
}

impl Route53 {
    /// `nameservers` are found by the zone's NS records when there are none. Nothing is contacted yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        origin: DomainName,
        nameservers: Vec<SocketAddr>,
        key: AccessKey,
        hosted: HostedZone,
        ambient: &Ambient,
    ) -> Result<Self, rustls::Error> {
        let HostedZone { id, region, endpoint, propagation } = hosted;
        let api = Api::new(PROVIDER, Endpoint::or(endpoint, API), ambient)?;
        let zone = OnceCell::new_with(id);
        Ok(Self { origin, nameservers, key, region, propagation, api, zone, changing: Mutex::new(()) })
    }

    fn request(&self, method: Method, path: &str, body: String) -> Result<Request<Full<Bytes>>, DnsError> {
        let url = self.api.url(&format!("{VERSION}{path}"));
        let unsigned = |e: &dyn fmt::Display| self.api.wrong(format!("the request cannot be signed: {e}"));
        let identity = self.key.0.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("route53")
            .time(UNIX_EPOCH + self.api.clock.unix_time())
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| unsigned(&e))?
            .into();
        let signable = SignableRequest::new(
            method.as_str(),
            &url,
            std::iter::empty(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|e| unsigned(&e))?;
        let (signature, _) = sign(signable, &params).map_err(|e| unsigned(&e))?.into_parts();
        let request = Request::builder().method(method).uri(&url).header(CONTENT_TYPE, "application/xml");
        let mut request = request.body(Full::new(Bytes::from(body))).map_err(|e| self.api.wrong(e))?;
        signature.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<T, DnsError> {
        let answer = self.api.send(self.request(method, path, body)?).await?;
        let (status, body) = (answer.status(), answer.into_body());
        let text = std::str::from_utf8(&body).map_err(|_| self.api.wrong("an answer that is no text"))?;
        if status.is_success() {
            let read = quick_xml::de::from_str(text);
            return read.map_err(|e| self.api.wrong(format!("an answer that is none of the API: {e}")));
        }
        let failure = Failure::read(text);
        match status {
            StatusCode::BAD_REQUEST if failure.is_throttling() => Err(self.api.limited(None)),
            _ => Err(self.api.refusal(status, &failure.to_string())),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DnsError> {
        self.call(Method::GET, path, String::new()).await
    }

    /// The innermost public hosted zone that the origin lies in.
    async fn zone(&self) -> Result<&str, DnsError> {
        let found = self.zone.get_or_try_init(|| async {
            for candidate in parents(&self.origin) {
                let path = format!("/hostedzonesbyname?dnsname={candidate}.&maxitems=10");
                let zones: Zones = self.get(&path).await?;
                match zones.public(candidate).as_slice() {
                    [] => {}
                    [id] if is_id(id) => return Ok((*id).to_owned()),
                    [_] => return Err(self.api.wrong("the zone's id is none")),
                    _ => {
                        return Err(self.api.wrong(format!("several public zones {candidate}: set zone_id")));
                    }
                }
            }
            Err(DnsError::NoZone { provider: PROVIDER, origin: self.origin.clone() })
        });
        let id = found.await?;
        if is_id(id) { Ok(id) } else { Err(self.api.wrong("the zone's id is none")) }
    }

    /// The record set of one name and type.
    async fn set(&self, name: &str, kind: &'static str) -> Result<Option<Set>, DnsError> {
        let path = format!("/hostedzone/{}/rrset?maxitems=1&name={name}.&type={kind}", self.zone().await?);
        let sets: Sets = self.get(&path).await?;
        let found = sets.of(name, kind);
        if found.as_ref().is_some_and(|set| !set.is_simple()) {
            return Err(self.api.wrong(format!("the {kind} records of {name} have a routing policy")));
        }
        Ok(found)
    }

    /// What becomes of a record set: values to add to it, values to take away, or nothing but these.
    async fn plan(&self, changes: &[Change]) -> Result<Vec<xml::SetChange>, DnsError> {
        let mut sets: Vec<Planned> = Vec::new();
        for change in changes {
            let (name, kind, ttl) = match change {
                Change::AddCaa(name, _) | Change::ReplaceCaa(name, _) => (name.to_string(), "CAA", CAA_TTL),
                Change::AddChallenge(name, _) | Change::RemoveChallenge(name, _) => {
                    (format!("_acme-challenge.{name}"), "TXT", TXT_TTL)
                }
            };
            let known = sets.iter().position(|set| set.name == name && set.kind == kind);
            let mut planned = match known {
                Some(at) => sets.swap_remove(at),
                None => Planned::of(self.set(&name, kind).await?, name, kind, ttl),
            };
            planned.take(change);
            sets.push(planned);
        }
        Ok(sets.into_iter().filter_map(Planned::change).collect())
    }

    async fn change(&self, changes: &[Change]) -> Result<(), DnsError> {
        let changing = self.changing.lock().await;
        let planned = self.plan(changes).await?;
        if planned.is_empty() {
            return Ok(());
        }
        let body = xml::batch(planned).map_err(|e| DnsError::Encode(e.to_string()))?;
        let path = format!("/hostedzone/{}/rrset/", self.zone().await?);
        let changed: Changed = self.call(Method::POST, &path, body).await?;
        drop(changing);
        let adds = |change: &Change| !matches!(change, Change::RemoveChallenge(..));
        match changes.iter().any(adds) {
            true => self.until_spread(changed.info).await,
            false => Ok(()),
        }
    }

    /// Waits until all of Amazon's name servers have the change: whoever asks one of them sees what is nearest alone.
    async fn until_spread(&self, mut info: Answered) -> Result<(), DnsError> {
        let spread = async {
            let mut delay = FIRST_POLL;
            while !info.is_in_sync() {
                self.api.clock.sleep(delay).await;
                delay = delay.saturating_mul(2).min(SLOWEST_POLL);
                let id = info.id().filter(|id| is_id(id));
                let id = id.ok_or_else(|| self.api.wrong("the change's id is none"))?;
                info = self.get::<Changed>(&format!("/change/{id}")).await?.info;
            }
            Ok(())
        };
        let late = || {
            let (zone, what) = (self.origin.clone(), "the change".to_owned());
            DnsError::NotShown { zone, what, after: self.propagation }
        };
        within(self.api.clock.as_ref(), self.propagation, spread).await.unwrap_or_else(|| Err(late()))
    }
}

/// A record set as it is to become.
struct Planned {
    name: String,
    kind: &'static str,
    ttl: u32,
    before: Option<Set>,
    values: Vec<String>,
}

impl Planned {
    fn of(before: Option<Set>, name: String, kind: &'static str, ttl: u32) -> Self {
        let values = before.as_ref().map(Set::values).unwrap_or_default();
        Self { name, kind, ttl, before, values }
    }

    fn take(&mut self, change: &Change) {
        match change {
            Change::AddCaa(_, wanted) => wanted.iter().for_each(|one| self.add(caa(one))),
            Change::ReplaceCaa(_, wanted) => {
                self.values.clear();
                wanted.iter().for_each(|one| self.add(caa(one)));
            }
            Change::AddChallenge(_, value) => self.add(format!("\"{value}\"")),
            Change::RemoveChallenge(_, value) => {
                let value = format!("\"{value}\"");
                self.values.retain(|there| *there != value);
            }
        }
    }

    fn add(&mut self, value: String) {
        if !self.values.contains(&value) {
            self.values.push(value);
        }
    }

    /// A set that is to be empty is taken away, which needs the set as it is.
    fn change(self) -> Option<xml::SetChange> {
        let before = self.before.as_ref().map(Set::values).unwrap_or_default();
        match (self.values == before, self.values.is_empty(), self.before) {
            (true, _, _) | (_, true, None) => None,
            (_, true, Some(set)) => Some(xml::SetChange::delete(set)),
            _ => Some(xml::SetChange::upsert(Set::new(&self.name, self.kind, self.ttl, self.values))),
        }
    }
}

/// As a zone file has it, with Amazon's octal escapes.
fn caa(property: &Property) -> String {
    let mut value = String::new();
    for byte in &property.value {
        match byte {
            b'"' | b'\\' => value.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => value.push(char::from(*byte)),
            _ => value.push_str(&format!("\\{byte:03o}")),
        }
    }
    format!("{} {} \"{value}\"", property.flags, property.tag)
}

impl Zone for Route53 {
    fn origin(&self) -> &DomainName {
        &self.origin
    }

    fn nameservers(&self) -> &[SocketAddr] {
        &self.nameservers
    }

    fn apply<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<(), DnsError>> {
        self.change(changes).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g12_secret_of_an_access_key_never_shows() {
        let key = AccessKey::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n").unwrap();
        assert_eq!(format!("{key:?}"), "AccessKey(AKIDEXAMPLE)");
        for (id, secret) in [("", "a"), ("a", ""), ("a b", "a"), ("a", "a\r\nb")] {
            assert_eq!(AccessKey::new(id, secret).unwrap_err(), AccessKeyError);
        }
    }

    #[test]
    fn caa_value_cannot_leave_its_quotes() {
        let value = b"ca.example\" 0 iodef \\\n".to_vec();
        let property = Property { flags: 128, tag: "issue".to_owned(), value };
        assert_eq!(caa(&property), "128 issue \"ca.example\\\" 0 iodef \\\\\\012\"");
    }
}
