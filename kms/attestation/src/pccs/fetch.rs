// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The four requests to a PCCS.

use std::{fmt::Debug, sync::Arc};

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CollateralError, Platform, shortened};
use crate::evidence::{Collateral, cap};

/// Around TCB info and QE identity there are a field's name and a signature in hex.
const WRAPPING: usize = 1024;
/// A CRL may come in hex.
const MAX_CRL_BODY: usize = 2 * cap::CRL;

/// An HTTP answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers with text values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// How requests are sent.
pub trait Http: Send + Sync + Debug {
    /// One GET. Reads at most `max_body` bytes, follows no redirect, and gives up after a while; the error is for people.
    fn get<'a>(&'a self, url: &'a str, max_body: usize) -> BoxFuture<'a, Result<Answer, String>>;
}

/// A PCCS.
#[derive(Debug)]
pub(super) struct Service {
    base: String,
    root_crl: String,
    http: Arc<dyn Http>,
}

impl Service {
    pub(super) fn new(
        url: &str,
        root_crl: Option<&str>,
        http: Arc<dyn Http>,
    ) -> Result<Self, CollateralError> {
        let base = url.trim_end_matches('/');
        let base = base.trim_end_matches("/sgx/certification/v4").trim_end_matches("/tdx/certification/v4");
        check_url(base)?;
        let root_crl =
            root_crl.map_or_else(|| format!("{base}/sgx/certification/v4/rootcacrl"), str::to_owned);
        check_url(&root_crl)?;
        Ok(Self { base: base.to_owned(), root_crl, http })
    }

    pub(super) async fn fetch(&self, platform: Platform) -> Result<Collateral, CollateralError> {
        let Self { base, .. } = self;
        let Platform { fmspc, ca } = platform;
        let fmspc = hex::encode_upper(fmspc);
        let pck_crl = format!("{base}/sgx/certification/v4/pckcrl?ca={ca}&encoding=der");
        let tcb = format!("{base}/tdx/certification/v4/tcb?fmspc={fmspc}");
        let identity = format!("{base}/tdx/certification/v4/qe/identity");
        let (pck_crl, tcb, identity, root_crl) = futures::try_join!(
            self.get(&pck_crl, MAX_CRL_BODY),
            self.get(&tcb, cap::TCB_INFO + WRAPPING),
            self.get(&identity, cap::QE_IDENTITY + WRAPPING),
            self.get(&self.root_crl, MAX_CRL_BODY),
        )?;
        let tcb_signed = tcb.signed()?;
        let identity_signed = identity.signed()?;
        check_family(&tcb, &tcb_signed.text, &fmspc)?;
        let collateral = Collateral {
            pck_crl_issuer_chain: pck_crl.chain(&["SGX-PCK-CRL-Issuer-Chain"])?,
            root_ca_crl: root_crl.crl()?,
            pck_crl: pck_crl.crl()?,
            tcb_info_issuer_chain: tcb.chain(&["TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"])?,
            tcb_info: tcb_signed.text,
            tcb_info_signature: tcb_signed.signature,
            qe_identity_issuer_chain: identity.chain(&["SGX-Enclave-Identity-Issuer-Chain"])?,
            qe_identity: identity_signed.text,
            qe_identity_signature: identity_signed.signature,
            pck_certificate_chain: String::new(),
        };
        collateral.check_caps().map_err(|e| tcb.malformed(&e))?;
        Ok(collateral)
    }

    async fn get(&self, url: &str, max_body: usize) -> Result<Fetched, CollateralError> {
        let answer = self.http.get(url, max_body).await;
        let answer = answer
            .map_err(|what| CollateralError::Unreachable { url: url.to_owned(), what: shortened(&what) })?;
        match answer.status {
            200 => Ok(Fetched { url: url.to_owned(), answer }),
            status => Err(CollateralError::Status { url: url.to_owned(), status }),
        }
    }
}

fn check_url(url: &str) -> Result<(), CollateralError> {
    let bad = |what| Err(CollateralError::Url { url: url.to_owned(), what });
    match url.split_once("://") {
        Some(("http" | "https", rest)) if rest.contains(['?', '#', '@']) => {
            bad("it must have no query, fragment or user")
        }
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(()),
        _ => bad("it must begin with http:// or https://"),
    }
}

/// TCB info of another family would be refused by whoever verifies; here the service can be named.
fn check_family(fetched: &Fetched, tcb_info: &str, fmspc: &str) -> Result<(), CollateralError> {
    #[derive(Deserialize)]
    struct Family {
        fmspc: String,
    }
    let got: Family = serde_json::from_str(tcb_info).map_err(|e| fetched.malformed(&e))?;
    match got.fmspc.eq_ignore_ascii_case(fmspc) {
        true => Ok(()),
        false => {
            Err(fetched.malformed(&format_args!("it is of platform family {}, {fmspc} was asked", got.fmspc)))
        }
    }
}

/// A good answer and where it came from.
struct Fetched {
    url: String,
    answer: Answer,
}

/// A signed JSON text, byte for byte as it was signed.
struct Signed {
    text: String,
    signature: Vec<u8>,
}

impl Fetched {
    fn malformed(&self, what: &dyn std::fmt::Display) -> CollateralError {
        CollateralError::Malformed { url: self.url.clone(), what: shortened(what) }
    }

    /// A PEM chain, which services put into a header, URL-encoded.
    fn chain(&self, names: &[&str]) -> Result<String, CollateralError> {
        let header = names.iter().find_map(|name| self.answer.header(name));
        let header =
            header.ok_or_else(|| self.malformed(&format_args!("no header {}", names.join(" or "))))?;
        Ok(urlencoding::decode(header).map_err(|e| self.malformed(&e))?.into_owned())
    }

    /// DER, or DER in hex, as Intel's reference service answers. No DER of a CRL is all hex digits.
    fn crl(&self) -> Result<Vec<u8>, CollateralError> {
        let body = self.answer.body.trim_ascii();
        match body.iter().all(u8::is_ascii_hexdigit) {
            true => hex::decode(body).map_err(|e| self.malformed(&e)),
            false => Ok(self.answer.body.clone()),
        }
    }

    fn signed(&self) -> Result<Signed, CollateralError> {
        #[derive(Deserialize)]
        struct Wrapped<'a> {
            #[serde(borrow, alias = "tcbInfo", alias = "enclaveIdentity")]
            body: &'a RawValue,
            signature: &'a str,
        }
        let wrapped: Wrapped<'_> =
            serde_json::from_slice(&self.answer.body).map_err(|e| self.malformed(&e))?;
        let signature = hex::decode(wrapped.signature).map_err(|e| self.malformed(&e))?;
        Ok(Signed { text: wrapped.body.get().to_owned(), signature })
    }
}
