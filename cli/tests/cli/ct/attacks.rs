// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What logs do that hide a certificate or lie about it, and what a damaged state comes to.

use serde_json::{Value, json};

use super::{
    lines,
    log::{Lie, TestLog, certificate},
};
use crate::shell::{Ran, Shell};

const LINE: &str = "domain watch --logs logs.json --once --json --no-registry --also www.example.net";

async fn watch(shell: &Shell) -> Ran {
    shell.run_with(LINE, &[]).await
}

/// A log that was honest up to its 300th entry, and the monitor's state of that.
async fn honest(tiled: bool) -> (Shell, TestLog) {
    let shell = Shell::new().await;
    let log = TestLog::with(300).await;
    shell.write("logs.json", &log.listed(tiled).to_string());
    let ran = watch(&shell).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    (shell, log)
}

fn misdeed(ran: &Ran) -> Value {
    let told = lines(ran);
    assert_eq!((ran.code, told.len()), (1, 1), "{ran:?}");
    assert_eq!(told[0]["event"], "log-alarm");
    told[0]["misdeed"].clone()
}

fn verified(shell: &Shell) -> u64 {
    let state: Value =
        serde_json::from_slice(&std::fs::read(shell.path("mandate-ct.json")).unwrap()).unwrap();
    let log = state["logs"].as_object().unwrap().values().next().unwrap();
    log["verified"]["size"].as_u64().unwrap()
}

/// It shows the monitor something harmless where its tree has a certificate of a watched name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_that_is_not_the_hashed_one_is_an_alarm_and_is_found_once_it_is_served() {
    for tiled in [true, false] {
        let (shell, log) = honest(tiled).await;
        log.add(certificate(&["www.example.net"]).0);
        log.pad(5);
        log.lock().lie = Some(Lie::OtherEntry(300));
        assert_eq!(misdeed(&watch(&shell).await), "fork");
        assert_eq!(verified(&shell), 300, "nothing is verified by that");
        let again = watch(&shell).await;
        assert_eq!((again.code, again.stdout.as_str()), (1, ""), "told once, failing still: {again:?}");
        log.lock().lie = None;
        let found = watch(&shell).await;
        assert_eq!(lines(&found)[0]["event"], "incident", "{found:?}");
        assert_eq!((lines(&found)[0]["index"].as_u64(), verified(&shell)), (Some(300), 306));
    }
}

/// The tree that was verified is not a part of the one that it signs now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_that_forks_is_an_alarm() {
    for tiled in [true, false] {
        let (shell, log) = honest(tiled).await;
        log.lock().entries.swap(3, 4);
        let same_size = watch(&shell).await;
        assert_eq!(misdeed(&same_size), "fork");
        let evidence = lines(&same_size)[0]["evidence"].as_str().unwrap().to_owned();
        // Time and signature may hold any digits; the size stands on a line of its own or behind its name.
        let size = if tiled { "\n300\n" } else { "\"tree_size\":300" };
        assert_eq!(evidence.matches(size).count(), 2, "both heads: {evidence}");

        let (shell, log) = honest(tiled).await;
        log.lock().entries.swap(3, 4);
        log.pad(10);
        assert_eq!(misdeed(&watch(&shell).await), "fork");
        assert_eq!(verified(&shell), 300);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_that_rolls_back_is_an_alarm_and_a_replica_that_lags_is_none() {
    for tiled in [true, false] {
        let (shell, log) = honest(tiled).await;
        log.lock().entries.truncate(299);
        log.lock().ahead = -60_000;
        let lagging = watch(&shell).await;
        assert_eq!((lagging.code, lagging.stdout.as_str()), (0, ""), "{lagging:?}");
        log.lock().ahead = 0;
        assert_eq!(misdeed(&watch(&shell).await), "rollback");
        assert_eq!(verified(&shell), 300);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_that_its_key_did_not_sign_is_an_alarm() {
    for tiled in [true, false] {
        let (shell, log) = honest(tiled).await;
        log.pad(1);
        log.lock().lie = Some(Lie::OtherKey);
        assert_eq!(misdeed(&watch(&shell).await), "bad-signature");
        assert_eq!(verified(&shell), 300);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_that_is_frozen_or_from_the_future_is_an_alarm() {
    for ahead in [-25 * 3_600_000, 3_600_000] {
        let shell = Shell::new().await;
        let log = TestLog::with(3).await;
        log.lock().ahead = ahead;
        shell.write("logs.json", &log.listed(true).to_string());
        assert_eq!(misdeed(&watch(&shell).await), "stale");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_without_end_a_gzip_bomb_and_nonsense_are_alarms() {
    for (tiled, lie, what) in [
        (true, Lie::Endless, "the answer has more than"),
        (false, Lie::Endless, "the answer has more than"),
        (true, Lie::Bomb, "when decompressed"),
        (true, Lie::Nonsense, "the checkpoint is malformed"),
        (false, Lie::Nonsense, "get-sth: missing field"),
    ] {
        let (shell, log) = honest(tiled).await;
        log.pad(1);
        log.lock().lie = Some(lie);
        let ran = watch(&shell).await;
        assert_eq!(misdeed(&ran), "bad-answer", "{lie:?}");
        assert!(ran.stdout.contains(what), "{lie:?}: {ran:?}");
        assert_eq!(verified(&shell), 300);
    }
}

/// One that took it for absent would begin at the log's present end, and miss what is before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_state_is_refused_and_left_as_it_is() {
    let (shell, log) = honest(true).await;
    let good = std::fs::read_to_string(shell.path("mandate-ct.json")).unwrap();
    log.add(certificate(&["www.example.net"]).0);
    for bad in [
        "",
        &good[..good.len() / 2],
        &good.replace("\"size\":300", "\"size\":301"),
        &good.replace("\"timestamp\":1", "\"timestamp\":2"),
    ] {
        shell.write("mandate-ct.json", bad);
        let refused = watch(&shell).await;
        assert!(refused.error(64).contains("mandate-ct.json is damaged"), "{refused:?}");
        assert_eq!(std::fs::read_to_string(shell.path("mandate-ct.json")).unwrap(), bad);
    }
    // So is the state of a log with another key under the same URL.
    let mut state: Value = serde_json::from_str(&good).unwrap();
    state["logs"][&log.url]["id"] = json!(format!("0x{}", "11".repeat(32)));
    shell.write("mandate-ct.json", &state.to_string());
    assert!(watch(&shell).await.error(64).contains("another key"));
    shell.write("mandate-ct.json", &good);
    assert_eq!(lines(&watch(&shell).await)[0]["event"], "incident");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_that_does_not_answer_leaves_it_undecided() {
    let (shell, log) = honest(false).await;
    let listed = log.listed(false).to_string().replace(&log.url, "http://127.0.0.1:1");
    shell.write("logs.json", &listed);
    let ran = watch(&shell).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (75, ""), "{ran:?}");
    assert!(ran.stderr.contains("127.0.0.1:1"), "{ran:?}");
}
