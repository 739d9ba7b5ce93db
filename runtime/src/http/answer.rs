// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers as every service gives them: JSON, and `{"error": "…"}` when it is not a success.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header, request::Parts};
use serde::{Serialize, de::DeserializeOwned};

/// An answer that is not a success. Its text reaches the caller: what was wrong, what to do, never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    error: String,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// Any status with a text.
    pub fn new(status: StatusCode, error: impl Display) -> Self {
        Self { status, error: error.to_string(), retry_after: None }
    }

    /// Says when to come back, in a `Retry-After` header of whole seconds.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// 400: the request itself is wrong.
    pub fn bad_request(error: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 403: understood and refused.
    pub fn forbidden(error: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    /// 404: no such thing.
    pub fn not_found(error: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 409: it contradicts what is there.
    pub fn conflict(error: impl Display) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// 413: larger than the cap.
    pub fn too_large(error: impl Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    }

    /// 429: a cap on number or rate is reached.
    pub fn too_many(error: impl Display) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, error)
    }

    /// 502: somebody whom this service asked failed.
    pub fn bad_gateway(error: impl Display) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, error)
    }

    /// 503: not now; try again.
    pub fn unavailable(error: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// 500: a defect here. The cause is logged and not told.
    pub fn internal(cause: impl Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the service's log says more")
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.as_u16(), self.error)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(serde_json::json!({ "error": self.error }));
        match self.retry_after {
            Some(wait) => {
                let seconds = wait.as_secs_f64().ceil().max(1.0);
                (self.status, [(header::RETRY_AFTER, seconds.to_string())], body).into_response()
            }
            None => (self.status, body).into_response(),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

/// A JSON body, in and out. As an extractor it refuses malformed bodies with an [`ApiError`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(body) = Json::<T>::from_request(request, state).await?;
        Ok(Self(body))
    }
}

impl<T: Serialize> IntoResponse for ApiJson<T> {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

/// The query of a URL. Refuses a malformed one with an [`ApiError`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|e| ApiError::new(e.status(), e.body_text()))
    }
}

/// The variable parts of a URL's path. Refuses malformed ones with an [`ApiError`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ApiPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path)).map_err(|e| ApiError::new(e.status(), e.body_text()))
    }
}
