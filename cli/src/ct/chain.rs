// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the registry says of domains and certificates, and the incidents that are reported to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, U256, keccak256},
    providers::{DynProvider, Provider},
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use mandate_model::{
    bindings::DomainRegistry::{self, DomainRegistryErrors as Errors},
    deployment::Deployment,
};

use super::state::Finding;
use crate::{
    connection::{failed, logs},
    context::{refusal, send, view},
    error::{CliError, Result},
};

/// Domains of one request.
const PAGE: u64 = 200;
/// More than anybody watches; approving costs gas.
const MAX_DOMAINS: usize = 100_000;

/// The registry at one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    provider: DynProvider,
    address: Address,
    genesis_block: u64,
    /// For the messages.
    pub(crate) chain_id: u64,
}

/// What is recorded of one domain for the app that serves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    certificates: BTreeSet<B256>,
    keys: BTreeSet<B256>,
}

impl Recorded {
    /// Whether somebody recorded what was found: the certificate itself, or the key of a precertificate.
    pub(crate) fn knows(&self, finding: &Finding) -> bool {
        let key = || finding.precertificate && finding.spki.is_some_and(|spki| self.keys.contains(&spki));
        self.certificates.contains(&finding.fingerprint) || key()
    }
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reported {
    /// In this transaction.
    Sent(B256),
    /// There is nothing to report (any more), in the contract's words.
    Needless(&'static str),
}

impl Registry {
    pub(crate) fn new(provider: DynProvider, deployment: &Deployment) -> Self {
        let (address, genesis_block) = (deployment.domain_registry, deployment.genesis_block);
        Self { provider, address, genesis_block, chain_id: deployment.chain_id }
    }

    /// Every domain with the app that may serve it.
    pub(crate) async fn domains(&self) -> Result<BTreeMap<String, Address>> {
        let registry = DomainRegistry::new(self.address, &self.provider);
        let mut all = BTreeMap::new();
        // One block for all pages: the order changes when a domain is released.
        let head = self.provider.get_block_number().await.map_err(|e| failed(&e))?;
        for offset in (0u64..).step_by(PAGE as usize) {
            let call = registry.domains(U256::from(offset), U256::from(PAGE)).block(head.into());
            let answer = view::<_, _, Errors>(call).await?;
            let last = answer.page.is_empty() || U256::from(offset + PAGE) >= answer.total;
            all.extend(answer.page.into_iter().map(|domain| (domain.name, domain.app)));
            if all.len() > MAX_DOMAINS {
                return Err(CliError::data(format!("the registry has more than {MAX_DOMAINS} domains")));
            }
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// What is recorded of `names`, as of the finalised block: a record that goes away again must not hide anything.
    pub(crate) async fn recorded(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, Recorded>> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let hashes: BTreeMap<B256, &String> = names.iter().map(|name| (keccak256(name), name)).collect();
        let finalized = self
            .provider
            .get_block_by_number(BlockNumberOrTag::Finalized)
            .await
            .map_err(|e| failed(&e))?
            .ok_or_else(|| CliError::unavailable("the RPC endpoint knows no finalised block"))?
            .header
            .number;
        let signatures = vec![
            DomainRegistry::DomainApproved::SIGNATURE_HASH,
            DomainRegistry::CertificateRecorded::SIGNATURE_HASH,
        ];
        let filter = Filter::new()
            .address(self.address)
            .event_signature(signatures)
            .topic1(hashes.keys().copied().collect::<Vec<_>>());
        let logs = logs(&self.provider, &filter, self.genesis_block).await?;
        let folded = fold(logs.iter().filter(|log| log.block_number.is_some_and(|n| n <= finalized)));
        Ok(hashes
            .into_iter()
            .filter_map(|(hash, name)| Some((name.clone(), folded.get(&hash)?.clone())))
            .collect())
    }

    /// Flags a certificate on chain.
    pub(crate) async fn report(&self, finding: &Finding) -> Result<Reported> {
        let registry = DomainRegistry::new(self.address, &self.provider);
        let evidence = format!("{}#{}", finding.log, finding.index);
        let call = registry.reportIncident(finding.domain.clone(), finding.fingerprint, evidence);
        if let Err(error) = call.call().await {
            return match error.as_decoded_interface_error::<Errors>() {
                Some(Errors::AlreadyReported(_)) => Ok(Reported::Needless("already reported")),
                Some(Errors::AlreadyRecorded(_)) => Ok(Reported::Needless("recorded meanwhile")),
                Some(Errors::NotApproved(_)) => Ok(Reported::Needless("the domain was released")),
                _ => Err(refusal("DomainRegistry", &error)),
            };
        }
        Ok(Reported::Sent(send::<_, _, Errors>(call).await?.transaction_hash))
    }
}

/// Each domain's records for the app that serves it last. An app that comes back has its own again.
fn fold<'a>(logs: impl Iterator<Item = &'a Log>) -> HashMap<B256, Recorded> {
    let mut apps: HashMap<B256, Address> = HashMap::new();
    let mut recorded: HashMap<(B256, Address), Recorded> = HashMap::new();
    for log in logs {
        if let Ok(event) = DomainRegistry::DomainApproved::decode_log(&log.inner) {
            apps.insert(event.domainHash, event.app);
        } else if let Ok(event) = DomainRegistry::CertificateRecorded::decode_log(&log.inner) {
            let Some(app) = apps.get(&event.domainHash) else { continue };
            let of_app = recorded.entry((event.domainHash, *app)).or_default();
            of_app.certificates.insert(event.fingerprint);
            of_app.keys.insert(event.spkiHash);
        }
    }
    let last = apps.into_iter().filter_map(|(hash, app)| Some((hash, recorded.remove(&(hash, app))?)));
    last.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ct::state::Stage;

    fn log(event: impl SolEvent) -> Log {
        let inner = alloy::primitives::Log { address: Address::ZERO, data: event.encode_log_data() };
        Log { inner, ..Log::default() }
    }

    fn approved(app: u8) -> Log {
        let app = Address::repeat_byte(app);
        log(DomainRegistry::DomainApproved { domainHash: B256::ZERO, app, name: "a.example".into() })
    }

    fn certified(certificate: u8) -> Log {
        log(DomainRegistry::CertificateRecorded {
            domainHash: B256::ZERO,
            fingerprint: B256::repeat_byte(certificate),
            spkiHash: B256::repeat_byte(certificate + 100),
            notAfter: Default::default(),
        })
    }

    fn finding(certificate: u8, key: u8, precertificate: bool) -> Finding {
        Finding {
            domain: "a.example".into(),
            fingerprint: B256::repeat_byte(certificate),
            spki: Some(B256::repeat_byte(key)),
            precertificate,
            not_after: 0,
            issuer: String::new(),
            log: String::new(),
            index: 0,
            since: 0,
            stage: Stage::Waiting,
        }
    }

    #[test]
    fn certificate_is_known_by_fingerprint_and_precertificate_by_key() {
        let folded = fold([approved(1), certified(5)].iter());
        let recorded = &folded[&B256::ZERO];
        assert!(recorded.knows(&finding(5, 9, false)));
        assert!(
            !recorded.knows(&finding(6, 105, false)),
            "another certificate of the key is nobody's record"
        );
        assert!(recorded.knows(&finding(6, 105, true)));
        assert!(!recorded.knows(&finding(6, 106, true)));
    }

    #[test]
    fn records_are_those_of_the_app_that_serves_the_domain() {
        let of = |logs: &[Log]| fold(logs.iter()).remove(&B256::ZERO).unwrap_or_default();
        assert!(!of(&[approved(1), certified(5), approved(2)]).knows(&finding(5, 9, false)));
        assert!(of(&[approved(1), certified(5), approved(2), approved(1)]).knows(&finding(5, 9, false)));
    }
}
