// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Zones at Cloudflare (API v4). All changes of one call are one batch, which is one transaction there; on its way to the
//! name servers each record travels by itself, so CAA is replaced in two steps: see [`Zone::replaces_at_once`].

use std::{fmt, net::SocketAddr};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{
    HeaderValue, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::Full;
use mandate_runtime::Ambient;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::{
    Change, DnsError, Zone,
    api::{Api, Endpoint, is_id},
    parents,
};
use crate::{caa::Property, name::DomainName};

const PROVIDER: &str = "Cloudflare";
const API: &str = "https://api.cloudflare.com/client/v4";
const CAA_TTL: u32 = 300;
/// The least that it takes.
const TXT_TTL: u32 = 60;
const PER_PAGE: usize = 100;
/// Pages of records of one name and type that are read; what has more is no name of ours.
const MAX_PAGES: usize = 5;

/// Why a token is none. It holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an API token consists of letters, digits, `-` and `_`")]
pub struct TokenError;

/// An API token.
#[derive(Clone)]
pub struct CloudflareToken(Zeroizing<String>);

impl CloudflareToken {
    /// From its text.
    ///
    /// # Errors
    /// When it can be no token.
    pub fn new(token: &str) -> Result<Self, TokenError> {
        let token = token.trim();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        match !token.is_empty() && token.bytes().all(fits) {
            true => Ok(Self(Zeroizing::new(token.to_owned()))),
            false => Err(TokenError),
        }
    }

    fn header(&self) -> Result<HeaderValue, TokenError> {
        let text = Zeroizing::new(format!("Bearer {}", self.0.as_str()));
        let mut value = HeaderValue::from_str(&text).map_err(|_| TokenError)?;
        // hyper's own copy is not wiped; marked so, it is at least never shown.
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for CloudflareToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CloudflareToken(..)")
    }
}

/// A zone at Cloudflare, or a part of one.
#[derive(Debug)]
pub struct Cloudflare {
    origin: DomainName,
    nameservers: Vec<SocketAddr>,
    token: CloudflareToken,
    api: Api,
    zone: OnceCell<String>,
}

/// What every answer is wrapped into.
#[derive(Debug, Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<Complaint>,
    result: Option<T>,
    #[serde(default)]
    result_info: Option<Pages>,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    code: i64,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Pages {
    #[serde(default)]
    total_pages: usize,
}

#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Record {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    data: Option<Caa>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Caa {
    flags: u8,
    tag: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct Post {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    ttl: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Caa>,
}

#[derive(Debug, Serialize)]
struct Id {
    id: String,
}

#[derive(Debug, Default, Serialize)]
struct Batch {
    deletes: Vec<Id>,
    posts: Vec<Post>,
}

/// Reads a list of records as the client does: for the fuzzer.
pub(super) fn parse_records(answer: &[u8]) -> Option<usize> {
    let read: Envelope<Vec<Record>> = serde_json::from_slice(answer).ok()?;
    Some(read.result?.iter().filter(|record| record.caa().is_some() || record.txt().is_some()).count())
}

impl Record {
    fn caa(&self) -> Option<Property> {
        let data = self.data.as_ref().filter(|_| self.kind == "CAA")?;
        Some(Property { flags: data.flags, tag: data.tag.clone(), value: data.value.clone().into_bytes() })
    }

    /// Quoted as in a zone file, or as it is: records that were made long ago are not quoted.
    fn txt(&self) -> Option<&str> {
        let text = Some(self.content.as_str()).filter(|_| self.kind == "TXT")?;
        Some(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text))
    }
}

impl Cloudflare {
    /// The zone is `zone_id`, or else the one that `origin` lies in. `nameservers` are found by its NS records when there are
    /// none. Nothing is contacted yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        origin: DomainName,
        nameservers: Vec<SocketAddr>,
        token: CloudflareToken,
        zone_id: Option<String>,
        endpoint: Option<Endpoint>,
        ambient: &Ambient,
    ) -> Result<Self, rustls::Error> {
        let api = Api::new(PROVIDER, Endpoint::or(endpoint, API), ambient)?;
        Ok(Self { origin, nameservers, token, api, zone: OnceCell::new_with(zone_id) })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Envelope<T>, DnsError> {
        let token = self.token.header().map_err(|e| self.api.wrong(e))?;
        let request = Request::builder().method(method).uri(self.api.url(path));
        let request = request.header(AUTHORIZATION, token).header(CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(Bytes::from(body))).map_err(|e| self.api.wrong(e))?;
        let answer = self.api.send(request).await?;
        let (status, body) = (answer.status(), answer.into_body());
        match serde_json::from_slice::<Envelope<T>>(&body) {
            Ok(read) if status.is_success() && read.success => Ok(read),
            Ok(read) => Err(self.api.refusal(status, &complaints(&read.errors))),
            Err(_) if !status.is_success() => Err(self.api.refusal(status, "not in the API's own words")),
            Err(error) => Err(self.api.wrong(format!("an answer that is none of the API: {error}"))),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Envelope<T>, DnsError> {
        self.call(Method::GET, path, Vec::new()).await
    }

    /// The innermost zone that the origin lies in.
    async fn zone(&self) -> Result<&str, DnsError> {
        let found = self.zone.get_or_try_init(|| async {
            for candidate in parents(&self.origin) {
                let zones: Envelope<Vec<Listed>> = self.get(&format!("/zones?name={candidate}")).await?;
                let mut zones = zones.result.unwrap_or_default().into_iter();
                // Whatever else it answers is no zone of ours.
                if let Some(zone) = zones.find(|zone| zone.name == candidate && is_id(&zone.id)) {
                    return Ok(zone.id);
                }
            }
            Err(DnsError::NoZone { provider: PROVIDER, origin: self.origin.clone() })
        });
        let id = found.await?;
        if is_id(id) { Ok(id) } else { Err(self.api.wrong("the zone's id is none")) }
    }

    /// All records of one name and type.
    async fn records(&self, name: &str, kind: &str) -> Result<Vec<Record>, DnsError> {
        let zone = self.zone().await?;
        let mut all: Vec<Record> = Vec::new();
        for page in 1..=MAX_PAGES {
            let query = format!("type={kind}&name.exact={name}&per_page={PER_PAGE}&page={page}");
            let read: Envelope<Vec<Record>> = self.get(&format!("/zones/{zone}/dns_records?{query}")).await?;
            let pages = read.result_info.map_or(1, |info| info.total_pages);
            all.extend(read.result.ok_or_else(|| self.api.wrong("an answer without a result"))?);
            let ours = |record: &Record| record.name == name && record.kind == kind && is_id(&record.id);
            if !all.iter().all(ours) {
                return Err(self.api.wrong(format!("asked about {name}, it answers about others")));
            }
            if page >= pages {
                return Ok(all);
            }
        }
        Err(self.api.wrong(format!("more than {} records of {name}", MAX_PAGES * PER_PAGE)))
    }

    async fn plan(&self, changes: &[Change]) -> Result<Batch, DnsError> {
        let mut batch = Batch::default();
        for change in changes {
            match change {
                Change::AddCaa(name, wanted) => self.plan_caa(&mut batch, name, wanted, false).await?,
                Change::ReplaceCaa(name, wanted) => self.plan_caa(&mut batch, name, wanted, true).await?,
                Change::AddChallenge(name, value) => {
                    let name = format!("_acme-challenge.{name}");
                    let there = self.records(&name, "TXT").await?;
                    if !there.iter().any(|record| record.txt() == Some(value)) {
                        let content = Some(format!("\"{value}\""));
                        batch.posts.push(Post { name, kind: "TXT", ttl: TXT_TTL, content, data: None });
                    }
                }
                Change::RemoveChallenge(name, value) => {
                    let there = self.records(&format!("_acme-challenge.{name}"), "TXT").await?;
                    let away = there.into_iter().filter(|record| record.txt() == Some(value));
                    batch.deletes.extend(away.map(|record| Id { id: record.id }));
                }
            }
        }
        Ok(batch)
    }

    async fn plan_caa(
        &self,
        batch: &mut Batch,
        name: &DomainName,
        wanted: &[Property],
        alone: bool,
    ) -> Result<(), DnsError> {
        let there = self.records(name.as_str(), "CAA").await?;
        for property in wanted {
            if there.iter().any(|record| record.caa().as_ref() == Some(property)) {
                continue;
            }
            let value = String::from_utf8(property.value.clone());
            let value = value.map_err(|_| DnsError::Encode(format!("{name}: {property}")))?;
            let data = Some(Caa { flags: property.flags, tag: property.tag.clone(), value });
            let name = name.to_string();
            batch.posts.push(Post { name, kind: "CAA", ttl: CAA_TTL, content: None, data });
        }
        let unwanted = |record: &Record| record.caa().is_none_or(|caa| !wanted.contains(&caa));
        if alone {
            let away = there.into_iter().filter(unwanted);
            batch.deletes.extend(away.map(|record| Id { id: record.id }));
        }
        Ok(())
    }

    async fn change(&self, changes: &[Change]) -> Result<(), DnsError> {
        let batch = self.plan(changes).await?;
        if batch.deletes.is_empty() && batch.posts.is_empty() {
            return Ok(());
        }
        let body = serde_json::to_vec(&batch).map_err(|e| DnsError::Encode(e.to_string()))?;
        let path = format!("/zones/{}/dns_records/batch", self.zone().await?);
        let _: Envelope<serde_json::Value> = self.call(Method::POST, &path, body).await?;
        Ok(())
    }
}

impl Zone for Cloudflare {
    fn origin(&self) -> &DomainName {
        &self.origin
    }

    fn nameservers(&self) -> &[SocketAddr] {
        &self.nameservers
    }

    fn replaces_at_once(&self) -> bool {
        false
    }

    fn apply<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<(), DnsError>> {
        self.change(changes).boxed()
    }
}

fn complaints(errors: &[Complaint]) -> String {
    let one = |error: &Complaint| format!("{} ({})", error.message, error.code);
    errors.iter().take(4).map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g12_token_never_shows() {
        let token = CloudflareToken::new("Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY\n").unwrap();
        assert_eq!(format!("{token:?}"), "CloudflareToken(..)");
        assert!(!format!("{:?}", token.header().unwrap()).contains("Sn3l"));
        for bad in ["", "two words", "line\r\nbreak", "\u{7f}"] {
            assert_eq!(CloudflareToken::new(bad).unwrap_err(), TokenError);
        }
    }
}
