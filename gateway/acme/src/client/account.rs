// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The account at the authority. Its key derives from the gateway app's secret.

use std::fmt;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{Request, Response, header::CONTENT_TYPE};
use instant_acme::{Account, BodyWrapper, Error, Key};
use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer},
    elliptic_curve::sec1::ToEncodedPoint,
    pkcs8::DecodePrivateKey,
};
use rustls_pki_types::PrivateKeyDer;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use super::{ACCOUNT_KEY, AcmeIssuer, P256, Problem};
use crate::{issuer::IssueError, keys::P256Key};

/// RFC 8555, section 6.7.
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// An account that the authority's operator knows (RFC 8555, section 7.3.4).
#[derive(Clone)]
pub struct ExternalAccount {
    key_id: String,
    key: Zeroizing<Vec<u8>>,
}

/// Why an external account cannot be used. It holds nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
pub enum ExternalAccountError {
    /// No id.
    #[error("the key's id is empty")]
    Id,
    /// Not base64.
    #[error("the key is not base64, as authorities hand it out")]
    Key,
}

impl ExternalAccount {
    /// From what the authority handed out: an id, and a key in base64, in either alphabet.
    ///
    /// # Errors
    /// When it is not that.
    pub fn new(key_id: String, key: &str) -> Result<Self, ExternalAccountError> {
        let text = key.trim();
        let key = BASE64_URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .or_else(|_| BASE64_STANDARD.decode(text));
        let key =
            key.map(Zeroizing::new).ok().filter(|key| !key.is_empty()).ok_or(ExternalAccountError::Key)?;
        if key_id.is_empty() { Err(ExternalAccountError::Id) } else { Ok(Self { key_id, key }) }
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternalAccount({})", self.key_id)
    }
}

impl AcmeIssuer {
    /// The account, made at the authority on first use. Asking for it with the same key again gives the same account.
    pub(super) async fn account(&self) -> Result<Account, Problem> {
        let mut account = self.account.lock().await;
        if let Some(account) = account.as_ref() {
            return Ok(account.clone());
        }
        let material = self.keys.key(ACCOUNT_KEY, P256).await.map_err(IssueError::Key)?;
        let key = P256Key::derive(&material).map_err(IssueError::Key)?;
        let new = match &self.config.external_account {
            None => self.with_key(&key, false).await?,
            Some(external) => match self.with_key(&key, true).await {
                Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT) => {
                    self.register(&key, external).await?;
                    self.with_key(&key, true).await?
                }
                known => known?,
            },
        };
        tracing::info!(account = new.id(), directory = self.config.directory, "ACME account is there");
        *account = Some(new.clone());
        Ok(new)
    }

    async fn with_key(&self, key: &P256Key, existing: bool) -> Result<Account, Error> {
        let pair = (Key::from_pkcs8_der(key.pkcs8())?, PrivateKeyDer::Pkcs8(key.pkcs8().clone_key()));
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        let directory = self.config.directory.clone();
        let (account, _) = match existing {
            true => builder.from_key(pair, directory).await?,
            false => builder.create_from_key(pair, directory).await?,
        };
        Ok(account)
    }

    /// Registers the key under an external account. The library binds only keys that it makes itself, and this one derives.
    async fn register(&self, key: &P256Key, external: &ExternalAccount) -> Result<(), Error> {
        let directory: Directory = serde_json::from_slice(self.get(&self.config.directory).await?.body())?;
        let nonce = self.get(&directory.new_nonce).await?;
        let nonce = nonce.headers().get("replay-nonce").and_then(|value| value.to_str().ok());
        let body = registration(key, external, &directory.new_account, nonce.ok_or(Error::Str("a nonce"))?)?;
        let request = Request::post(&directory.new_account).header(CONTENT_TYPE, "application/jose+json");
        let answer = self.http.whole(request.body(BodyWrapper::from(body))?).await?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(Error::Api(serde_json::from_slice(answer.body())?)),
        }
    }

    async fn get(&self, url: &str) -> Result<Response<Bytes>, Error> {
        self.http.whole(Request::get(url).body(BodyWrapper::default())?).await
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    new_nonce: String,
    new_account: String,
}

/// A request for an account (RFC 8555, section 7.3) with a binding in it (section 7.3.4): the account's public key, signed
/// with the external account's key, all of it signed with the account's key.
fn registration(key: &P256Key, external: &ExternalAccount, url: &str, nonce: &str) -> Result<Vec<u8>, Error> {
    let secret = SecretKey::from_pkcs8_der(key.pkcs8().secret_pkcs8_der()).map_err(|_| Error::KeyRejected)?;
    let jwk = jwk(&secret).ok_or(Error::KeyRejected)?;
    let mac = Hmac::<Sha256>::new_from_slice(&external.key).map_err(|_| Error::Crypto)?;
    let header = json!({ "alg": "HS256", "kid": external.key_id, "url": url });
    let binding =
        jws(&header, &jwk, |signed| mac.clone().chain_update(signed).finalize().into_bytes().to_vec());
    let signer = SigningKey::from(&secret);
    let header = json!({ "alg": "ES256", "jwk": jwk, "nonce": nonce, "url": url });
    let payload = json!({ "termsOfServiceAgreed": true, "externalAccountBinding": binding });
    let sign = |signed: &[u8]| {
        let signature: Signature = signer.sign(signed);
        signature.to_bytes().to_vec()
    };
    Ok(jws(&header, &payload, sign).to_string().into_bytes())
}

fn jwk(secret: &SecretKey) -> Option<Value> {
    let point = secret.public_key().to_encoded_point(false);
    let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(point.x()?), BASE64_URL_SAFE_NO_PAD.encode(point.y()?));
    Some(json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y }))
}

/// Flattened JSON (RFC 7515, section 7.2.2), the one form that ACME takes.
fn jws(header: &Value, payload: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Value {
    let protected = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
    let payload = BASE64_URL_SAFE_NO_PAD.encode(payload.to_string());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(format!("{protected}.{payload}").as_bytes()));
    json!({ "protected": protected, "payload": payload, "signature": signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g12_external_key_never_shows() {
        let account = ExternalAccount::new(
            "kid-1".to_owned(),
            "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
        )
        .unwrap();
        assert_eq!(format!("{account:?}"), "ExternalAccount(kid-1)");
    }

    #[test]
    fn key_is_read_in_both_alphabets_of_base64() {
        let key = |text| ExternalAccount::new("kid".to_owned(), text).map(|account| account.key.to_vec());
        assert_eq!(key("-_-_").unwrap(), key("+/+/").unwrap());
        assert_eq!(key("YQ==\n").unwrap(), b"a");
        assert_eq!(key("YQ").unwrap(), b"a");
        assert_eq!(
            (key(""), key("not it")),
            (Err(ExternalAccountError::Key), Err(ExternalAccountError::Key))
        );
        assert_eq!(ExternalAccount::new(String::new(), "YQ").unwrap_err(), ExternalAccountError::Id);
    }
}
