// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

fn state() -> State {
    let mut edge = Frontier::default();
    edge.append([1; 32]);
    let head = Head { size: 1, root: edge.root().into(), timestamp: 5, signed: "x".into() };
    let log = LogState { verified: Some(head), edge, ..LogState::new([7; 32]) };
    let mut state = State::default();
    state.logs.insert("https://log.example".into(), log);
    state
}

fn finding(n: u64) -> Finding {
    Finding {
        domain: "a.example".into(),
        fingerprint: B256::from(alloy::primitives::U256::from(n)),
        spki: None,
        precertificate: false,
        not_after: 0,
        issuer: String::new(),
        log: "https://log.example".into(),
        index: n,
        since: 0,
        stage: Stage::Waiting,
    }
}

#[test]
fn state_is_what_was_saved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.json");
    let (file, fresh) = StateFile::open(&path).unwrap();
    assert_eq!(fresh, State::default());
    file.save(&state()).unwrap();
    assert!(matches!(StateFile::open(&path), Err(StateError::Taken(_))));
    drop(file);
    assert_eq!(StateFile::open(&path).unwrap().1, state());
}

#[test]
fn damaged_state_is_an_error_and_not_an_absent_one() {
    let good = serde_json::to_string(&state()).unwrap();
    let other_root = good.replacen("\"root\":\"0x0", "\"root\":\"0xf", 1);
    assert_ne!(good, other_root);
    for bad in [
        "",
        "{",
        &good[..good.len() - 1],
        &good.replacen("\"size\":1", "\"size\":2", 1),
        &other_root,
        &good.replace("\"format\":1", "\"format\":2"),
        &good.replace("\"work\"", "\"wort\""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ct.json");
        fs::write(&path, bad).unwrap();
        assert!(matches!(StateFile::open(&path), Err(StateError::Damaged { .. })), "{bad}");
    }
}

/// Wherever a crash or a full disk would have cut it, if it were not replaced as a whole.
#[test]
fn state_that_is_cut_anywhere_is_an_error() {
    let good = serde_json::to_vec(&state()).unwrap();
    assert!(State::parse(&good).is_ok());
    assert!((0..good.len()).all(|cut| State::parse(&good[..cut]).is_err()));
}

/// A crash while it is written leaves the new file beside, half of it, and the old one as it was.
#[test]
fn half_a_new_state_beside_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.json");
    let (file, _) = StateFile::open(&path).unwrap();
    file.save(&state()).unwrap();
    drop(file);
    fs::write(dir.path().join("ct.json.new"), b"{\"format\":1,").unwrap();
    let (file, read) = StateFile::open(&path).unwrap();
    assert_eq!(read, state());
    file.save(&State::default()).unwrap();
    drop(file);
    assert_eq!(StateFile::open(&path).unwrap().1, State::default());
}

#[test]
fn certificate_is_one_finding_in_however_many_logs() {
    let mut state = state();
    state.add(vec![finding(1), finding(2)]).unwrap();
    state.add(vec![Finding { log: "https://other.example".into(), ..finding(1) }]).unwrap();
    assert_eq!(state.findings.len(), 2);
}

#[test]
fn findings_that_wait_are_not_dropped_for_new_ones() {
    let mut state = state();
    state.findings = (0..MAX_FINDINGS as u64).map(finding).collect();
    assert!(matches!(state.add(vec![finding(1 << 40)]), Err(StateError::Full)));
    state.findings[5].stage = Stage::Told;
    state.add(vec![finding(1 << 40)]).unwrap();
    assert!(!state.findings.contains(&finding(5)) && state.findings.len() == MAX_FINDINGS);
}

#[test]
fn alarm_is_raised_once_until_the_log_behaves() {
    let mut state = state();
    let outstanding = Outstanding { output: true, webhook: false, report: false };
    let alarm = Alarm {
        log: "https://log.example".into(),
        misdeed: Misdeed::Fork,
        what: String::new(),
        evidence: None,
        at: 1,
        outstanding,
    };
    state.alarm(alarm.clone());
    state.alarm(alarm.clone());
    assert_eq!(state.alarms.len(), 1);
    state.logs.values_mut().for_each(|log| log.trouble = None);
    state.alarm(alarm);
    assert_eq!(state.alarms.len(), 2);
}
