// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `DomainRegistry` told.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::timed::time;
use crate::event::{Event, Position};

/// A certificate that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// SHA-256 of its DER.
    pub fingerprint: B256,
    /// SHA-256 of its SPKI.
    pub spki_hash: B256,
    /// End of validity, Unix seconds.
    pub not_after: u64,
    /// When it was recorded.
    pub recorded_at: u64,
}

/// A domain that an app may serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Domain {
    /// The name.
    pub name: String,
    /// The app.
    pub app: Address,
    /// Since when.
    pub approved_at: u64,
    /// The issuer that CAA must name; empty before it is pinned.
    pub issuer: String,
    /// The ACME account that CAA must name.
    pub account_uri: String,
    /// Every certificate since the approval, oldest first.
    pub certificates: Vec<Certificate>,
}

/// A certificate that was not recorded for the app when somebody reported it. Nobody checked the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Who reported it.
    pub reporter: Address,
    /// When, Unix seconds.
    pub reported_at: u64,
    /// Where it was seen, in the reporter's words.
    pub evidence: String,
    /// How it ended; none while it is open.
    pub closing: Option<Closing>,
}

/// The end of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closing {
    /// The app's owner.
    pub by: Address,
    /// When, Unix seconds.
    pub at: u64,
    /// Why, in the owner's words.
    pub reason: String,
}

/// Incidents by the keccak256 of the domain's name, the app that served it, and the certificate's fingerprint.
pub type Incidents = BTreeMap<B256, BTreeMap<Address, BTreeMap<B256, Incident>>>;

/// Domains by the keccak256 of their name, and who may record certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Domains {
    /// The registry's owner.
    pub owner: Address,
    /// Who may accept the ownership; zero for nobody.
    pub pending_owner: Address,
    /// Who may record certificates.
    pub recorders: BTreeSet<Address>,
    /// Approved domains.
    pub domains: BTreeMap<B256, Domain>,
    /// Every incident there ever was: neither a release nor a closing deletes one.
    pub incidents: Incidents,
}

impl Domains {
    pub(super) fn fold(&mut self, event: &Event, at: &Position) {
        match event {
            Event::DomainApproved(e) => self.approve(e.domainHash, e.app, e.name.clone(), at.timestamp),
            Event::DomainReleased(e) => drop(self.domains.remove(&e.domainHash)),
            Event::AccountPinned(e) => {
                if let Some(domain) = self.domains.get_mut(&e.domainHash) {
                    (domain.issuer, domain.account_uri) = (e.issuer.clone(), e.accountUri.clone());
                }
            }
            Event::CertificateRecorded(e) => {
                let (fingerprint, spki_hash, not_after) = (e.fingerprint, e.spkiHash, time(e.notAfter));
                let certificate =
                    Certificate { fingerprint, spki_hash, not_after, recorded_at: at.timestamp };
                if let Some(domain) = self.domains.get_mut(&e.domainHash) {
                    domain.certificates.push(certificate);
                }
            }
            Event::IncidentReported(e) => {
                let (reporter, evidence) = (e.reporter, e.evidence.clone());
                let incident = Incident { reporter, reported_at: at.timestamp, evidence, closing: None };
                let of_app = self.incidents.entry(e.domainHash).or_default().entry(e.app).or_default();
                of_app.insert(e.fingerprint, incident);
            }
            Event::IncidentClosed(e) => {
                let of_app = self.incidents.get_mut(&e.domainHash).and_then(|apps| apps.get_mut(&e.app));
                if let Some(incident) = of_app.and_then(|incidents| incidents.get_mut(&e.fingerprint)) {
                    incident.closing = Some(Closing { by: e.by, at: at.timestamp, reason: e.reason.clone() });
                }
            }
            Event::RecorderSet(e) if e.allowed => drop(self.recorders.insert(e.recorder)),
            Event::RecorderSet(e) => drop(self.recorders.remove(&e.recorder)),
            Event::RegistryTransferStarted(e) => self.pending_owner = e.newOwner,
            Event::OwnershipTransferred(e) => {
                (self.owner, self.pending_owner) = (e.newOwner, Address::ZERO);
            }
            _ => {}
        }
    }

    /// The incidents of the domain for the app that may serve it now, by the certificate's fingerprint.
    pub fn incidents_of(&self, domain_hash: &B256) -> Option<&BTreeMap<B256, Incident>> {
        let app = self.domains.get(domain_hash)?.app;
        self.incidents.get(domain_hash)?.get(&app)
    }

    fn approve(&mut self, hash: B256, app: Address, name: String, approved_at: u64) {
        let (issuer, account_uri, certificates) = (String::new(), String::new(), Vec::new());
        self.domains.insert(hash, Domain { name, app, approved_at, issuer, account_uri, certificates });
    }
}
