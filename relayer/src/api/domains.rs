// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /v1/domains`: approved domains, from the folded state.

use alloy::primitives::{Address, B256};
use axum::extract::State;
use mandate_model::state::Domain;
use mandate_runtime::http::{ApiJson, ApiQuery};
use serde::{Deserialize, Serialize};

use super::{
    Answer, Api, Shared,
    page::{self, Interrupted, Page, Reading},
};

/// A domain that an app may serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainView {
    /// The name.
    pub name: String,
    /// keccak256 of the name, by which pages are ordered.
    pub domain_hash: B256,
    /// The app that may serve it.
    pub app: Address,
    /// Since when, Unix seconds.
    pub approved_at: u64,
    /// Who issues, for CAA; empty before it is pinned.
    pub issuer: String,
    /// The ACME account, for CAA.
    pub account_uri: String,
    /// How many certificates were recorded since the approval.
    pub certificates: u64,
    /// The newest of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate: Option<CertificateView>,
}

/// A recorded certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// SHA-256 of its DER.
    pub fingerprint: B256,
    /// SHA-256 of its SPKI.
    pub spki_hash: B256,
    /// End of its validity, Unix seconds.
    pub not_after: u64,
    /// When it was recorded, Unix seconds.
    pub recorded_at: u64,
}

impl DomainView {
    fn of(domain_hash: B256, domain: Domain) -> Self {
        let newest = domain.certificates.last().map(|certificate| CertificateView {
            fingerprint: certificate.fingerprint,
            spki_hash: certificate.spki_hash,
            not_after: certificate.not_after,
            recorded_at: certificate.recorded_at,
        });
        Self {
            name: domain.name,
            domain_hash,
            app: domain.app,
            approved_at: domain.approved_at,
            issuer: domain.issuer,
            account_uri: domain.account_uri,
            certificates: domain.certificates.len() as u64,
            certificate: newest,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainsQuery {
    app: Option<Address>,
    name: Option<String>,
    after: Option<B256>,
    limit: Option<u32>,
}

pub(super) async fn domains(
    State(api): Shared,
    ApiQuery(query): ApiQuery<DomainsQuery>,
) -> Answer<Page<DomainView>> {
    let limit = page::limit(query.limit)?;
    let (api, query) = (&*api, &query);
    page::of_one_block(move || domains_page(api, query, limit)).await.map(ApiJson)
}

async fn domains_page(
    api: &Api,
    query: &DomainsQuery,
    limit: usize,
) -> Result<Page<DomainView>, Interrupted> {
    let mut reading = Reading::default();
    let many = u32::try_from(page::SCAN).unwrap_or(u32::MAX).saturating_add(1);
    let found = reading.take(api.store.folded_domains(query.after, many).await?)?;
    let (mut items, mut last, mut next) = (Vec::new(), None, None);
    for (seen, (hash, domain)) in found.into_iter().enumerate() {
        if items.len() == limit || seen == page::SCAN {
            next = last.map(|hash: B256| hash.to_string());
            break;
        }
        last = Some(hash);
        if query.app.is_none_or(|app| domain.app == app)
            && query.name.as_ref().is_none_or(|name| domain.name == *name)
        {
            items.push(DomainView::of(hash, domain));
        }
    }
    Ok(Page { block: reading.block()?, items, next })
}
