// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Giving an instance a route: evidence or the committee's word on it first, then the policy at finalised state and at the newest.

use std::{sync::Arc, time::Duration};

use alloy::primitives::Address;
use mandate_acme::{
    certificate::CertificateError,
    name::{DomainName, NameError},
};
use mandate_attestation::{Evidence, MAX_EVIDENCE, Verified, Verifier};
use mandate_model::{
    Outcome, Reason,
    wire::gateway::{IssuedCertificate, Proof, RegisterRequest, RegisterResponse},
};
use mandate_runtime::Clock;
use thiserror::Error;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};

use crate::{
    chain::{At, Chain, Verdict, decide_grant},
    facts::Facts,
    name::{IdName, Mode},
    revocation::Revocations,
    routes::{Candidate, Route, RouteError, Routes, Term},
    upstream::{Upstream, UpstreamError},
};

mod certificates;
mod stated;
mod turns;

pub use stated::Believed;
use stated::MAX_BOOT_REQUEST;
pub use turns::Turns;

/// The largest public key that is accepted: a little more than RSA 8192.
const MAX_SPKI: usize = 2 << 10;
const HTTPS: u16 = 443;
/// Domains whose TLS one instance may end.
const MAX_DOMAINS: usize = 16;

/// Why a request to register is no such thing. What the evidence or the policy says is an [`Outcome`] instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// More evidence than is read.
    #[error("evidence is larger than {MAX_EVIDENCE} bytes")]
    EvidenceTooLarge,
    /// More than any node finds in evidence.
    #[error("statement: bootRequest is larger than {MAX_BOOT_REQUEST} bytes")]
    StatementTooLarge,
    /// Not a public key.
    #[error("spki is not the DER of one SubjectPublicKeyInfo of at most {MAX_SPKI} bytes")]
    Spki,
    /// Not a place.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Not a domain that an app can have.
    #[error("domains: {0}")]
    Domain(#[from] NameError),
    /// A name that belongs to the gateway.
    #[error("domains: {0} lies under the gateway's base domain")]
    Base(DomainName),
    /// More domains than one instance may end the TLS of.
    #[error("domains: more than {MAX_DOMAINS}")]
    TooManyDomains,
    /// A certificate for something that is not among the domains, or a second one.
    #[error("certificates: {name:?} is none of the domains, or there twice")]
    Unasked {
        /// As given, cut.
        name: String,
    },
    /// Not a certificate for its domain alone.
    #[error("certificates: {name}: {source}")]
    Certificate {
        /// The domain.
        name: DomainName,
        /// What is wrong.
        source: CertificateError,
    },
    /// More than the registry takes.
    #[error("certificates: issuer and account of {0} have at most 512 bytes, and the issuer at least one")]
    Text(DomainName),
}

/// Decides about routes.
#[derive(Debug)]
pub struct Admission {
    /// The policy.
    pub chain: Arc<dyn Chain>,
    /// Who believes evidence.
    pub verifier: Verifier,
    /// Whose committee's statements are believed.
    pub believed: Believed,
    /// The routes.
    pub routes: Arc<Routes>,
    /// Who watches them.
    pub revocations: Arc<Revocations>,
    /// Which instance obtains a domain's first certificate.
    pub turns: Turns,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// For how long a registration holds.
    pub lease: Duration,
    /// Under which the names lie.
    pub base: DomainName,
}

impl Admission {
    /// Makes a route exactly when the outcome is `Allowed` (G-1).
    ///
    /// # Errors
    /// When the request is malformed.
    pub async fn register(&self, request: &RegisterRequest) -> Result<RegisterResponse, RegisterError> {
        let upstream = Upstream::try_from(request.upstream.as_str())?;
        let domains = parse_domains(&request.domains, &self.base)?;
        let presented = certificates::read(&request.certificates, &domains, self.clock.unix())?;
        check_spki(&request.spki)?;
        check_proof(&request.proof)?;
        let until = ends(&request.proof);
        let facts = match self.prove(request).await {
            Ok(facts) => facts,
            Err(outcome) => return Ok(answer(self.lease(until), None, outcome)),
        };
        let ingress = match self.own_domains(facts.app, domains).await {
            Ok(ingress) => ingress,
            Err(outcome) => return Ok(answer(self.lease(until), None, outcome)),
        };
        let (app, instance) = (facts.app, facts.instance);
        let certificates = presented.into_iter().map(|presented| Arc::new(presented.of(app))).collect();
        let (spki, names) = (request.spki.to_vec(), ingress.clone());
        let candidate = Candidate { facts, spki, upstream, ingress, certificates };
        let (outcome, ids) = self.admit(candidate, until).await;
        let mut answer = answer(self.lease(until), ids, outcome);
        if matches!(answer.outcome, Outcome::Allowed { .. }) {
            answer.certificates = self.shared(&names, app);
            answer.elsewhere = self.elsewhere(names, &answer.certificates, app, instance);
        }
        Ok(answer)
    }

    /// For how long a registration made now holds whose proof ends then.
    fn lease(&self, until: u64) -> Duration {
        self.lease.min(Duration::from_secs(until.saturating_sub(self.clock.unix())))
    }

    /// What is proved of the instance, by whichever proof.
    async fn prove(&self, request: &RegisterRequest) -> Result<Facts, Outcome> {
        match &request.proof {
            Proof::Evidence(evidence) => {
                let verified = self.verify(evidence, &request.report_data());
                verified.map(|verified| Facts::from(&verified)).map_err(|reason| Outcome::Denied { reason })
            }
            Proof::Statement(signed) => {
                stated::verify(&*self.chain, &self.believed, request, signed, self.clock.unix()).await
            }
        }
    }

    /// What the instances that end the TLS of `name` themselves serve it with: none when no instance does, and nothing in it
    /// while they have no certificate.
    pub fn led_to_instances(&self, name: &str) -> Option<Option<IssuedCertificate>> {
        let name = DomainName::try_from(name).ok()?;
        let now = self.clock.monotonic();
        let app = self.routes.ingress(&name, now).first()?.facts.app;
        let newest = self.routes.newest(&name, app, now, self.clock.unix());
        Some(newest.map(|reported| reported.record.clone()))
    }

    /// The domains whose TLS the instance wants to end itself must be its app's, by finalised state and still by the newest.
    async fn own_domains(&self, app: Address, domains: Vec<DomainName>) -> Result<Vec<DomainName>, Outcome> {
        for name in &domains {
            for at in [At::Finalized, At::Head] {
                let holder = self.chain.app_of(name, at).await;
                let holder = holder.map_err(|undecided| Outcome::Undecided { why: undecided.to_string() })?;
                if holder.app != Some(app) {
                    let block = holder.block.number;
                    let reason = format!("{name} is not approved for app {app} at block {block} ({at:?})");
                    return Err(Outcome::Denied { reason: Reason::Request(reason) });
                }
            }
        }
        Ok(domains)
    }

    /// The evidence must bind the TLS key: otherwise anybody could register a key of his own with an instance's evidence.
    fn verify(&self, evidence: &[u8], report_data: &[u8; 64]) -> Result<Verified, Reason> {
        let refused = |e: mandate_attestation::EvidenceError| Reason::Evidence(e.to_string());
        let evidence = Evidence::decode(evidence).map_err(refused)?;
        self.verifier.verify(&evidence, self.clock.unix(), report_data).map_err(refused)
    }

    async fn admit(&self, candidate: Candidate, until: u64) -> (Outcome, Option<Vec<String>>) {
        let seen = self.revocations.notices();
        let verdict = decide_grant(self.chain.as_ref(), &candidate.facts).await;
        log(&candidate, &verdict);
        let Verdict::Allowed { remaining, .. } = verdict else { return (verdict.outcome(), None) };
        let now = self.clock.monotonic();
        let term =
            Term { lease: now.saturating_add(self.lease(until)), allowed: now.saturating_add(remaining) };
        let names = self.names(&candidate.facts);
        let route = match self.routes.insert(candidate, term) {
            Ok(route) => route,
            Err(error) => return (refusal(error), None),
        };
        match self.revoked_meanwhile(&route, seen).await {
            Some(denied) => (denied, None),
            None => (verdict.outcome(), Some(names)),
        }
    }

    /// A notice that came between the decision and the route's entry into the table did not find the route there.
    async fn revoked_meanwhile(&self, route: &Route, seen: u64) -> Option<Outcome> {
        if self.revocations.notices() == seen {
            return None;
        }
        let verdict = self.chain.decide(&route.facts, At::Head).await;
        if matches!(verdict, Verdict::Allowed { .. }) {
            return None;
        }
        self.routes.remove(route.id);
        Some(verdict.outcome())
    }

    fn names(&self, facts: &Facts) -> Vec<String> {
        let name = |id| IdName { id, port: HTTPS, mode: Mode::Passthrough }.under(&self.base);
        vec![name(facts.app), name(facts.instance)]
    }
}

fn answer(lease: Duration, names: Option<Vec<String>>, outcome: Outcome) -> RegisterResponse {
    let label = match &outcome {
        Outcome::Allowed { .. } => "allowed",
        Outcome::Denied { .. } => "denied",
        Outcome::Undecided { .. } => "undecided",
    };
    metrics::counter!("mandate_gateway_registrations_total", "outcome" => label).increment(1);
    let names = names.unwrap_or_default();
    RegisterResponse {
        outcome,
        names,
        lease: lease.as_secs(),
        certificates: Vec::new(),
        elsewhere: Vec::new(),
    }
}

/// When a proof ends, Unix seconds. Evidence is looked at here and now, and does not by itself.
fn ends(proof: &Proof) -> u64 {
    match proof {
        Proof::Evidence(_) => u64::MAX,
        Proof::Statement(signed) => signed.until,
    }
}

fn check_proof(proof: &Proof) -> Result<(), RegisterError> {
    match proof {
        Proof::Evidence(evidence) if evidence.len() > MAX_EVIDENCE => Err(RegisterError::EvidenceTooLarge),
        Proof::Statement(signed) if signed.boot_request.len() > MAX_BOOT_REQUEST => {
            Err(RegisterError::StatementTooLarge)
        }
        _ => Ok(()),
    }
}

fn parse_domains(texts: &[String], base: &DomainName) -> Result<Vec<DomainName>, RegisterError> {
    if texts.len() > MAX_DOMAINS {
        return Err(RegisterError::TooManyDomains);
    }
    let mut domains =
        texts.iter().map(|text| DomainName::try_from(text.as_str())).collect::<Result<Vec<_>, _>>()?;
    domains.sort();
    domains.dedup();
    match domains.iter().find(|name| name.is_within(base)) {
        Some(name) => Err(RegisterError::Base(name.clone())),
        None => Ok(domains),
    }
}

fn check_spki(spki: &[u8]) -> Result<(), RegisterError> {
    match SubjectPublicKeyInfo::from_der(spki) {
        Ok((rest, _)) if rest.is_empty() && spki.len() <= MAX_SPKI => Ok(()),
        _ => Err(RegisterError::Spki),
    }
}

/// A full table says nothing about the instance; a claimed id does.
fn refusal(error: RouteError) -> Outcome {
    match error {
        RouteError::Full => Outcome::Undecided { why: error.to_string() },
        RouteError::InstanceTaken { .. } | RouteError::InstanceIsAnApp { .. } => {
            Outcome::Denied { reason: Reason::Request(error.to_string()) }
        }
    }
}

fn log(candidate: &Candidate, verdict: &Verdict) {
    let Facts { app, instance, code_hash, .. } = &candidate.facts;
    let (block, outcome) = (verdict.block().map(|b| b.number), verdict.outcome());
    tracing::info!(%app, %instance, code = %code_hash, upstream = %candidate.upstream, block, %outcome, "registration");
}
