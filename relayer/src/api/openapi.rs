// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /openapi.json`: the document beside this crate's manifest. Written by hand, since most of its types are those of
//! `mandate_model::wire`, which know nothing of it; the tests hold it against the routes, and `script/check-api` against the
//! answers of a running relayer.

use axum::{http::header, response::IntoResponse};

/// OpenAPI 3.1.
pub(super) const DOCUMENT: &str = include_str!("../../openapi.json");

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
