// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ceremonies with honest, silent, lying and restarting parties.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use mandate_threshold::{
    AppSecret, CeremonyError, DealerSession, Output, PlayerSession, PublicPolynomial, Share, check_log,
    derive::APP_NAMESPACE, observe,
};
use proptest::prelude::*;
use support::{deal, finish, genesis, info, keys, message, players_of, publics, run, share_of};

fn secret(done: &support::Done, indices: impl IntoIterator<Item = usize>) -> Option<AppSecret> {
    let message = message(&done.output);
    let partials: Vec<_> =
        indices.into_iter().map(|i| done.shares[i].1.sign(APP_NAMESPACE, &message)).collect();
    let signature = done.output.public().combine(APP_NAMESPACE, &message, &partials).ok()?;
    Some(AppSecret::derive(&signature, &message))
}

#[test]
fn genesis_makes_one_key_for_committees_of_1_4_and_7() {
    for (n, t) in [(1u8, 1u32), (4, 3), (7, 5)] {
        let done = genesis(n);
        assert_eq!(done.output.quorum(), t);
        assert_eq!(done.output.players().len(), usize::from(n));
        assert!(done.output.revealed().is_empty());
        for (key, share) in &done.shares {
            assert_eq!(done.output.players()[share.index() as usize], *key);
        }
        assert!(secret(&done, 0..t as usize).is_some());
    }
}

#[test]
fn observer_computes_the_same_output_in_any_order_of_logs() {
    let mut done = genesis(4);
    assert_eq!(observe(&done.info, &done.logs).unwrap(), done.output);
    done.logs.reverse();
    assert_eq!(observe(&done.info, &done.logs).unwrap(), done.output);
}

#[test]
fn g4_fewer_than_the_quorum_get_nothing_and_any_quorum_the_same_secret() {
    for (n, t) in [(4u8, 3usize), (7, 5)] {
        let done = genesis(n);
        let n = usize::from(n);
        let whole = secret(&done, 0..n).unwrap();
        for mask in 0u32..1 << n {
            let chosen: Vec<usize> = (0..n).filter(|i| mask & (1 << i) != 0).collect();
            // All subsets below the quorum of 4, some of 7: each costs pairings.
            if n == 7 && mask % 5 != 0 && chosen.len() != t {
                continue;
            }
            let enough = chosen.len() >= t;
            assert_eq!(secret(&done, chosen).map(|s| s == whole), enough.then_some(true), "mask {mask:b}");
        }
    }
}

#[test]
fn g4_repeating_one_partial_does_not_make_a_quorum() {
    let done = genesis(4);
    assert!(secret(&done, [0, 0, 1, 1, 0]).is_none());
}

#[test]
fn f_silent_dealers_and_players_do_not_stop_genesis() {
    for (n, f) in [(4u8, 1u8), (7, 2)] {
        let all = keys(0..n);
        let info = info(1, None, &all, &all);
        let awake = keys(0..n - f);
        let mut sessions = players_of(&info, &awake);
        let logs: support::Logs =
            awake.iter().map(|dealer| deal(&info, dealer, None, &mut sessions)).collect();
        let results = finish(sessions, &logs).unwrap();
        assert!(results.windows(2).all(|pair| pair[0].0 == pair[1].0));
        let output = &results[0].0;
        // Nobody acknowledged for the sleepers, so their shares stand in the logs.
        assert_eq!(output.revealed().len(), usize::from(f));
        assert_eq!(observe(&info, &logs).unwrap(), *output);

        // A sleeper that wakes up later finds its share in the logs.
        let late = PlayerSession::new(&info, &all[usize::from(n) - 1]).unwrap();
        let (late_output, late_share) = late.finish(&logs).unwrap();
        assert_eq!(late_output, *output);
        let text = message(output);
        assert!(output.public().verify_partial(APP_NAMESPACE, &text, &late_share.sign(APP_NAMESPACE, &text)));
    }
}

#[test]
fn more_than_f_silent_dealers_end_in_an_error_that_names_them() {
    let all = keys(0..4);
    let info = info(1, None, &all, &all);
    let mut sessions = players_of(&info, &all);
    let logs: support::Logs =
        all[..2].iter().map(|dealer| deal(&info, dealer, None, &mut sessions)).collect();
    let error = observe(&info, &logs).unwrap_err();
    let CeremonyError::TooFewLogs { required, found, ref faults, ref absent } = error else {
        panic!("{error}")
    };
    assert_eq!((required, found, faults.len()), (3, 2, 0));
    let mut sleepers: Vec<String> = all[2..].iter().map(|key| hex::encode(key.public())).collect();
    sleepers.sort();
    assert_eq!(*absent, sleepers);
    assert!(error.to_string().contains(&sleepers[0]));
}

#[test]
fn corrupted_dealing_gets_no_acknowledgement_and_its_dealer_must_reveal() {
    let all = keys(0..4);
    let info = info(1, None, &all, &all);
    let mut sessions = players_of(&info, &all);
    let (mut dealer, dealings) = DealerSession::start(&info, &all[0], None, [1; 32]).unwrap();
    for dealing in &dealings {
        let (_, player) = sessions.iter_mut().find(|(key, _)| *key == dealing.recipient).unwrap();
        if dealing.recipient == all[3].public() {
            let mut bad = dealing.body.to_vec();
            *bad.last_mut().unwrap() ^= 1;
            assert!(matches!(player.deal(&all[0].public(), &bad), Err(CeremonyError::DealingRefused { .. })));
            assert_eq!(player.acknowledged(), 0);
            continue;
        }
        let ack = player.deal(&all[0].public(), &dealing.body).unwrap();
        dealer.acknowledge(&dealing.recipient, &ack).unwrap();
    }
    assert_eq!(dealer.waiting(), [all[3].public()]);
    let mut logs = vec![(all[0].public(), dealer.finish())];
    logs.extend(all[1..].iter().map(|key| deal(&info, key, None, &mut sessions)));
    let results = finish(sessions, &logs).unwrap();
    // Only one dealer revealed it: t − f of the dealers would have to for the share to be public.
    let revealed = results[0].0.revealed();
    assert!(revealed.is_empty() || revealed == [all[3].public()]);
    assert_eq!(observe(&info, &logs).unwrap(), results[0].0);
    let text = message(&results[0].0);
    for (output, (_, share)) in &results {
        assert!(output.public().verify_partial(APP_NAMESPACE, &text, &share.sign(APP_NAMESPACE, &text)));
    }
}

#[test]
fn a_dealing_to_another_player_or_of_another_round_is_refused() {
    let all = keys(0..4);
    let (first, second) = (info(1, None, &all, &all), info(2, None, &all, &all));
    let (_, dealings) = DealerSession::start(&first, &all[0], None, [1; 32]).unwrap();
    let misdirected = dealings.iter().find(|d| d.recipient != all[1].public()).unwrap();
    let mut player = PlayerSession::new(&first, &all[1]).unwrap();
    assert!(matches!(
        player.deal(&all[0].public(), &misdirected.body),
        Err(CeremonyError::DealingRefused { .. })
    ));

    // The acknowledgement of round 1 does not count in round 2, though the dealing could be the same.
    let mine = dealings.iter().find(|d| d.recipient == all[1].public()).unwrap();
    let ack = player.deal(&all[0].public(), &mine.body).unwrap();
    let (mut dealer, _) = DealerSession::start(&second, &all[0], None, [1; 32]).unwrap();
    assert!(matches!(
        dealer.acknowledge(&all[1].public(), &ack),
        Err(CeremonyError::BadAcknowledgement { .. })
    ));
}

#[test]
fn strangers_neither_deal_nor_play() {
    let (all, stranger) = (keys(0..4), keys(9..10).remove(0));
    let info = info(1, None, &all, &all);
    assert!(matches!(
        DealerSession::start(&info, &stranger, None, [1; 32]),
        Err(CeremonyError::NotADealer { .. })
    ));
    assert!(matches!(PlayerSession::new(&info, &stranger), Err(CeremonyError::NotAPlayer { .. })));
    let (_, dealings) = DealerSession::start(&info, &all[0], None, [1; 32]).unwrap();
    let mine = dealings.iter().find(|d| d.recipient == all[1].public()).unwrap();
    let mut player = PlayerSession::new(&info, &all[1]).unwrap();
    assert!(matches!(player.deal(&stranger.public(), &mine.body), Err(CeremonyError::NotADealer { .. })));
}

#[test]
fn equivocating_dealer_is_held_to_its_first_dealing() {
    let all = keys(0..4);
    let info = info(1, None, &all, &all);
    let mut player = PlayerSession::new(&info, &all[1]).unwrap();
    let of = |seed| {
        let (_, dealings) = DealerSession::start(&info, &all[0], None, [seed; 32]).unwrap();
        dealings.into_iter().find(|d| d.recipient == all[1].public()).unwrap().body
    };
    let ack = player.deal(&all[0].public(), &of(1)).unwrap();
    assert!(matches!(player.deal(&all[0].public(), &of(2)), Err(CeremonyError::Equivocation { .. })));
    assert_eq!(player.deal(&all[0].public(), &of(1)).unwrap(), ack);
}

#[test]
fn g10_restarted_dealer_deals_the_same_and_restarted_player_acknowledges_the_same() {
    let all = keys(0..4);
    let info = info(7, None, &all, &all);
    let start = || DealerSession::start(&info, &all[0], None, [3; 32]).unwrap();
    let ((mut first, dealings), (mut second, again)) = (start(), start());
    for (one, two) in dealings.iter().zip(&again) {
        assert_eq!((one.recipient, &*one.body), (two.recipient, &*two.body));
        let key = all.iter().find(|key| key.public() == one.recipient).unwrap();
        let answer = || PlayerSession::new(&info, key).unwrap().deal(&all[0].public(), &one.body).unwrap();
        let ack = answer();
        assert_eq!(ack, answer());
        first.acknowledge(&one.recipient, &ack).unwrap();
        second.acknowledge(&one.recipient, &ack).unwrap();
        second.acknowledge(&one.recipient, &ack).unwrap();
    }
    assert_eq!(first.finish(), second.finish());
}

#[test]
fn one_seed_deals_differently_in_different_rounds() {
    let all = keys(0..4);
    let body = |round| {
        let (_, dealings) =
            DealerSession::start(&info(round, None, &all, &all), &all[0], None, [3; 32]).unwrap();
        dealings[0].body.to_vec()
    };
    assert_ne!(body(1), body(2));
}

#[test]
fn g10_player_that_replays_its_dealings_gets_the_same_share_and_one_that_lost_them_says_so() {
    let all = keys(0..4);
    let done = genesis(4);
    let mut replayed = PlayerSession::new(&done.info, &all[2]).unwrap();
    for dealer in &all {
        let (_, dealings) = DealerSession::start(&done.info, dealer, None, [42; 32]).unwrap();
        let mine = dealings.iter().find(|d| d.recipient == all[2].public()).unwrap();
        replayed.deal(&dealer.public(), &mine.body).unwrap();
    }
    let (output, share) = replayed.finish(&done.logs).unwrap();
    assert_eq!(output, done.output);
    assert_eq!(*share.encode(), *share_of(&done.shares, &all[2]).unwrap().encode());

    let forgetful = PlayerSession::new(&done.info, &all[2]).unwrap();
    assert_eq!(forgetful.finish(&done.logs).unwrap_err(), CeremonyError::DealingLost);
}

#[test]
fn logs_are_checked_and_bad_ones_count_as_absent() {
    let done = genesis(4);
    let (dealer, log) = &done.logs[0];
    check_log(&done.info, dealer, log).unwrap();
    let other = done.logs[1].0;
    assert!(matches!(check_log(&done.info, &other, log), Err(CeremonyError::LogNotSigned { .. })));
    let next = support::info(2, None, &keys(0..4), &keys(0..4));
    assert!(matches!(check_log(&next, dealer, log), Err(CeremonyError::LogNotSigned { .. })));

    // Garbage, a log under another name and a repeated one change nothing while enough good ones are there.
    let mut logs = done.logs.clone();
    logs[3].1 = vec![1, 2, 3];
    let three = observe(&done.info, &logs).unwrap();
    assert_eq!(three.group_key(), observe(&done.info, &done.logs[..3]).unwrap().group_key());
    logs.push((logs[0].0, vec![9]));
    assert_eq!(observe(&done.info, &logs).unwrap(), three);
    logs[2].1 = logs[1].1.clone();
    assert!(matches!(observe(&done.info, &logs), Err(CeremonyError::TooFewLogs { found: 2, .. })));
}

#[test]
fn a_dealer_that_nobody_acknowledges_withholds_and_is_named() {
    let all = keys(0..4);
    let info = info(1, None, &all, &all);
    let (dealer, _) = DealerSession::start(&info, &all[0], None, [1; 32]).unwrap();
    let log = dealer.finish();
    let error = check_log(&info, &all[0].public(), &log).unwrap_err();
    assert!(error.to_string().contains(&hex::encode(all[0].public())), "{error}");
}

#[test]
fn refresh_and_reshare_keep_the_group_key_and_every_app_secret() {
    let first = genesis(4);
    let whole = secret(&first, 0..3).unwrap();

    let refreshed = run(2, Some(&first), &keys(0..4), &keys(0..4));
    assert_eq!(refreshed.output.group_key(), first.output.group_key());
    assert_eq!(secret(&refreshed, 1..4).unwrap(), whole);
    // The shares are new: a partial of an old one is of no use with the new ones.
    let text = message(&first.output);
    let stale = first.shares[0].1.sign(APP_NAMESPACE, &text);
    assert!(!refreshed.output.public().verify_partial(APP_NAMESPACE, &text, &stale));

    // 4 → 7 with three of the four dealing, and a committee that shares only one member with the old one.
    let grown = run(3, Some(&refreshed), &keys(0..3), &keys(3..10));
    assert_eq!(grown.output.group_key(), first.output.group_key());
    assert_eq!((grown.output.quorum(), secret(&grown, 2..7).unwrap()), (5, whole.clone()));
    assert!(secret(&grown, 0..4).is_none());

    let shrunk = run(4, Some(&grown), &keys(3..10), &keys(0..4));
    assert_eq!(shrunk.output.group_key(), first.output.group_key());
    assert_eq!(secret(&shrunk, 0..3).unwrap(), whole);
}

#[test]
fn g11_a_new_genesis_makes_other_keys_and_secrets() {
    let (first, second) = (genesis(4), run(2, None, &keys(0..4), &keys(0..4)));
    assert_ne!(first.output.group_key(), second.output.group_key());
    assert_ne!(secret(&first, 0..3), secret(&second, 0..3));
}

#[test]
fn dealing_needs_ones_own_share_exactly_when_the_key_is_kept() {
    let (first, all) = (genesis(4), keys(0..4));
    let (fresh, kept) = (info(2, None, &all, &all), info(2, Some(&first.output), &all, &all));
    let own = share_of(&first.shares, &all[0]).unwrap();
    let others = share_of(&first.shares, &all[1]).unwrap();
    let foreign = run(9, None, &all, &all);
    let start = |info, share: Option<&Share>| DealerSession::start(info, &all[0], share, [1; 32]).map(|_| ());
    assert_eq!(start(&fresh, Some(own)), Err(CeremonyError::UnexpectedShare));
    assert_eq!(start(&kept, None), Err(CeremonyError::MissingShare));
    assert_eq!(start(&kept, Some(others)), Err(CeremonyError::WrongShare));
    assert_eq!(start(&kept, share_of(&foreign.shares, &all[0])), Err(CeremonyError::WrongShare));
    assert_eq!(start(&kept, Some(own)), Ok(()));
}

#[test]
fn a_reshare_by_fewer_than_the_old_quorum_or_by_strangers_is_refused() {
    let first = genesis(4);
    let players = keys(0..4);
    assert!(matches!(
        info(2, Some(&first.output), &keys(0..2), &players).check(),
        Err(CeremonyError::NodeCount { given: 2 })
    ));
    assert!(matches!(
        info(2, Some(&first.output), &keys(1..5), &players).check(),
        Err(CeremonyError::NotADealer { .. })
    ));
    let mut twice = info(2, None, &players, &players);
    twice.dealers[1] = twice.dealers[0];
    assert_eq!(twice.check(), Err(CeremonyError::RepeatedKey));
    twice.dealers.clear();
    assert_eq!(twice.check(), Err(CeremonyError::NodeCount { given: 0 }));
    twice.dealers = publics(&keys(0..65));
    assert_eq!(twice.check(), Err(CeremonyError::NodeCount { given: 65 }));
    // About half of all byte strings are no point.
    let refused = (0u8..=255).filter(|i| {
        twice.dealers = vec![[*i; 32]];
        matches!(twice.check(), Err(CeremonyError::BadPublicKey { .. }))
    });
    assert!(refused.count() > 64);
}

#[test]
fn a_joining_node_needs_only_what_stands_on_chain() {
    let first = genesis(4);
    let published = first.output.polynomial();
    assert_eq!(Output::decode(&published).unwrap(), first.output);
    assert_eq!(PublicPolynomial::decode(&published, 4).unwrap(), first.output.public());
    assert!(PublicPolynomial::decode(&published, 7).is_err());
}

#[test]
fn g12_nothing_secret_is_printed() {
    let done = genesis(4);
    let share = &done.shares[0].1;
    let partial = share.sign(APP_NAMESPACE, b"m");
    let text = format!("{share:?} {partial:?} {done:?}");
    let private = hex::encode(&share.encode()[1..]);
    assert!(!text.contains(&private) && !text.contains(&hex::encode(&partial.encode()[1..])));
    assert!(!Share::decode(&[0xab; 33]).unwrap_err().to_string().contains("abab"));
}

type Sample = (Vec<u8>, Vec<u8>, Vec<u8>, support::Done);

fn output_and_log() -> &'static Sample {
    static DONE: std::sync::OnceLock<Sample> = std::sync::OnceLock::new();
    DONE.get_or_init(|| {
        let done = genesis(4);
        let (_, dealings) = DealerSession::start(&done.info, &keys(0..1)[0], None, [42; 32]).unwrap();
        let mine = dealings.iter().find(|d| d.recipient == keys(1..2)[0].public()).unwrap();
        (done.output.encode(), done.logs[0].1.clone(), mine.body.to_vec(), done)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn truncated_or_extended_encodings_are_refused(cut in 0usize..10_000, extra in any::<u8>()) {
        let (output, log, body, done) = output_and_log();
        prop_assert!(Output::decode(&output[..cut % output.len()]).is_err());
        prop_assert!(Output::decode(&[output.as_slice(), &[extra]].concat()).is_err());
        let dealer = done.logs[0].0;
        prop_assert!(check_log(&done.info, &dealer, &log[..cut % log.len()]).is_err());
        prop_assert!(check_log(&done.info, &dealer, &[log.as_slice(), &[extra]].concat()).is_err());
        let mut player = PlayerSession::new(&done.info, &keys(1..2)[0]).unwrap();
        let dealing_dealer = keys(0..1)[0].public();
        prop_assert!(player.deal(&dealing_dealer, &body[..cut % body.len()]).is_err());
        prop_assert!(player.deal(&dealing_dealer, &[body.as_slice(), &[extra]].concat()).is_err());
        let share = done.shares[0].1.encode();
        prop_assert!(Share::decode(&share[..cut % share.len()]).is_err());
        prop_assert!(Share::decode(&[share.as_slice(), &[extra]].concat()).is_err());
    }

    #[test]
    fn any_changed_byte_of_a_log_is_noticed(at in 0usize..10_000, flip in 1u8..) {
        let (_, log, _, done) = output_and_log();
        let mut log = log.clone();
        let at = at % log.len();
        log[at] ^= flip;
        prop_assert!(check_log(&done.info, &done.logs[0].0, &log).is_err());
    }

    #[test]
    fn hostile_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), key in any::<[u8; 32]>()) {
        let (_, _, _, done) = output_and_log();
        prop_assert!(Output::decode(&bytes).is_err());
        prop_assert!(check_log(&done.info, &key, &bytes).is_err());
        prop_assert!(mandate_threshold::Partial::decode(&bytes).is_err());
        let mut player = PlayerSession::new(&done.info, &keys(1..2)[0]).unwrap();
        prop_assert!(player.deal(&keys(0..1)[0].public(), &bytes).is_err());
        let (mut dealer, _) = DealerSession::start(&done.info, &keys(0..1)[0], None, [42; 32]).unwrap();
        prop_assert!(dealer.acknowledge(&key, &bytes).is_err());
    }

    #[test]
    fn a_changed_output_never_passes_for_the_same_key(at in 0usize..10_000, flip in 1u8..) {
        let (output, ..) = output_and_log();
        let mut changed = output.clone();
        let at = at % changed.len();
        changed[at] ^= flip;
        if let Ok(decoded) = Output::decode(&changed) {
            prop_assert_eq!(decoded.encode(), changed);
        }
    }
}
