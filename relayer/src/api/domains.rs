// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /v1/domains?offset=N&limit=N`: the registry at head.

use alloy::primitives::{Address, B256, U256};
use axum::extract::{Query, State};
use mandate_model::bindings::{Domain, DomainRegistry};
use mandate_runtime::http::{ApiError, ApiJson};
use serde::{Deserialize, Serialize};

use super::{Answer, Shared};

const MOST: u64 = 100;

/// A domain as the registry holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainView {
    /// The name.
    pub name: String,
    /// The app that may serve it.
    pub app: Address,
    /// Unix seconds.
    pub approved_at: u64,
    /// Who issues, for CAA.
    pub issuer: String,
    /// The ACME account, for CAA.
    pub account_uri: String,
    /// SHA-256 of the recorded certificate; zero for none.
    pub certificate: B256,
    /// SHA-256 of its SPKI.
    pub spki_hash: B256,
    /// End of its validity, Unix seconds.
    pub not_after: u64,
}

impl From<Domain> for DomainView {
    fn from(domain: Domain) -> Self {
        Self {
            name: domain.name,
            app: domain.app,
            approved_at: domain.approvedAt.to(),
            issuer: domain.issuer,
            account_uri: domain.accountUri,
            certificate: domain.certificate,
            spki_hash: domain.spkiHash,
            not_after: domain.notAfter.to(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    offset: u64,
    limit: Option<u64>,
}

pub(super) async fn domains(State(api): Shared, Query(page): Query<Page>) -> Answer<Vec<DomainView>> {
    let limit = U256::from(page.limit.unwrap_or(MOST).min(MOST));
    let registry = DomainRegistry::new(api.contracts.domain_registry, &api.provider);
    let found = registry.domains(U256::from(page.offset), limit).call().await;
    let found = found.map_err(|e| ApiError::bad_gateway(api.redact.text(e)))?;
    Ok(ApiJson(found.page.into_iter().map(DomainView::from).collect()))
}
