// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GetTlsKey`.

use axum::extract::State;
use bytes::Bytes;
use mandate_attestation::x509::report_data;
use mandate_runtime::http::{ApiError, ApiJson};
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, parse, quote::upstreams_form};
use crate::{
    certificate::{TlsKey, Wish},
    instance::CertificateError,
};

const MAX_NAMES: usize = 100;
const MAX_NAME: usize = 253;

/// Asks for a fresh TLS key with a certificate from the app's CA.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct GetTlsKey {
    /// Common name.
    pub subject: String,
    /// DNS names and IP addresses.
    pub alt_names: Vec<String>,
    /// Whether the certificate carries evidence that binds its key: a CMW, and upstream's quote and event log.
    pub usage_ra_tls: bool,
    /// For servers.
    pub usage_server_auth: bool,
    /// For clients.
    pub usage_client_auth: bool,
    /// Unix seconds.
    pub not_before: Option<u64>,
    /// Unix seconds. No certificate outlives the lease, whatever is asked.
    pub not_after: Option<u64>,
    /// Whether the certificate names the app.
    pub with_app_info: Option<bool>,
}

impl Default for GetTlsKey {
    fn default() -> Self {
        Self {
            subject: String::new(),
            alt_names: Vec::new(),
            usage_ra_tls: false,
            usage_server_auth: true,
            usage_client_auth: false,
            not_before: None,
            not_after: None,
            with_app_info: None,
        }
    }
}

/// Key and certificates.
#[derive(Clone, Serialize, Deserialize)]
pub struct GetTlsKeyAnswer {
    /// PKCS#8 PEM.
    pub key: String,
    /// PEM: the certificate, then the app's CA.
    pub certificate_chain: Vec<String>,
}

impl std::fmt::Debug for GetTlsKeyAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GetTlsKeyAnswer {{ certificate_chain: {:?}, .. }}", self.certificate_chain)
    }
}

pub(super) async fn handle(State(agent): Ask, body: Bytes) -> Answer<GetTlsKeyAnswer> {
    let wish: GetTlsKey = parse(&body)?;
    check(&wish)?;
    let held = agent.held()?;
    let ambient = &agent.shared.ambient;
    let key = TlsKey::generate(&*ambient.entropy).map_err(ApiError::internal)?;
    let evidence = match wish.usage_ra_tls {
        true => Some(agent.evidence(report_data(&key.spki().map_err(ApiError::internal)?)).await?),
        false => None,
    };
    let wish = Wish {
        subject: wish.subject,
        alt_names: wish.alt_names,
        server: wish.usage_server_auth,
        client: wish.usage_client_auth,
        not_before: wish.not_before,
        not_after: wish.not_after,
        latest: held.lease().until_unix,
        quote: evidence.as_ref().map(upstreams_form).transpose()?,
        evidence,
        app_id: wish.with_app_info.unwrap_or(wish.usage_ra_tls).then(|| held.app.to_vec()),
    };
    let certificate = held.authority.issue(&key, &wish, ambient.clock.unix()).map_err(refused)?;
    let key = key.pem().map_err(ApiError::internal)?;
    Ok(ApiJson(GetTlsKeyAnswer {
        key: key.to_string(),
        certificate_chain: vec![certificate, held.authority.pem()],
    }))
}

fn check(wish: &GetTlsKey) -> Result<(), ApiError> {
    if wish.alt_names.len() > MAX_NAMES {
        return Err(ApiError::bad_request(format!("alt_names: at most {MAX_NAMES}")));
    }
    if wish.alt_names.iter().chain([&wish.subject]).any(|name| name.len() > MAX_NAME) {
        return Err(ApiError::bad_request(format!("subject, alt_names: at most {MAX_NAME} bytes each")));
    }
    Ok(())
}

fn refused(error: CertificateError) -> ApiError {
    match error {
        CertificateError::Refused(_) => ApiError::bad_request(error),
        CertificateError::Key(_) => ApiError::internal(error),
    }
}
