// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One log, from the head that was verified last to the newest one.

use std::time::Duration;

use mandate_runtime::{Clock, clock};

use super::{
    LogError, Misdeed,
    entry::Entry,
    head::SignedHead,
    matching,
    merkle::leaf_hash,
    source::Source,
    state::{Finding, Head, LogState, Stage, Work},
    watched::Watched,
};

/// Answers with entries that are read of one log before others have their turn and progress is saved.
const BATCHES: usize = 64;
/// How long a visit may take, whatever the log does: the others' next turn waits for it.
const VISIT: Duration = Duration::from_secs(60);
/// How old the newest head may be: the longest maximum merge delay that browsers accept.
const MAX_AGE_MS: u64 = 24 * 3600 * 1000;
/// How far clocks may be apart.
const SKEW_MS: u64 = 5 * 60 * 1000;

/// What became of a visit to a log.
#[derive(Debug)]
pub(super) struct Visit {
    /// What is known of it now.
    pub(super) state: LogState,
    /// Certificates of watched names that the log provably holds.
    pub(super) found: Vec<Finding>,
    /// Why it was not followed to its head.
    pub(super) error: Option<LogError>,
}

/// Follows a log for some time. `from` is where to begin when nothing is known of it, otherwise the present end. What was
/// read when its time is over is kept, and the next visit goes on from there.
pub(super) async fn visit(
    source: Source<'_>,
    mut state: LogState,
    from: Option<u64>,
    watched: &Watched,
    clock: &dyn Clock,
) -> Visit {
    let (mut found, now) = (Vec::new(), clock.unix());
    let following = async {
        let late = begin(source, &mut state, from, now).await?;
        advance(source, &mut state, &mut found, watched, now).await?;
        late.map_or(Ok(()), Err)
    };
    let error = match clock::within(clock, VISIT, following).await {
        Some(followed) => followed.err(),
        None => {
            let text = format!("it is too slow: {} s were not enough for its turn", VISIT.as_secs());
            Some(LogError::Unreachable(text))
        }
    };
    Visit { state, found, error }
}

/// Takes a new head up, unless one is being verified; the error is what is wrong with a head that is followed all the same.
async fn begin(
    source: Source<'_>,
    state: &mut LogState,
    from: Option<u64>,
    now: u64,
) -> Result<Option<LogError>, LogError> {
    if state.work.is_some() {
        return Ok(None);
    }
    let head = source.head().await?;
    let now_ms = now.saturating_mul(1000);
    if !judge(state.verified.as_ref(), &head, now_ms)? {
        return Ok(stale(&head, now_ms));
    }
    let edge = match &state.verified {
        Some(_) => state.edge.clone(),
        None => {
            let from = from.unwrap_or(head.size);
            if from > head.size {
                let text = format!("it has {} entries, so none from {from} on yet", head.size);
                return Err(LogError::Unreachable(text));
            }
            source.frontier(from, &head).await?
        }
    };
    let late = stale(&head, now_ms);
    state.work = Some(Work { head: head.into(), edge, found: Vec::new() });
    Ok(late)
}

impl From<SignedHead> for Head {
    fn from(head: SignedHead) -> Self {
        Self { size: head.size, root: head.root.into(), timestamp: head.timestamp, signed: head.signed }
    }
}

/// Whether a signed head is news after the one that was verified.
///
/// # Errors
/// When no honest log signs both.
fn judge(verified: Option<&Head>, head: &SignedHead, now_ms: u64) -> Result<bool, LogError> {
    if head.timestamp > now_ms.saturating_add(SKEW_MS) {
        return Err(signed(Misdeed::Stale, "its tree head is from the future", None, head));
    }
    let Some(known) = verified else { return Ok(true) };
    if head.size == known.size && head.root != known.root.0 {
        let text = format!("it signed two trees of {} entries", head.size);
        return Err(signed(Misdeed::Fork, &text, Some(known), head));
    }
    if head.size < known.size && head.timestamp > known.timestamp {
        let text = format!("it had {} entries and signed a newer tree of {}", known.size, head.size);
        return Err(signed(Misdeed::Rollback, &text, Some(known), head));
    }
    if head.size > known.size && head.timestamp < known.timestamp {
        let text = format!(
            "a larger tree ({} entries after {}) is signed for an earlier time",
            head.size, known.size
        );
        return Err(signed(Misdeed::Fork, &text, Some(known), head));
    }
    // An old head is what a server that lags behind shows.
    Ok(head.size > known.size || head.timestamp > known.timestamp)
}

fn stale(head: &SignedHead, now_ms: u64) -> Option<LogError> {
    let age = now_ms.saturating_sub(head.timestamp);
    let text = format!("its newest tree head is {} h old", age / 3_600_000);
    (age > MAX_AGE_MS).then(|| signed(Misdeed::Stale, &text, None, head))
}

fn signed(misdeed: Misdeed, what: &str, known: Option<&Head>, head: &SignedHead) -> LogError {
    let first = known.map(|known| format!("{}\n", known.signed)).unwrap_or_default();
    LogError::Misbehaved { misdeed, what: what.to_owned(), evidence: Some(format!("{first}{}", head.signed)) }
}

/// Reads entries towards the head that is being verified, and on reaching it compares the roots.
async fn advance(
    source: Source<'_>,
    state: &mut LogState,
    found: &mut Vec<Finding>,
    watched: &Watched,
    now: u64,
) -> Result<(), LogError> {
    let Some(work) = &mut state.work else { return Ok(()) };
    for _ in 0..BATCHES {
        let at = work.edge.size();
        if at >= work.head.size {
            return finish(state, found);
        }
        for (entry, index) in source.entries(at, work.head.size).await?.iter().zip(at..work.head.size) {
            work.edge.append(leaf_hash(&entry.leaf));
            work.found.extend(findings(&source.log.url, entry, index, watched, now));
        }
    }
    if work.edge.size() >= work.head.size { finish(state, found) } else { Ok(()) }
}

fn finish(state: &mut LogState, found: &mut Vec<Finding>) -> Result<(), LogError> {
    // Whatever comes of it, the next visit begins at what is verified.
    let Some(work) = state.work.take() else { return Ok(()) };
    if work.edge.root() != work.head.root.0 {
        let known = state.verified.as_ref();
        let before = known.map(|known| format!("{}\n", known.signed)).unwrap_or_default();
        let what = format!(
            "its entries up to {} do not lead from the tree of {} to the one that it signed",
            work.head.size,
            known.map_or(0, |known| known.size)
        );
        let evidence = Some(format!("{before}{}", work.head.signed));
        return Err(LogError::Misbehaved { misdeed: Misdeed::Fork, what, evidence });
    }
    state.edge = work.edge;
    state.verified = Some(work.head);
    found.extend(work.found);
    Ok(())
}

fn findings(log: &str, entry: &Entry, index: u64, watched: &Watched, now: u64) -> Vec<Finding> {
    let Some(certificate) = matching::find(entry, watched) else { return Vec::new() };
    let finding = |domain: &String| Finding {
        domain: domain.clone(),
        fingerprint: certificate.fingerprint,
        spki: certificate.spki,
        precertificate: certificate.precertificate,
        not_after: certificate.not_after,
        issuer: certificate.issuer.clone(),
        log: log.to_owned(),
        index,
        // A log that dates an entry ahead must not win time by that.
        since: now.min(entry.timestamp / 1000),
        stage: Stage::Waiting,
    };
    certificate.names.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000_000;

    fn head(size: u64, root: u8, timestamp: u64) -> SignedHead {
        SignedHead { size, root: [root; 32], timestamp, signed: format!("{size}/{root}") }
    }

    fn judged(size: u64, root: u8, timestamp: u64) -> Result<bool, Misdeed> {
        let known = head(10, 1, NOW - 1000).into();
        judge(Some(&known), &head(size, root, timestamp), NOW).map_err(|e| match e {
            LogError::Misbehaved { misdeed, evidence, .. } => {
                assert!(misdeed == Misdeed::Stale || evidence.unwrap().starts_with("10/1\n"));
                misdeed
            }
            other => panic!("{other}"),
        })
    }

    #[test]
    fn head_is_an_alarm_when_no_honest_log_signs_it() {
        assert_eq!(judged(11, 2, NOW), Ok(true));
        assert_eq!(judged(10, 1, NOW), Ok(true), "time goes on without entries");
        assert_eq!(judged(10, 1, NOW - 1000), Ok(false));
        assert_eq!(judged(9, 9, NOW - 2000), Ok(false), "a server that lags behind");
        assert_eq!(judged(9, 9, NOW), Err(Misdeed::Rollback));
        assert_eq!(judged(10, 2, NOW), Err(Misdeed::Fork));
        assert_eq!(judged(10, 2, NOW - 2000), Err(Misdeed::Fork));
        assert_eq!(judged(11, 2, NOW - 2000), Err(Misdeed::Fork));
        assert_eq!(judged(11, 2, NOW + SKEW_MS + 1), Err(Misdeed::Stale));
    }

    #[test]
    fn log_that_signs_nothing_new_for_a_day_is_stale() {
        assert!(stale(&head(10, 1, NOW - MAX_AGE_MS), NOW).is_none());
        assert!(stale(&head(10, 1, NOW - MAX_AGE_MS - 1), NOW).is_some());
    }
}
