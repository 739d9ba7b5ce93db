// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate verify evidence`: what a guest's evidence proves, and what the contracts say of it on proven state.

use std::time::Duration;

use alloy::{hex, transports::http::reqwest};
use mandate_attestation::{Evidence, MAX_EVIDENCE, Verified};
use mandate_model::{
    Outcome, Reason,
    bindings::KmsAuth,
    boot,
    wire::{
        gateway::{Proof, RegisterRequest},
        kms::ReleaseRequest,
    },
};
use mandate_runtime::{Clock, clock::SystemClock};
use mandate_witness::{At, HeaderError, Undecided};
use serde_json::{Value, json};

use super::{
    judged::{self, read_capped},
    proven::Proven,
};
use crate::{
    args::VerifyEvidenceArgs,
    connection::shown,
    context::{ConfigFile, Context},
    error::{CliError, Result},
    output,
    replay::Check,
};

/// The largest file or answer that may hold evidence: twice its bytes in hex, and a request around it.
const MAX_INPUT: usize = 2 * MAX_EVIDENCE + 64 * 1024;

/// How long a server may take to give evidence.
const PATIENCE: Duration = Duration::from_secs(30);

/// Evidence as it was given, and what it must bind where that is known.
struct Given {
    evidence: Vec<u8>,
    report_data: Option<[u8; 64]>,
    /// What the report data is of.
    binds: &'static str,
}

pub(crate) async fn run(context: &Context<'_>, args: &VerifyEvidenceArgs) -> Result<()> {
    let file = ConfigFile::load(&context.global.config)?;
    let verifier = judged::verifier(&args.trust)?;
    let mut given = read(&load(&args.evidence).await?)?;
    if let Some(report_data) = &args.report_data {
        given.report_data = Some(fixed(report_data)?);
        given.binds = "the report data that was given";
    }
    let evidence = Evidence::decode(&given.evidence)
        .map_err(|e| CliError::data(format!("{} holds no evidence: {e}", printed(&args.evidence))))?;
    // What nobody told us, the evidence says itself: it may have been made for anybody.
    let own = given.report_data.is_none();
    let report_data = match given.report_data.or_else(|| reported(&evidence)) {
        Some(report_data) => report_data,
        None => return Err(CliError::data("--report-data: this kind of evidence needs it")),
    };
    let now = SystemClock::new().unix();
    let mut checks = vec![Check {
        check: "binding",
        found: if own {
            "not checked: it may have been made for somebody else; --report-data checks it".to_owned()
        } else {
            format!("the evidence must bind {}", given.binds)
        },
    }];
    let verified = verifier.verify(&evidence, now, &report_data);
    let (outcome, mut shown) = match verified {
        Err(e) => (Outcome::Denied { reason: Reason::Evidence(e.to_string()) }, json!({})),
        Ok(verified) => {
            checks.push(Check { check: "evidence", found: format!("verifies at {now}") });
            ask(context, args, &file, &verified, &mut checks).await?
        }
    };
    if let Value::Object(map) = &mut shown {
        map.insert("outcome".into(), judged::word(&outcome).into());
        map.insert("reason".into(), outcome.to_string().into());
        map.insert("explained".into(), judged::explain(&outcome).into());
        map.insert("anchors".into(), judged::anchors_word(verifier.anchors()).into());
        map.insert("checks".into(), json!(checks));
        if let Outcome::Allowed { valid_until } = outcome {
            map.insert("validUntil".into(), valid_until.into());
        }
        if let Outcome::Denied { reason: Reason::Policy(reason) } = &outcome {
            map.insert("reasonCode".into(), (*reason as u8).into());
        }
    }
    output::print(context.format(), "", &shown, Some(now))
        .map_err(|e| CliError::unavailable(format!("cannot write to stdout: {e}")))?;
    judged::end(&outcome)
}

/// The contracts' word on what was verified, at a finalised block.
async fn ask(
    context: &Context<'_>,
    args: &VerifyEvidenceArgs,
    file: &ConfigFile,
    verified: &Verified,
    checks: &mut Vec<Check>,
) -> Result<(Outcome, Value)> {
    let request = mandate_kms::boot::boot_request(verified, args.generation);
    let facts = judged::facts(&request);
    let proven = Proven::connect(context, file, &args.endpoints, args.quorum).await?;
    let call = KmsAuth::decideCall { request: request.clone() };
    match proven.read(file.deployment.kms_auth, &call, At::Finalized).await {
        Ok(read) => {
            let outcome = boot::outcome(&read.value);
            let proof = read.execution.witness().map(|witness| witness.encode().len()).unwrap_or_default();
            checks.push(Check {
                check: "decide",
                found: format!(
                    "KmsAuth {} at finalised block {}, on {proof} bytes of proof",
                    file.deployment.kms_auth, read.block.number
                ),
            });
            let shown = json!({
                "facts": facts,
                "block": read.block.number,
                "blockHash": read.block.hash,
                "blockTime": read.timestamp,
            });
            Ok((outcome, shown))
        }
        Err(Undecided::Header(HeaderError::NoQuorum { reports, .. })) => Err(CliError::unavailable(format!(
            "no finalised block that enough endpoints vouch for: {}",
            reports.join("; ")
        ))),
        Err(why) => {
            checks.push(Check { check: "decide", found: why.to_string() });
            Ok((Outcome::Undecided { why: why.to_string() }, json!({ "facts": facts })))
        }
    }
}

/// A file's bytes, or what a server answers.
async fn load(from: &str) -> Result<Vec<u8>> {
    if !["http://", "https://"].iter().any(|scheme| from.starts_with(scheme)) {
        return read_capped(from.as_ref(), MAX_INPUT);
    }
    let asked = async {
        let mut answer = reqwest::get(from).await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_INPUT {
                break;
            }
        }
        Ok::<_, reqwest::Error>(bytes)
    };
    let unreachable = |why: String| CliError::unavailable(format!("{}: {why}", shown(from)));
    let bytes = tokio::time::timeout(PATIENCE, asked)
        .await
        .map_err(|_| unreachable(format!("nothing within {} s", PATIENCE.as_secs())))?
        .map_err(|e| unreachable(e.without_url().to_string()))?;
    match bytes.len() {
        n if n > MAX_INPUT => Err(CliError::data(format!("{}: more than {MAX_INPUT} bytes", shown(from)))),
        _ => Ok(bytes),
    }
}

/// Evidence as a guest encodes it, in hex, or in a request to a node or gateway, which also says what it must bind.
fn read(input: &[u8]) -> Result<Given> {
    let text = std::str::from_utf8(input).map(str::trim).unwrap_or_default();
    if let Ok(request) = serde_json::from_str::<ReleaseRequest>(text) {
        let report_data = Some(request.report_data());
        return Ok(Given { evidence: request.evidence.to_vec(), report_data, binds: "the release request" });
    }
    if let Ok(request) = serde_json::from_str::<RegisterRequest>(text) {
        let report_data = Some(request.report_data());
        let Proof::Evidence(evidence) = request.proof else {
            return Err(CliError::data("this registration holds the committee's statement and no evidence"));
        };
        return Ok(Given { evidence: evidence.to_vec(), report_data, binds: "the instance's TLS key" });
    }
    let evidence = match hex::decode(text.trim_matches('"')) {
        Ok(bytes) if !text.is_empty() => bytes,
        _ => input.to_vec(),
    };
    Ok(Given { evidence, report_data: None, binds: "" })
}

fn fixed(report_data: &str) -> Result<[u8; 64]> {
    let bytes = hex::decode(report_data).map_err(|e| CliError::data(format!("--report-data: {e}")))?;
    bytes.try_into().map_err(|_| CliError::data("--report-data: must be 64 bytes in hex"))
}

/// The report data that the evidence itself carries.
fn reported(evidence: &Evidence) -> Option<[u8; 64]> {
    /// Where a TDX quote's body is, and its report data in the body.
    const REPORT_DATA: usize = 520;
    let Evidence::Tdx(tdx) = evidence else { return None };
    let version = u16::from_le_bytes(*tdx.quote.first_chunk()?);
    // Version 5 has the kind and length of the body before it.
    let body = 48 + if version == 5 { 6 } else { 0 };
    tdx.quote.get(body + REPORT_DATA..)?.first_chunk().copied()
}

fn printed(from: &str) -> String {
    if from.contains("://") { shown(from) } else { from.to_owned() }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};
    use mandate_attestation::dev_pki::{DevGuest, DevPki, QuoteVersion};

    use super::*;

    const NOW: u64 = 1_790_000_000;

    #[test]
    fn evidence_is_read_from_bytes_hex_and_requests() {
        let pki = DevPki::from_seed([3; 32]);
        let guest = DevGuest::new(Address::repeat_byte(1), B256::repeat_byte(2));
        let bytes = pki.evidence(&guest, [5; 64], NOW).encode();
        let hex = hex::encode_prefixed(&bytes);
        for input in [bytes.clone(), hex.clone().into_bytes(), format!("\"{hex}\"\n").into_bytes()] {
            let given = read(&input).unwrap();
            assert_eq!((given.evidence == bytes, given.report_data), (true, None));
        }
        let request = RegisterRequest {
            proof: bytes.clone().into(),
            spki: vec![1].into(),
            upstream: "a:1".into(),
            domains: Vec::new(),
            certificates: Vec::new(),
        };
        let given = read(&serde_json::to_vec(&request).unwrap()).unwrap();
        assert_eq!((given.evidence == bytes, given.report_data), (true, Some(request.report_data())));
    }

    #[test]
    fn report_data_is_found_in_quotes_of_both_versions() {
        let pki = DevPki::from_seed([3; 32]);
        for version in [QuoteVersion::V4, QuoteVersion::V5] {
            let mut guest = DevGuest::new(Address::repeat_byte(1), B256::repeat_byte(2));
            guest.quote_version = version;
            let evidence = pki.evidence(&guest, [5; 64], NOW);
            assert_eq!(reported(&evidence), Some([5; 64]));
        }
    }
}
