// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a gateway of upstream dstack answers at `/.dstack/app-info` and `/.dstack/acme-info`, for the tools that read it.
//! Byte strings are hex without prefix; what this version does not have is an empty text.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};

/// The gateway's own app, as its guest agent tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppInfo {
    /// The app.
    pub app_id: String,
    /// The instance.
    pub instance_id: String,
    /// PEM of the app's CA.
    pub app_cert: String,
    /// A JSON text: registers, event log, app-compose.json.
    pub tcb_info: String,
    /// The app's name.
    pub app_name: String,
    /// The device.
    pub device_id: String,
    /// Digest of all measurements.
    pub mr_aggregated: String,
    /// The OS image.
    pub os_image_hash: String,
    /// As the OS recorded it.
    pub key_provider_info: String,
    /// The code.
    pub compose_hash: String,
    /// The host's configuration of the machine.
    pub vm_config: String,
}

/// The gateway's ACME account and its certificate keys, each with a quote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeInfo {
    /// The account.
    pub account_uri: String,
    /// The keys of `quoted_hist_keys`.
    pub hist_keys: Vec<String>,
    /// A quote whose report data is [`report_data`] of [`ACCOUNT`] and the account's URI: a JSON text, as the agent gives it.
    pub account_quote: String,
    /// The keys of certificates that are served: of the gateway's own names first, then of the first domains by name. Not of
    /// all: of each domain tells `/.well-known/mandate/domain/NAME`.
    pub quoted_hist_keys: Vec<QuotedKey>,
    /// PEM of the certificate of the gateway's own names.
    pub active_cert: String,
    /// Under which apps and instances are reached by id.
    pub base_domain: String,
}

/// A certificate key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotedKey {
    /// DER of its SubjectPublicKeyInfo.
    pub public_key: String,
    /// A quote whose report data is [`report_data`] of [`CERTIFICATE`] and the key's DER, likewise.
    pub quote: String,
}

/// The tag of an account's URI.
pub const ACCOUNT: &str = "acme-account";
/// The tag of a certificate key.
pub const CERTIFICATE: &str = "zt-cert";

/// Upstream's report data: SHA-512(tag ‖ ":" ‖ content).
pub fn report_data(tag: &str, content: &[u8]) -> [u8; 64] {
    Sha512::new().chain_update(tag).chain_update(b":").chain_update(content).finalize().into()
}
