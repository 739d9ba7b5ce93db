// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/.dstack/app-info` and `/.dstack/acme-info`: the same, as upstream's tools read it.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use lru::LruCache;
use mandate_model::wire::upstream::{ACCOUNT, AcmeInfo, AppInfo, CERTIFICATE, QuotedKey, report_data};
use mandate_runtime::http::ApiError;
use p256::pkcs8::{LineEnding, der::pem::encode_string};
use rustls_pki_types::CertificateDer;
use tokio::sync::Mutex;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Agent, AgentError, Provenance, Shared, fresh};
use crate::certificates::Certificate;

/// What a quote is of does not change, but its platform's standing does.
const KEPT: Duration = Duration::from_secs(3_600);
/// How many keys are quoted. Each one costs a quote and its room, and anybody may ask: with thousands of domains one request
/// would keep the agent busy, and everybody else waiting, for minutes.
const QUOTED: usize = 64;

/// How many quotes are kept: those of one answer, and of the certificates that they follow.
const QUOTES: NonZeroUsize = NonZeroUsize::new(2 * QUOTED + 2).unwrap();

/// Quotes by report data, each until when it is given out. Whoever makes one holds the lock, so that nobody makes another.
#[derive(Debug)]
pub(super) struct Quotes(Mutex<LruCache<[u8; 64], (Duration, String)>>);

impl Default for Quotes {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(QUOTES)))
    }
}

impl Quotes {
    async fn of(&self, agent: &Agent, data: [u8; 64], now: Duration) -> Result<String, AgentError> {
        let mut kept = self.0.lock().await;
        if let Some((_, quote)) = kept.get(&data).filter(|(until, _)| now < *until) {
            return Ok(quote.clone());
        }
        let quote = agent.quote(data).await?;
        kept.put(data, (now.saturating_add(KEPT), quote.clone()));
        Ok(quote)
    }
}

pub(super) async fn app_info(State(provenance): Shared) -> Result<Response, ApiError> {
    let _turn = provenance.turn().await?;
    let info = match &provenance.origin.agent {
        Some(agent) => agent.info().await?,
        None => AppInfo::default(),
    };
    Ok(fresh(info))
}

pub(super) async fn acme_info(State(provenance): Shared) -> Result<Response, ApiError> {
    Ok(fresh(provenance.acme_info().await?))
}

impl Provenance {
    async fn acme_info(self: &Arc<Self>) -> Result<AcmeInfo, ApiError> {
        let _turn = self.turn().await?;
        let base = self.certificates.base(self.clock.unix());
        let domains = self.certificates.all();
        let all: Vec<&Certificate> = base.iter().chain(domains.iter().map(|s| &s.certificate)).collect();
        let account_uri = all.first().map(|c| c.issued().account_uri.clone()).unwrap_or_default();
        let mut info = AcmeInfo {
            account_quote: self.quote(ACCOUNT, account_uri.as_bytes()).await?,
            account_uri,
            active_cert: base.as_ref().map(pem).unwrap_or_default(),
            base_domain: self.base.to_string(),
            ..AcmeInfo::default()
        };
        for spki in all.iter().filter_map(|certificate| spki(certificate)).take(QUOTED) {
            let (public_key, quote) = (hex::encode(&spki), self.quote(CERTIFICATE, &spki).await?);
            info.hist_keys.push(public_key.clone());
            info.quoted_hist_keys.push(QuotedKey { public_key, quote });
        }
        Ok(info)
    }

    /// Empty with development keys, which no evidence vouches for, and of nothing.
    async fn quote(&self, tag: &str, content: &[u8]) -> Result<String, ApiError> {
        match &self.origin.agent {
            Some(agent) if !content.is_empty() => {
                Ok(self.quotes.of(agent, report_data(tag, content), self.clock.monotonic()).await?)
            }
            _ => Ok(String::new()),
        }
    }
}

fn leaf(certificate: &Certificate) -> Option<&CertificateDer<'static>> {
    certificate.issued().chain.first()
}

fn spki(certificate: &Certificate) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(leaf(certificate)?).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

fn pem(certificate: &Certificate) -> String {
    let encode = |der: &CertificateDer<'_>| {
        // Fails on labels alone.
        encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default()
    };
    certificate.issued().chain.iter().map(encode).collect()
}
