// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `Evidence`: what `GetQuote` gives, whole. A quote alone lacks the collateral and the image manifest that a verifier of
//! this deployment needs, and only TDX has one.

use axum::extract::State;
use bytes::Bytes;
use mandate_runtime::http::ApiJson;
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, GetQuote, parse, quote::report_data};

/// Fresh evidence. It is asked for as a quote is, with a [`GetQuote`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvidenceAnswer {
    /// `mandate_attestation::Evidence`, encoded, in hex.
    pub evidence: String,
    /// The 64 bytes that it binds, in hex.
    pub report_data: String,
}

pub(super) async fn handle(State(agent): Ask, body: Bytes) -> Answer<EvidenceAnswer> {
    let wish: GetQuote = parse(&body)?;
    let report_data = report_data(&wish.report_data)?;
    let evidence = agent.evidence(report_data).await?;
    Ok(ApiJson(EvidenceAnswer {
        evidence: hex::encode(evidence.encode()),
        report_data: hex::encode(report_data),
    }))
}
