// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a PCCS over this PKI answers.

use super::{DevPki, certs::FMSPC};

/// An answer of status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PccsAnswer {
    /// The header with the issuer's chain, URL-encoded.
    pub header: Option<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl DevPki {
    /// The answer to a GET of this path and query at `now`; none stands for 404.
    pub fn pccs_answer(&self, path_and_query: &str, now: u64) -> Option<PccsAnswer> {
        let collateral = self.current_collateral(now);
        let chain = |name, chain: &str| Some((name, urlencoding::encode(chain).into_owned()));
        let signed = |name: &str, text: &str, signature: &[u8]| {
            format!(r#"{{"{name}":{text},"signature":"{}"}}"#, hex::encode(signature)).into_bytes()
        };
        let tcb = format!("/tdx/certification/v4/tcb?fmspc={}", hex::encode_upper(FMSPC));
        let (header, body) = match path_and_query {
            "/sgx/certification/v4/rootcacrl" => (None, hex::encode(&collateral.root_ca_crl).into_bytes()),
            "/sgx/certification/v4/pckcrl?ca=platform&encoding=der" => {
                (chain("SGX-PCK-CRL-Issuer-Chain", &collateral.pck_crl_issuer_chain), collateral.pck_crl)
            }
            "/tdx/certification/v4/qe/identity" => (
                chain("SGX-Enclave-Identity-Issuer-Chain", &collateral.qe_identity_issuer_chain),
                signed("enclaveIdentity", &collateral.qe_identity, &collateral.qe_identity_signature),
            ),
            path if path == tcb => (
                chain("TCB-Info-Issuer-Chain", &collateral.tcb_info_issuer_chain),
                signed("tcbInfo", &collateral.tcb_info, &collateral.tcb_info_signature),
            ),
            _ => return None,
        };
        Some(PccsAnswer { header, body })
    }
}
