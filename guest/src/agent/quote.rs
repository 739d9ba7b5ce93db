// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GetQuote`.

use axum::extract::State;
use bytes::Bytes;
use mandate_attestation::Evidence;
use mandate_runtime::http::{ApiError, ApiJson};
use serde::{Deserialize, Serialize};

use super::{Agent, Answer, Ask, parse};
use crate::describe::LoggedEvent;

/// Asks for a quote.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GetQuote {
    /// Up to 64 bytes in hex; shorter ones are filled up with zeros on the right, as upstream's agent does.
    pub report_data: String,
}

/// The quote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetQuoteAnswer {
    /// Hex.
    pub quote: String,
    /// A JSON text: the events.
    pub event_log: String,
    /// The 64 bytes that the quote carries, in hex.
    pub report_data: String,
    /// Empty: this agent knows nothing of the host's configuration.
    pub vm_config: String,
}

pub(super) async fn handle(State(agent): Ask, body: Bytes) -> Answer<GetQuoteAnswer> {
    let wish: GetQuote = parse(&body)?;
    let report_data = report_data(&wish.report_data)?;
    let (quote, event_log) = agent.quote(report_data).await?;
    Ok(ApiJson(GetQuoteAnswer {
        quote: hex::encode(quote),
        event_log,
        report_data: hex::encode(report_data),
        vm_config: String::new(),
    }))
}

impl Agent {
    /// A fresh quote and the event log as JSON text.
    pub(super) async fn quote(&self, report_data: [u8; 64]) -> Result<(Vec<u8>, String), ApiError> {
        upstreams_form(&self.evidence(report_data).await?)
    }

    /// Fresh evidence.
    pub(super) async fn evidence(&self, report_data: [u8; 64]) -> Result<Evidence, ApiError> {
        self.shared.quoter.evidence(report_data).await.map_err(ApiError::bad_gateway)
    }
}

/// The quote and the event log as JSON text.
pub(super) fn upstreams_form(evidence: &Evidence) -> Result<(Vec<u8>, String), ApiError> {
    match evidence {
        Evidence::Tdx(tdx) => {
            let events: Vec<LoggedEvent> = tdx.event_log.iter().map(LoggedEvent::from).collect();
            let events = serde_json::to_string(&events).map_err(ApiError::internal)?;
            Ok((tdx.quote.clone(), events))
        }
        _ => Err(ApiError::new(http::StatusCode::NOT_IMPLEMENTED, "quotes are given on Intel TDX only")),
    }
}

pub(super) fn report_data(text: &str) -> Result<[u8; 64], ApiError> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let bytes = hex::decode(text).map_err(|error| ApiError::bad_request(format!("report_data: {error}")))?;
    let mut out = [0; 64];
    match out.get_mut(..bytes.len()) {
        Some(start) if !bytes.is_empty() => start.copy_from_slice(&bytes),
        _ => return Err(ApiError::bad_request(format!("report_data: 1 to 64 bytes, not {}", bytes.len()))),
    }
    Ok(out)
}
