// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fetches what the steps are decided on: from the site, from the chain with proof, from DNS.

use std::{net::SocketAddr, time::Duration};

use alloy::primitives::Address;
use alloy::sol_types::SolCall;
use mandate_acme::{dns::Dns, name::DomainName};
use mandate_attestation::{Verified, Verifier};
use mandate_model::{
    bindings::{DomainRegistry, KmsAuth, KmsCommittee},
    committee::group_keys,
    deployment::Deployment,
    wire::{BlockRef, provenance::DomainProvenance},
};
use mandate_runtime::{Ambient, entropy};
use mandate_threshold::GROUP_KEY_LENGTH;
use mandate_witness::{At, Read};
use rustls::pki_types::CertificateDer;

use super::{
    Published, Recorded, Relevant, Shown, Step, Twice, Verdict, caa, code, committee,
    connection::Unanswered,
    domain_call, evidence, incidents, logged,
    own::{gateways_own, is_gateways_own},
    provenance, registry, step,
};
use crate::{
    commands::proven::Proven,
    ct::{logs::Log, sct},
};

pub(crate) use super::connection::Site;

/// How long DNS may take.
const DNS_PATIENCE: Duration = Duration::from_secs(30);
/// How long a read of the chain may take.
const CHAIN_PATIENCE: Duration = Duration::from_secs(60);

/// By what a site is judged.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) deployment: &'a Deployment,
    pub(crate) proven: &'a Proven,
    pub(crate) verifier: &'a Verifier,
    /// Whom to ask for CAA records.
    pub(crate) resolvers: &'a [SocketAddr],
    pub(crate) logs: &'a Logs,
    pub(crate) ambient: &'a Ambient,
}

/// Whose word that they took a certificate counts.
#[derive(Debug)]
pub(crate) enum Logs {
    /// Those of a list.
    Known(Vec<Log>),
    /// Nobody named them.
    Unknown,
    /// The site has an authority of its own, whose certificates no public log takes: it is not looked for in any.
    Private,
}

/// What a connection showed.
#[derive(Default)]
struct Asked {
    shown: Option<Shown>,
    chain: Vec<CertificateDer<'static>>,
    answer: Option<DomainProvenance>,
}

impl Judge<'_> {
    /// Every step, in order. None is left out because of another.
    pub(crate) async fn check(&self, site: &Site) -> Vec<Step> {
        let mut steps = Vec::new();
        let Asked { shown, chain, answer } = self.ask(site, &mut steps).await;
        let verified = self.evidence(answer.as_ref(), &mut steps).await;
        let (code, by_gateway) = self.code(answer.as_ref(), verified.as_ref()).await;
        steps.push(code);
        let recorded = self.recorded(&site.name).await;
        let statement = answer.as_ref().map(|answer| &answer.statement);
        match statement
            .filter(|statement| is_gateways_own(by_gateway, statement, verified.as_ref(), &recorded))
        {
            Some(own) => {
                steps.push(gateways_own(&site.name, shown.as_ref(), own));
                steps.push(self.caa(&site.name, Ok((own.issuer.as_str(), own.account_uri.as_str()))).await);
            }
            None => {
                steps.push(registry(&site.name, shown.as_ref(), statement, &recorded));
                let pinned = recorded.as_ref().map_err(String::as_str).map(|(_, head)| &head.domain);
                let pinned = pinned.map(|domain| (domain.issuer.as_str(), domain.accountUri.as_str()));
                steps.push(self.caa(&site.name, pinned).await);
            }
        }
        steps.extend(self.logged(site, &chain));
        steps.push(incidents(&site.name, &self.open_incidents(&site.name).await));
        steps
    }

    async fn ask(&self, site: &Site, steps: &mut Vec<Step>) -> Asked {
        let connected = match site.connect().await {
            Ok(connected) => connected,
            Err(failed) => {
                steps.push(failed);
                steps.push(Step::skipped(step::PROVENANCE, "there is no connection to ask over"));
                return Asked::default();
            }
        };
        let (shown, chain) = (connected.shown, connected.chain.clone());
        steps.push(connected.step.clone());
        let nonce = entropy::bytes::<32>(self.ambient.entropy.as_ref()).into();
        let answer = match connected.provenance(site, nonce).await {
            Err(Unanswered::Refused(why)) => Err(Step::failed(step::PROVENANCE, why)),
            Err(Unanswered::Unknown(why)) => Err(Step::undecided(step::PROVENANCE, why)),
            Ok(answer) => Ok(answer),
        };
        steps.push(match &answer {
            Ok(answer) => provenance(&answer.statement, &site.name, &shown, nonce, self.deployment),
            Err(step) => step.clone(),
        });
        Asked { shown: Some(shown), chain, answer: answer.ok() }
    }

    /// Not a step for who trusts an authority of his own and names no logs.
    fn logged(&self, site: &Site, chain: &[CertificateDer<'static>]) -> Option<Step> {
        let logs = match self.logs {
            Logs::Known(logs) => logs,
            Logs::Unknown => {
                let text = "nobody looked whether logs have the certificate: --logs names a list of them";
                return Some(Step::undecided(step::LOGGED, text));
            }
            Logs::Private => return None,
        };
        let Some((leaf, issuers)) = chain.split_first() else {
            return Some(Step::skipped(step::LOGGED, "the site showed no certificate"));
        };
        let now = self.ambient.clock.unix();
        Some(logged(&sct::vouched(leaf, issuers, &site.issuer_keys(leaf), logs, now)))
    }

    /// Evidence, and what the committee says of the keys of the app that it proves.
    async fn evidence(&self, answer: Option<&DomainProvenance>, steps: &mut Vec<Step>) -> Option<Verified> {
        let Some(answer) = answer else {
            steps.push(Step::skipped(step::EVIDENCE, "the site gave none"));
            steps.push(Step::skipped(step::COMMITTEE, "the site gave nothing to compare"));
            return None;
        };
        let (step_evidence, verified) = evidence(answer, self.verifier, self.ambient.clock.unix());
        steps.push(step_evidence);
        steps.push(match &verified {
            None => {
                Step::skipped(step::COMMITTEE, "no evidence says which app's keys these would have to be")
            }
            Some(verified) => match self.group_keys().await {
                Err(why) => Step::undecided(step::COMMITTEE, why),
                Ok(keys) => committee(answer, verified.app_id(), self.deployment, &keys),
            },
        });
        verified
    }

    async fn read<C: SolCall>(&self, to: Address, call: &C, at: At) -> Result<Read<C::Return>, String> {
        let read = tokio::time::timeout(CHAIN_PATIENCE, self.proven.read(to, call, at)).await;
        read.map_err(|_| format!("no proof within {} s", CHAIN_PATIENCE.as_secs()))?
            .map_err(|e| e.to_string())
    }

    /// The same of the block of an earlier read: two answers of two blocks may never have been true together.
    async fn read_at<C: SolCall>(&self, block: BlockRef, to: Address, call: &C) -> Result<C::Return, String> {
        let read = tokio::time::timeout(CHAIN_PATIENCE, self.proven.read_at(block, to, call)).await;
        let read = read.map_err(|_| format!("no proof within {} s", CHAIN_PATIENCE.as_secs()))?;
        Ok(read.map_err(|e| e.to_string())?.value)
    }

    async fn group_keys(&self) -> Result<Vec<[u8; GROUP_KEY_LENGTH]>, String> {
        let committee = self.deployment.committee;
        let current = self.read(committee, &KmsCommittee::currentEpochCall {}, At::Finalized).await?;
        let outgoing = self.read_at(current.block, committee, &KmsCommittee::outgoingEpochCall {}).await?;
        Ok(group_keys(&current.value, &outgoing, current.timestamp))
    }

    /// The step, and whether it is the gateway's code by the finalised block and by the newest.
    async fn code(&self, answer: Option<&DomainProvenance>, verified: Option<&Verified>) -> (Step, bool) {
        let (Some(answer), Some(verified)) = (answer, verified) else {
            return (Step::skipped(step::CODE, "no evidence says which code it is"), false);
        };
        // The keys that the committee vouches for must be those that are given out now.
        let generation = answer.keys.as_ref().map_or(0, |keys| keys.generation);
        let request = mandate_kms::boot::boot_request(verified, generation);
        let verdicts = async {
            let finalized = self.verdict(&request, At::Finalized).await?;
            Ok::<_, String>((finalized, self.verdict(&request, At::Head).await?))
        };
        let verdicts = verdicts.await;
        let by_gateway = verdicts.as_ref().is_ok_and(|(finalized, head)| {
            [finalized.gateway, head.gateway].iter().all(|gateway| *gateway == verified.app_id())
        });
        (code(verified, &answer.statement, &verdicts), by_gateway)
    }

    async fn verdict(
        &self,
        request: &mandate_model::bindings::BootRequest,
        at: At,
    ) -> Result<Verdict, String> {
        let kms_auth = self.deployment.kms_auth;
        let gateway = self.read(kms_auth, &KmsAuth::gatewayAppCall {}, at).await?;
        let decide = KmsAuth::decideCall { request: request.clone() };
        let answer = self.read_at(gateway.block, kms_auth, &decide).await?;
        Ok(Verdict { block: gateway.block.number, gateway: gateway.value, answer })
    }

    async fn recorded(&self, name: &DomainName) -> Twice<Recorded> {
        let read = async |at| {
            let read = self.read(self.deployment.domain_registry, &domain_call(name), at).await?;
            Ok::<_, String>(Recorded { block: read.block.number, domain: read.value })
        };
        Ok((read(At::Finalized).await?, read(At::Head).await?))
    }

    async fn open_incidents(&self, name: &DomainName) -> Twice<u64> {
        let call = DomainRegistry::openIncidentsCall { name: name.to_string() };
        let read = async |at| {
            let read = self.read(self.deployment.domain_registry, &call, at).await?;
            Ok::<_, String>(u64::try_from(read.value).unwrap_or(u64::MAX))
        };
        Ok((read(At::Finalized).await?, read(At::Head).await?))
    }

    /// By what the registry pins: that is what the owner wants DNS to say, whatever a gateway says.
    async fn caa(&self, name: &DomainName, pinned: Result<(&str, &str), &str>) -> Step {
        let (issuer, account) = match pinned {
            Err(why) => return Step::undecided(step::CAA, format!("no account is known: {why}")),
            Ok(pinned) => pinned,
        };
        if self.resolvers.is_empty() {
            let text = "DNS was not asked: this system names no resolver, and neither does --dns";
            return Step::undecided(step::CAA, text);
        }
        caa(name, issuer, account, &self.relevant(name).await)
    }

    async fn relevant(&self, name: &DomainName) -> Relevant {
        let dns = Dns::new(Vec::new(), self.resolvers.to_vec(), Duration::ZERO, self.ambient);
        let found = tokio::time::timeout(DNS_PATIENCE, dns.relevant_caa(name)).await;
        let found = found.map_err(|_| format!("no answer within {} s", DNS_PATIENCE.as_secs()))?;
        let found = found.map_err(|e| e.to_string())?;
        Ok(found.map(|r| Published { properties: r.properties, authenticated: r.authenticated }))
    }
}
