// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `mandate domain verify` decides, step by step, apart from how it gets what it decides on.
//!
//! ```text
//! TLS key ── provenance names it, with our nonce ── evidence binds that ── the code is one that the contracts allow
//!    └────── the registry has it, for this app ──── CAA lets only that account order ── logs have it, nobody has seen another
//! ```
//!
//! Each step says `ok`, `FAILED`, `undecided` or `skipped`, and why, in one sentence. A step that cannot be looked at is
//! never `ok`, and no step is left out because another one failed.

use std::fmt::Display;

use alloy::primitives::{Address, B256};
use mandate_acme::name::DomainName;
use mandate_attestation::{Evidence, Verified, Verifier};
use mandate_model::{
    Outcome,
    bindings::{Domain, DomainRegistry, KmsAuth},
    boot,
    deployment::Deployment,
    wire::provenance::{DomainProvenance, DomainStatement},
};
use mandate_threshold::{AppStatement, GROUP_KEY_LENGTH};
use serde::Serialize;

pub(crate) mod check;
mod connection;
mod own;
mod public;

use public::{Published, Relevant, caa, incidents, logged};

#[cfg(test)]
mod tests;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Standing {
    #[serde(rename = "ok")]
    Ok,
    #[serde(rename = "FAILED")]
    Failed,
    #[serde(rename = "undecided")]
    Undecided,
    #[serde(rename = "skipped")]
    Skipped,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// What was looked at.
    pub(crate) step: &'static str,
    /// How it ended.
    pub(crate) standing: Standing,
    /// One sentence.
    pub(crate) found: String,
}

impl Step {
    pub(crate) fn ok(step: &'static str, found: impl Display) -> Self {
        Self { step, standing: Standing::Ok, found: found.to_string() }
    }

    pub(crate) fn failed(step: &'static str, found: impl Display) -> Self {
        Self { step, standing: Standing::Failed, found: found.to_string() }
    }

    pub(crate) fn undecided(step: &'static str, found: impl Display) -> Self {
        Self { step, standing: Standing::Undecided, found: found.to_string() }
    }

    pub(crate) fn skipped(step: &'static str, found: impl Display) -> Self {
        Self { step, standing: Standing::Skipped, found: found.to_string() }
    }
}

/// Names of the steps, in their order.
pub(crate) mod step {
    pub(crate) const TLS: &str = "tls";
    pub(crate) const PROVENANCE: &str = "provenance";
    pub(crate) const EVIDENCE: &str = "evidence";
    pub(crate) const COMMITTEE: &str = "committee";
    pub(crate) const CODE: &str = "code";
    pub(crate) const REGISTRY: &str = "registry";
    pub(crate) const CAA: &str = "caa";
    pub(crate) const LOGGED: &str = "logged";
    pub(crate) const CT: &str = "ct";
}

/// What all steps come to: one that failed is a no, whatever else is not known. What was skipped lets nothing be said.
pub(crate) fn conclude(steps: &[Step]) -> Standing {
    let has = |standing| steps.iter().any(|step| step.standing == standing);
    match () {
        () if has(Standing::Failed) => Standing::Failed,
        () if has(Standing::Undecided) || has(Standing::Skipped) || steps.is_empty() => Standing::Undecided,
        () => Standing::Ok,
    }
}

/// The certificate that the site showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// SHA-256 of the certificate.
    pub(crate) fingerprint: B256,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub(crate) spki_hash: B256,
}

/// Whether the answer is about this site, this connection's key, this deployment and this question.
pub(crate) fn provenance(
    answer: &DomainStatement,
    name: &DomainName,
    shown: &Shown,
    nonce: B256,
    deployment: &Deployment,
) -> Step {
    let failed = |what: &str| Step::failed(step::PROVENANCE, what);
    if answer.domain != name.as_str() {
        return failed(&format!("the statement is about {:?}, not about {name}", answer.domain));
    }
    if answer.spki_hash != shown.spki_hash {
        return failed("the statement is about another key than the one that this connection has");
    }
    if answer.nonce != Some(nonce) {
        return failed("the statement does not carry our nonce: it was made for another question");
    }
    if answer.chain_id != deployment.chain_id
        || answer.kms_auth != deployment.kms_auth
        || answer.domain_registry != deployment.domain_registry
    {
        return failed("the statement is about another deployment than the config file's");
    }
    Step::ok(
        step::PROVENANCE,
        format!("a statement about {name}, this key and our nonce, for app {}", answer.app),
    )
}

/// Whether the evidence holds and was made for exactly this statement.
pub(crate) fn evidence(answer: &DomainProvenance, verifier: &Verifier, now: u64) -> (Step, Option<Verified>) {
    let failed = |what: String| (Step::failed(step::EVIDENCE, what), None);
    if answer.development {
        return failed("the gateway has development keys: nothing proves where its keys are".to_owned());
    }
    let Some(bytes) = &answer.evidence else {
        return failed("the answer has no evidence".to_owned());
    };
    let evidence = match Evidence::decode(bytes) {
        Ok(evidence) => evidence,
        Err(e) => return failed(format!("the answer holds no evidence: {e}")),
    };
    match verifier.verify(&evidence, now, &answer.statement.report_data()) {
        Err(e) => failed(format!("the evidence does not hold for this statement: {e}")),
        Ok(verified) => {
            let found = format!(
                "the evidence binds the statement and proves app {} with code {}",
                verified.app_id(),
                verified.compose_hash()
            );
            (Step::ok(step::EVIDENCE, found), Some(verified))
        }
    }
}

/// Whether the committee, by one of the group keys that the chain has, says that the key which signed the statement is that
/// of the app which the evidence proves.
pub(crate) fn committee(
    answer: &DomainProvenance,
    app: Address,
    deployment: &Deployment,
    group_keys: &[[u8; GROUP_KEY_LENGTH]],
) -> Step {
    let failed = |what: &str| Step::failed(step::COMMITTEE, what);
    let Some(keys) = &answer.keys else {
        return Step::undecided(
            step::COMMITTEE,
            "the answer has no word of the committee on the app's keys (yet)",
        );
    };
    if (keys.chain_id, keys.kms_auth, keys.app) != (deployment.chain_id, deployment.kms_auth, app) {
        return failed("the committee's word is about another app, or another deployment");
    }
    let statement = AppStatement {
        chain_id: keys.chain_id,
        kms_auth: keys.kms_auth.into_array(),
        app: keys.app.into_array(),
        generation: keys.generation,
        ca_spki_sha256: keys.ca_spki_hash.0,
        ethereum: keys.ethereum.into_array(),
    };
    if !group_keys.iter().any(|key| statement.verify(key, &keys.signature).is_ok()) {
        return failed("the word on the app's keys is not signed by the committee that the chain has");
    }
    let signed = answer.signature.as_ref().and_then(|signature| signature.app_key(&answer.statement));
    if signed != Some(keys.ethereum) {
        return failed("the statement is not signed by the key that the committee's word is about");
    }
    Step::ok(
        step::COMMITTEE,
        format!("the statement is signed under a key of app {app} that the committee vouches for"),
    )
}

/// What proven state says at a block: of the evidence's boot, and which app the gateways are.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) block: u64,
    pub(crate) gateway: Address,
    pub(crate) answer: KmsAuth::decideReturn,
}

/// What was read at finality and at the head, or why not.
pub(crate) type Twice<T> = Result<(T, T), String>;

/// Whether the code may end this domain's TLS: it is the gateways' or the app's own, and the contracts allow it, at finality
/// and still at the head (G-7).
pub(crate) fn code(verified: &Verified, statement: &DomainStatement, verdicts: &Twice<Verdict>) -> Step {
    let app = verified.app_id();
    let (finalized, head) = match verdicts {
        Err(why) => return Step::undecided(step::CODE, why),
        Ok((finalized, head)) => (finalized, head),
    };
    let of_gateway = [finalized, head].iter().all(|v| v.gateway == app && !app.is_zero());
    if !of_gateway && app != statement.app {
        let found = format!(
            "app {app} is neither the gateway app {} nor the domain's own app {}",
            head.gateway, statement.app
        );
        return Step::failed(step::CODE, found);
    }
    for (when, verdict) in [("finalised", finalized), ("newest", head)] {
        let block = verdict.block;
        match boot::outcome(&verdict.answer) {
            Outcome::Allowed { .. } => {}
            Outcome::Denied { reason } => {
                let found = format!("KmsAuth denies this code at the {when} block {block}: {reason}");
                return Step::failed(step::CODE, found);
            }
            Outcome::Undecided { why } => return Step::undecided(step::CODE, why),
        }
    }
    let whose = if of_gateway { "the gateway app's" } else { "the domain's own app's" };
    let (code, finalized, head) = (verified.compose_hash(), finalized.block, head.block);
    Step::ok(
        step::CODE,
        format!("{code} is {whose} code, and KmsAuth allows it at finalised block {finalized} and at {head}"),
    )
}

/// What the registry says at a block.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) block: u64,
    pub(crate) domain: Domain,
}

/// Whether the registry gives the domain to the app that is named, and has this very certificate and account. Without a
/// statement only what the connection showed is compared.
pub(crate) fn registry(
    name: &DomainName,
    shown: Option<&Shown>,
    statement: Option<&DomainStatement>,
    recorded: &Twice<Recorded>,
) -> Step {
    let failed = |what: String| Step::failed(step::REGISTRY, what);
    let undecided = |what: &str| Step::undecided(step::REGISTRY, what);
    let (finalized, head) = match recorded {
        Err(why) => return undecided(why),
        Ok((finalized, head)) => (&finalized.domain, &head.domain),
    };
    let block = recorded.as_ref().map_or(0, |(finalized, _)| finalized.block);
    if finalized.app.is_zero() || head.app != finalized.app {
        return failed(format!("{name} is approved for no app, or is being released or moved"));
    }
    if let Some(statement) = statement {
        if statement.app != finalized.app {
            return failed(format!("{name} belongs to app {}, not to {}", finalized.app, statement.app));
        }
        let pinned = (head.issuer.as_str(), head.accountUri.as_str());
        if pinned == ("", "") {
            return undecided("no account is pinned in the registry yet");
        }
        if pinned != (statement.issuer.as_str(), statement.account_uri.as_str()) {
            return failed(format!(
                "the registry pins account {:?} of {:?}, not the statement's",
                pinned.1, pinned.0
            ));
        }
    }
    let Some(shown) = shown else {
        return undecided("the site showed no certificate to compare with the record");
    };
    match (finalized, head) {
        (_, head) if head.certificate.is_zero() => undecided("no certificate is recorded yet"),
        (_, head) if head.spkiHash != shown.spki_hash => {
            failed("the recorded certificate has another key than the one that the site shows".to_owned())
        }
        (_, head) if head.certificate != shown.fingerprint => {
            undecided("the key is the recorded one, but this certificate is not recorded (yet)")
        }
        (finalized, _) if finalized.certificate != shown.fingerprint => {
            undecided("the certificate is recorded, but not finally yet")
        }
        _ => Step::ok(
            step::REGISTRY,
            format!(
                "{name} belongs to app {}, and this certificate and account are recorded, as of finalised block {block}",
                finalized.app
            ),
        ),
    }
}

/// What is read of the registry.
pub(crate) fn domain_call(name: &DomainName) -> DomainRegistry::domainCall {
    DomainRegistry::domainCall { name: name.to_string() }
}
