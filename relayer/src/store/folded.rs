// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The folded state in parts, so that a step reads and writes only what its events touch. Pure.
//!
//! A part is one row: its key says what it is, its value is JSON. What `mandate_model::state` keeps in a map has a part per
//! entry; the rest of a contract is one part. A key is a tag, followed by addresses, hashes and numbers (big-endian), so that
//! everything of one app, and every entry of one map, lies together.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, LogData};
use mandate_model::{
    event::{Event, Position},
    state::{App, Committee, Contracts, Domains, Registry, State, fold},
    wire::BlockRef,
};
use serde::{Serialize, de::DeserializeOwned};

use super::StoredLog;

/// Keys and values.
pub(super) type Rows = BTreeMap<Vec<u8>, String>;

/// Tags of the parts that are one per deployment, or one per entry.
const REGISTRY: u8 = 0x10;
pub(super) const REGISTRATION: u8 = 0x11;
const OS_IMAGE: u8 = 0x12;
pub(super) const COMMITTEE: u8 = 0x20;
const NODE: u8 = 0x21;
const CEREMONY: u8 = 0x22;
const EPOCH: u8 = 0x23;
const DOMAINS: u8 = 0x30;
pub(super) const DOMAIN: u8 = 0x31;
/// Followed by the domain's hash, the app and the fingerprint.
const INCIDENT: u8 = 0x32;
/// Followed by the app's address and one of the tags below.
const APP: u8 = 0x40;
/// One past the committee's tags.
pub(super) const COMMITTEE_END: u8 = 0x24;

const RULES: u8 = 0;
const CODE: u8 = 1;
const DEVICE: u8 = 2;
const TEE: u8 = 3;
const CONDITION: u8 = 4;
const TICKET: u8 = 5;
const ADVISORY: u8 = 6;

/// Why a part is not what this version writes.
pub(super) type Malformed = String;

/// What must be read before events are folded: single parts, and whole maps by the beginning of their keys.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) keys: BTreeSet<Vec<u8>>,
    pub(super) maps: BTreeSet<Vec<u8>>,
}

/// The events of `logs`. Whatever is malformed comes from a foreign contract that uses one of our topics: not an event.
pub(super) fn events(logs: &[StoredLog]) -> Vec<(Event, Position)> {
    let decoded = |log: &StoredLog| {
        let data = LogData::new(log.topics.clone(), log.data.clone())?;
        let event = Event::decode(log.address, &data).ok().flatten()?;
        let block = BlockRef { number: log.block_number, hash: log.block_hash };
        let (timestamp, transaction) = (log.timestamp, log.tx_hash);
        let at = Position { address: log.address, block, timestamp, transaction, log_index: log.log_index };
        Some((event, at))
    };
    logs.iter().filter_map(decoded).collect()
}

/// What `events` read or write.
pub(super) fn touched(contracts: &Contracts, events: &[(Event, Position)]) -> Touched {
    let mut touched = Touched::default();
    for (event, at) in events {
        match at.address {
            a if a == contracts.kms_auth => drop(touched.keys.insert(registry_part(event))),
            a if a == contracts.committee => committee_parts(event, &mut touched),
            a if a == contracts.domain_registry => drop(touched.keys.insert(domain_part(event))),
            app => app_parts(app, event, &mut touched),
        }
    }
    touched
}

fn registry_part(event: &Event) -> Vec<u8> {
    match event {
        Event::AppRegistered(e) => key(REGISTRATION, &e.app),
        Event::AppSuspensionSet(e) => key(REGISTRATION, &e.app),
        Event::OsImageScheduled(e) => key(OS_IMAGE, &e.osImageHash),
        Event::OsImageRetirementSet(e) => key(OS_IMAGE, &e.osImageHash),
        Event::OsImageRevoked(e) => key(OS_IMAGE, &e.osImageHash),
        _ => vec![REGISTRY],
    }
}

fn committee_parts(event: &Event, touched: &mut Touched) {
    let part = match event {
        Event::NodeAdmitted(e) => key(NODE, &e.nodeKey),
        Event::NodeAttested(e) => key(NODE, &e.nodeKey),
        Event::AttestationDemanded(_) => {
            touched.maps.insert(vec![NODE]);
            vec![COMMITTEE]
        }
        Event::NodeEvicted(e) => key(NODE, &e.nodeKey),
        Event::NodeUrlSet(e) => key(NODE, &e.nodeKey),
        Event::NoncePublished(e) => key(NODE, &e.nodeKey),
        Event::CeremonyOpened(e) => numbered(CEREMONY, e.round),
        Event::DealerLogPosted(e) => numbered(CEREMONY, e.round),
        Event::OutputConfirmed(e) => numbered(CEREMONY, e.round),
        Event::CeremonyAborted(e) => numbered(CEREMONY, e.round),
        Event::EpochStarted(e) => {
            touched.keys.insert(numbered(CEREMONY, e.round));
            touched.maps.insert(vec![EPOCH]);
            vec![COMMITTEE]
        }
        _ => vec![COMMITTEE],
    };
    touched.keys.insert(part);
}

fn domain_part(event: &Event) -> Vec<u8> {
    match event {
        Event::DomainApproved(e) => key(DOMAIN, &e.domainHash),
        Event::DomainReleased(e) => key(DOMAIN, &e.domainHash),
        Event::AccountPinned(e) => key(DOMAIN, &e.domainHash),
        Event::CertificateRecorded(e) => key(DOMAIN, &e.domainHash),
        Event::IncidentReported(e) => incident_key(e.domainHash, e.app, e.fingerprint),
        Event::IncidentClosed(e) => incident_key(e.domainHash, e.app, e.fingerprint),
        _ => vec![DOMAINS],
    }
}

fn app_parts(app: Address, event: &Event, touched: &mut Touched) {
    touched.keys.insert(app_key(app, RULES, &[]));
    let part = match event {
        Event::CodeScheduled(e) => app_key(app, CODE, e.codeHash.as_slice()),
        Event::CodeRetirementSet(e) => app_key(app, CODE, e.codeHash.as_slice()),
        Event::CodeRevoked(e) => app_key(app, CODE, e.codeHash.as_slice()),
        Event::CodesSuperseded(_) => {
            touched.maps.insert(app_key(app, CODE, &[]));
            return;
        }
        Event::DeviceScheduled(e) => app_key(app, DEVICE, e.deviceId.as_slice()),
        Event::DeviceDenied(e) => app_key(app, DEVICE, e.deviceId.as_slice()),
        Event::TeeScheduled(e) => app_key(app, TEE, &[e.tee]),
        Event::TeeRemoved(e) => app_key(app, TEE, &[e.tee]),
        Event::ConditionAdded(e) => app_key(app, CONDITION, e.condition.as_slice()),
        Event::ConditionRemoved(e) => app_key(app, CONDITION, e.condition.as_slice()),
        Event::TicketAllowed(e) => app_key(app, TICKET, e.ticket.as_slice()),
        Event::TicketRevoked(e) => app_key(app, TICKET, e.ticket.as_slice()),
        Event::AdvisoryDenied(e) => app_key(app, ADVISORY, e.advisoryHash.as_slice()),
        Event::AdvisoryLifted(e) => app_key(app, ADVISORY, e.advisoryHash.as_slice()),
        _ => return,
    };
    touched.keys.insert(part);
}

/// Folds `events` into the parts that they touch.
pub(super) fn folded(
    contracts: Contracts,
    before: &Rows,
    events: &[(Event, Position)],
) -> Result<Rows, Malformed> {
    let mut state = assemble(contracts, before)?;
    for (event, at) in events {
        fold(&mut state, event, at);
    }
    parts(state)
}

/// A state that knows of nothing but `rows`.
pub(super) fn assemble(contracts: Contracts, rows: &Rows) -> Result<State, Malformed> {
    let mut state = State::new(contracts);
    for (key, value) in rows {
        absorb(&mut state, key, value)?;
    }
    Ok(state)
}

/// Takes in a part. In the order of keys, an app's rules come before its entries.
fn absorb(state: &mut State, key: &[u8], value: &str) -> Result<(), Malformed> {
    let (tag, rest) = key.split_first().ok_or("an empty key")?;
    match *tag {
        REGISTRY => state.registry = parsed(value)?,
        REGISTRATION => drop(state.registry.apps.insert(address(rest)?, parsed(value)?)),
        OS_IMAGE => drop(state.registry.os_images.insert(hash(rest)?, parsed(value)?)),
        COMMITTEE => state.committee = parsed(value)?,
        NODE => drop(state.committee.nodes.insert(address(rest)?, parsed(value)?)),
        CEREMONY => drop(state.committee.ceremonies.insert(number(rest)?, parsed(value)?)),
        EPOCH => drop(state.committee.epochs.insert(number(rest)?, parsed(value)?)),
        DOMAINS => state.domains = parsed(value)?,
        DOMAIN => drop(state.domains.domains.insert(hash(rest)?, parsed(value)?)),
        INCIDENT => {
            let (domain, rest) = rest.split_at_checked(B256::len_bytes()).ok_or("a short key")?;
            let (app, rest) = rest.split_at_checked(Address::len_bytes()).ok_or("a short key")?;
            let of_app =
                state.domains.incidents.entry(hash(domain)?).or_default().entry(address(app)?).or_default();
            of_app.insert(hash(rest)?, parsed(value)?);
        }
        APP => {
            let (app, rest) = rest.split_at_checked(Address::len_bytes()).ok_or("a short key")?;
            let (tag, rest) = rest.split_first().ok_or("a short key")?;
            absorb_app(state.policies.entry(address(app)?).or_default(), *tag, rest, value)?;
        }
        other => return Err(format!("unknown tag {other}")),
    }
    Ok(())
}

fn absorb_app(app: &mut App, tag: u8, rest: &[u8], value: &str) -> Result<(), Malformed> {
    match tag {
        RULES => *app = parsed(value)?,
        CODE => drop(app.codes.insert(hash(rest)?, parsed(value)?)),
        DEVICE => drop(app.devices.insert(hash(rest)?, parsed(value)?)),
        TEE => drop(app.tees.insert(*rest.first().ok_or("a short key")?, parsed(value)?)),
        CONDITION => drop(app.conditions.insert(address(rest)?, parsed(value)?)),
        TICKET => drop(app.tickets.insert(hash(rest)?, parsed(value)?)),
        ADVISORY => drop(app.advisories.insert(hash(rest)?, parsed(value)?)),
        other => return Err(format!("unknown tag {other} of an app")),
    }
    Ok(())
}

/// Takes a state apart. What is as it was before the first event has no part.
pub(super) fn parts(state: State) -> Result<Rows, Malformed> {
    let mut rows = Rows::new();
    let State { contracts: _, mut registry, policies, mut committee, mut domains } = state;
    entries(&mut rows, std::mem::take(&mut registry.apps), |app| key(REGISTRATION, &app))?;
    entries(&mut rows, std::mem::take(&mut registry.os_images), |image| key(OS_IMAGE, &image))?;
    unless_default(&mut rows, REGISTRY, &registry, &Registry::default())?;
    entries(&mut rows, std::mem::take(&mut committee.nodes), |node| key(NODE, &node))?;
    entries(&mut rows, std::mem::take(&mut committee.ceremonies), |round| numbered(CEREMONY, round))?;
    entries(&mut rows, std::mem::take(&mut committee.epochs), |epoch| numbered(EPOCH, epoch))?;
    unless_default(&mut rows, COMMITTEE, &committee, &Committee::default())?;
    entries(&mut rows, std::mem::take(&mut domains.domains), |name| key(DOMAIN, &name))?;
    for (domain, apps) in std::mem::take(&mut domains.incidents) {
        for (app, incidents) in apps {
            entries(&mut rows, incidents, |fingerprint| incident_key(domain, app, fingerprint))?;
        }
    }
    unless_default(&mut rows, DOMAINS, &domains, &Domains::default())?;
    for (address, app) in policies {
        app_rows(&mut rows, address, app)?;
    }
    Ok(rows)
}

fn app_rows(rows: &mut Rows, app: Address, mut rules: App) -> Result<(), Malformed> {
    use std::mem::take;
    entries(rows, take(&mut rules.codes), |code| app_key(app, CODE, code.as_slice()))?;
    entries(rows, take(&mut rules.devices), |device| app_key(app, DEVICE, device.as_slice()))?;
    entries(rows, take(&mut rules.tees), |tee| app_key(app, TEE, &[tee]))?;
    entries(rows, take(&mut rules.conditions), |condition| app_key(app, CONDITION, condition.as_slice()))?;
    entries(rows, take(&mut rules.tickets), |ticket| app_key(app, TICKET, ticket.as_slice()))?;
    entries(rows, take(&mut rules.advisories), |advisory| app_key(app, ADVISORY, advisory.as_slice()))?;
    rows.insert(app_key(app, RULES, &[]), json(&rules)?);
    Ok(())
}

fn entries<K, V: Serialize>(
    rows: &mut Rows,
    map: BTreeMap<K, V>,
    key: impl Fn(K) -> Vec<u8>,
) -> Result<(), Malformed> {
    for (k, v) in map {
        rows.insert(key(k), json(&v)?);
    }
    Ok(())
}

fn unless_default<T: Serialize + PartialEq>(
    rows: &mut Rows,
    tag: u8,
    value: &T,
    default: &T,
) -> Result<(), Malformed> {
    if value != default {
        rows.insert(vec![tag], json(value)?);
    }
    Ok(())
}

/// The beginning of all keys of an app.
pub(super) fn app_prefix(app: Address) -> Vec<u8> {
    key(APP, &app)
}

pub(super) fn key(tag: u8, rest: &impl AsRef<[u8]>) -> Vec<u8> {
    [&[tag], rest.as_ref()].concat()
}

/// The first key behind that of an entry.
pub(super) fn next(tag: u8, entry: &[u8]) -> Vec<u8> {
    [&[tag], entry, &[0]].concat()
}

fn numbered(tag: u8, n: u64) -> Vec<u8> {
    key(tag, &n.to_be_bytes())
}

fn app_key(app: Address, tag: u8, rest: &[u8]) -> Vec<u8> {
    [&[APP], app.as_slice(), &[tag], rest].concat()
}

fn incident_key(domain: B256, app: Address, fingerprint: B256) -> Vec<u8> {
    [&[INCIDENT], domain.as_slice(), app.as_slice(), fingerprint.as_slice()].concat()
}

/// The first key behind all that begin with `prefix`, whose last byte is a tag or part of an address.
pub(super) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

pub(super) fn address(bytes: &[u8]) -> Result<Address, Malformed> {
    Address::try_from(bytes).map_err(|e| e.to_string())
}

pub(super) fn hash(bytes: &[u8]) -> Result<B256, Malformed> {
    B256::try_from(bytes).map_err(|e| e.to_string())
}

fn number(bytes: &[u8]) -> Result<u64, Malformed> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| "not a number of eight bytes".to_owned())
}

pub(super) fn parsed<T: DeserializeOwned>(value: &str) -> Result<T, Malformed> {
    serde_json::from_str(value).map_err(|e| e.to_string())
}

fn json(value: &impl Serialize) -> Result<String, Malformed> {
    serde_json::to_string(value).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_behind_everything_that_begins_so() {
        assert_eq!(behind(&[1, 2]), [1, 3]);
        assert_eq!(behind(&[1, 0xff, 0xff]), [2]);
        let app = Address::repeat_byte(0xff);
        let entry = app_key(app, CODE, &[0xff; 32]);
        assert!(entry > app_prefix(app) && entry < behind(&app_prefix(app)));
        assert!(
            next(DOMAIN, &[7; 32]) > key(DOMAIN, &[7; 32]) && next(DOMAIN, &[7; 32]) < key(DOMAIN, &[8; 32])
        );
    }
}
