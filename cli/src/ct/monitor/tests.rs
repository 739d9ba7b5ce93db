// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a slow log costs the others.

use mandate_runtime::{Clock, clock::ManualClock};

use super::*;
use crate::ct::logs::{Purpose, parse};

#[path = "../../../tests/cli/ct/log.rs"]
#[allow(dead_code, reason = "the tests of the command use the rest")]
mod log;

use log::{TestLog, now_ms};

#[test]
fn pause_doubles_while_everything_fails() {
    let minute = Duration::from_secs(60);
    assert_eq!([0, 1, 2].map(|n| pause(minute, n)), [minute, minute * 2, minute * 4]);
    assert_eq!(pause(minute, 90), MAX_PAUSE);
    assert_eq!(pause(MAX_PAUSE * 2, 1), MAX_PAUSE * 2);
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(now_ms() / 1000))
}

fn listed(logs: &[&TestLog]) -> Vec<Log> {
    let of = |log: &TestLog| parse(log.listed(false).to_string().as_bytes(), Purpose::Follow, 0).unwrap();
    logs.iter().flat_map(|log| of(log)).collect()
}

/// Each answer comes in time, and all of them together take hours.
#[tokio::test]
async fn attack_log_that_trickles_is_cut_off_and_goes_on_where_it_was() {
    let (log, clock) = (TestLog::with(1_000).await, clock());
    log.lock().slow = Some(Arc::clone(&clock));
    let (fetch, watched) = (Fetch::new(clock.clone()).unwrap(), Watched::new([]).unwrap());
    let logs = listed(&[&log]);
    let source = Source { log: &logs[0], fetch: &fetch };
    let mut state = LogState::new(logs[0].id);
    let mut visits = 0;
    while state.verified.is_none() {
        let (before, began) = (state.work.as_ref().map_or(0, |work| work.edge.size()), clock.monotonic());
        let visit = visit(source, state, Some(0), &watched, &*clock).await;
        state = visit.state;
        let took = clock.monotonic().saturating_sub(began);
        assert!(took <= Duration::from_secs(80), "a visit of {took:?}");
        if state.verified.is_none() {
            assert!(visit.error.unwrap().to_string().contains("too slow"));
            assert!(state.work.as_ref().unwrap().edge.size() > before, "what it served is lost");
        }
        visits += 1;
    }
    assert_eq!(state.verified.unwrap().size, 1_000);
    assert!((3..=5).contains(&visits), "{visits} visits");
}

#[tokio::test]
async fn attack_log_that_hangs_does_not_keep_the_others_progress_from_being_saved() {
    let (hanging, log, clock) = (TestLog::with(3).await, TestLog::with(300).await, clock());
    hanging.lock().lie = Some(log::Lie::Hangs);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.json");
    let settings = Settings {
        logs: listed(&[&hanging, &log]),
        from: Some(0),
        also: ["a.example".to_owned()].into(),
        grace: Duration::ZERO,
        interval: Duration::from_secs(60),
        webhook: None,
        report: false,
        format: Format::Json,
    };
    let monitor = Monitor::new(settings, None, clock.clone(), StateFile::open(&path).unwrap()).unwrap();
    let once = tokio::spawn(monitor.once());
    let saved = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let state = std::fs::read(&path).ok().and_then(|bytes| State::parse(&bytes).ok());
            let known = state.and_then(|state| state.logs.get(&log.url)?.verified.clone());
            if known.is_some_and(|head| head.size == 300) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    saved.await.expect("nothing is saved while another log hangs");
    assert!(!once.is_finished());
    clock.advance(Duration::from_secs(60));
    assert_eq!(once.await.unwrap().unwrap_err().code, Code::Undecided);
}
