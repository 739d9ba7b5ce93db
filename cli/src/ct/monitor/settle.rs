// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What becomes of a certificate that was found.

use std::{collections::BTreeMap, time::Duration};

use crate::ct::{
    chain::Recorded,
    state::{Finding, Outstanding, Stage},
};

/// Why a name is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The registry has it.
    Registry,
    /// It was given by hand.
    Ours,
    /// It was released after the certificate was found.
    Nobodys,
}

/// Drops what is recorded, and makes an incident of what was not recorded in time. What the registry never had nobody can
/// record. A released domain is nobody's, and there is nothing to tell about it; what was found is kept for as long as the
/// certificate is good, since the domain may come back.
pub(super) fn settle(
    findings: &mut Vec<Finding>,
    recorded: &BTreeMap<String, Recorded>,
    whose: impl Fn(&str) -> Whose,
    (now, grace): (u64, Duration),
    incident: Outstanding,
) {
    findings.retain(|finding| {
        let known = || recorded.get(&finding.domain).is_some_and(|known| known.knows(finding));
        let over = || (1..now).contains(&finding.not_after) && whose(&finding.domain) == Whose::Nobodys;
        finding.stage != Stage::Waiting || !(known() || over())
    });
    for finding in findings.iter_mut().filter(|finding| finding.stage == Stage::Waiting) {
        let late = now.saturating_sub(finding.since) >= grace.as_secs();
        finding.stage = match whose(&finding.domain) {
            Whose::Registry if late => Stage::Incident(incident),
            Whose::Ours => Stage::Incident(Outstanding { report: false, ..incident }),
            Whose::Registry | Whose::Nobodys => continue,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::B256;
    use mandate_runtime::{Clock, clock::ManualClock};

    const INCIDENT: Outstanding = Outstanding { output: true, webhook: false, report: true };

    fn finding(domain: &str, since: u64) -> Finding {
        Finding {
            domain: domain.into(),
            fingerprint: B256::repeat_byte(1),
            spki: None,
            precertificate: false,
            not_after: 0,
            issuer: String::new(),
            log: String::new(),
            index: 0,
            since,
            stage: Stage::Waiting,
        }
    }

    #[test]
    fn certificate_becomes_an_incident_when_the_grace_is_over() {
        let clock = ManualClock::new(10_000);
        let mut findings = vec![finding("a.example", clock.unix())];
        let mut pass = |clock: &ManualClock| {
            let grace = Duration::from_secs(3600);
            settle(&mut findings, &BTreeMap::new(), |_| Whose::Registry, (clock.unix(), grace), INCIDENT);
            findings[0].stage
        };
        clock.advance(Duration::from_secs(3599));
        assert_eq!(pass(&clock), Stage::Waiting);
        clock.advance(Duration::from_secs(1));
        assert_eq!(pass(&clock), Stage::Incident(INCIDENT));
    }

    #[test]
    fn name_that_the_registry_does_not_have_is_told_at_once_and_not_reported() {
        let mut findings = vec![finding("a.example", 10_000)];
        let now = (10_000, Duration::from_secs(3600));
        settle(&mut findings, &BTreeMap::new(), |_| Whose::Ours, now, INCIDENT);
        assert_eq!(findings[0].stage, Stage::Incident(Outstanding { report: false, ..INCIDENT }));
    }

    /// Its owner gave it up: a line about it would be a false alarm. It may come back, with the certificate still good.
    #[test]
    fn released_domain_is_told_only_when_it_comes_back() {
        let (grace, mut found) = (Duration::from_secs(3600), finding("a.example", 10_000));
        found.not_after = 30_000;
        let mut findings = vec![found];
        let mut pass = |whose: Whose, now: u64| {
            settle(&mut findings, &BTreeMap::new(), |_| whose, (now, grace), INCIDENT);
            findings.first().map(|finding| finding.stage)
        };
        assert_eq!(pass(Whose::Registry, 11_000), Some(Stage::Waiting));
        assert_eq!(pass(Whose::Nobodys, 12_000), Some(Stage::Waiting), "within the grace");
        assert_eq!(pass(Whose::Nobodys, 20_000), Some(Stage::Waiting), "after it");
        assert_eq!(pass(Whose::Registry, 20_001), Some(Stage::Incident(INCIDENT)));

        let mut findings = vec![Finding { not_after: 30_000, ..finding("a.example", 10_000) }];
        settle(&mut findings, &BTreeMap::new(), |_| Whose::Nobodys, (30_001, grace), INCIDENT);
        assert!(findings.is_empty(), "the certificate is over");
    }
}
