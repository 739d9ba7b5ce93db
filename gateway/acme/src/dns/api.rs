// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTP to a DNS provider's API: one request with a deadline, a cap on the answer and no redirects, so that credentials go
//! to the configured host and nowhere else.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode, Uri,
    header::{RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use mandate_runtime::{Ambient, Clock, causes, clock::within};
use serde::Deserialize;
use thiserror::Error;

use super::DnsError;
use crate::http::{Connector, is_loopback, parse_retry_after, public_roots};

/// How long one exchange may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Far above any answer that is asked for.
const MAX_ANSWER: usize = 1 << 20;
/// How long to wait when a provider had enough and does not say.
const RATE_LIMIT: Duration = Duration::from_secs(60);
/// How much of a provider's words is shown.
const MAX_SHOWN: usize = 300;
/// The longest id of a zone or record.
const MAX_ID: usize = 64;
const AGENT: &str = concat!("mandate/", env!("CARGO_PKG_VERSION"));

/// Where an API is: `https`, or `http` at a loopback address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(String);

/// Why a URL is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "an API's endpoint is an https:// URL (http:// at a loopback address) without user, query or fragment"
)]
pub struct EndpointError;

impl Endpoint {
    pub(super) fn or(this: Option<Self>, default: &'static str) -> Self {
        this.unwrap_or_else(|| Self(default.to_owned()))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        let uri: Uri = text.parse().map_err(|_| EndpointError)?;
        let host = uri.host().ok_or(EndpointError)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback(host),
            _ => false,
        };
        let plain = !text.contains(['@', '?', '#']);
        match secure && plain {
            true => Ok(Self(text.trim_end_matches('/').to_owned())),
            false => Err(EndpointError),
        }
    }
}

/// A provider's API.
pub(super) struct Api {
    pub(super) provider: &'static str,
    endpoint: Endpoint,
    client: Client<Connector, Full<Bytes>>,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({})", self.endpoint.0)
    }
}

impl Api {
    pub(super) fn new(
        provider: &'static str,
        endpoint: Endpoint,
        ambient: &Ambient,
    ) -> Result<Self, rustls::Error> {
        let connector =
            Connector::new(Arc::new(public_roots()), Arc::clone(&ambient.net))?.plain_at_loopback();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { provider, endpoint, client, clock: Arc::clone(&ambient.clock) })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint.0)
    }

    /// Something is wrong with an answer, or there is none. Nothing is known then.
    pub(super) fn wrong(&self, what: impl fmt::Display) -> DnsError {
        DnsError::Provider { provider: self.provider, what: shown(&what.to_string()) }
    }

    /// What the status says by itself, with the provider's own words.
    pub(super) fn refusal(&self, status: StatusCode, what: &str) -> DnsError {
        let (provider, what) = (self.provider, shown(what));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                DnsError::Credentials { provider, status: status.as_u16(), what }
            }
            _ => self.wrong(format!("{status}: {what}")),
        }
    }

    /// That it had enough.
    pub(super) fn limited(&self, after: Option<Duration>) -> DnsError {
        DnsError::RateLimited { provider: self.provider, after: after.unwrap_or(RATE_LIMIT) }
    }

    /// The whole answer. What is no answer of the API itself is an error: that it had enough, a redirect.
    pub(super) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>, DnsError> {
        request.headers_mut().insert(USER_AGENT, http::HeaderValue::from_static(AGENT));
        let whole = within(self.clock.as_ref(), TIMEOUT, self.exchange(request)).await;
        let answer =
            whole.ok_or_else(|| self.wrong(format!("no answer within {}s", TIMEOUT.as_secs())))??;
        let status = answer.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let text = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = text.and_then(|text| parse_retry_after(text, self.clock.unix_time()));
            return Err(self.limited(after));
        }
        if status.is_redirection() {
            return Err(self.wrong(format!("{status}: redirects are not followed; set the endpoint")));
        }
        Ok(answer)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, DnsError> {
        let answer = self.client.request(request).await.map_err(|e| self.wrong(causes(&e)))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|e| match e.is::<LengthLimitError>() {
            true => self.wrong(format!("an answer of more than {MAX_ANSWER} bytes")),
            false => self.wrong(e),
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

/// A provider's words, without what could move a terminal's cursor or begin a line of a log.
fn shown(text: &str) -> String {
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(MAX_SHOWN).map(harmless).collect()
}

/// Whether a text may become part of a URL's path: an id from an answer or from the configuration.
pub(super) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_endpoint_that_would_show_the_key_around_is_refused() {
        let read = |text: &str| Endpoint::try_from(text.to_owned());
        for good in ["https://api.example/v4/", "http://127.0.0.1:81", "http://[::1]:81/a"] {
            assert_eq!(read(good).unwrap().0, good.trim_end_matches('/'));
        }
        for bad in [
            "http://api.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "https://u:p@api.example",
            "https://api.example/?a=b",
            "ftp://127.0.0.1",
            "/a",
            "",
        ] {
            assert_eq!(read(bad), Err(EndpointError), "{bad}");
        }
    }

    #[test]
    fn attack_control_characters_of_a_provider_are_not_shown() {
        let words = shown(&format!("no\u{1b}[2J\r\nERROR root login{}", "x".repeat(9_000)));
        assert!(words.chars().all(|c| !c.is_control()) && words.chars().count() == MAX_SHOWN, "{words:?}");
    }

    #[test]
    fn attack_id_that_leads_elsewhere_is_none() {
        for bad in ["", "../user/tokens", "a/b", "a?b", "a b", &"a".repeat(65), "ä"] {
            assert!(!is_id(bad), "{bad}");
        }
        assert!(is_id("023e105f4ecef8ad9ca31a8372d0c353") && is_id("Z2ABCDEF"));
    }
}
