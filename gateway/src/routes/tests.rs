// SPDX-License-Identifier: Apache-2.0 OR MIT

use alloy::primitives::B256;
use proptest::prelude::*;

use super::*;
use crate::upstream::Upstream;

const S: Duration = Duration::from_secs(1);

fn facts(app: u8, instance: u8) -> Facts {
    Facts {
        app: Address::repeat_byte(app),
        instance: Address::repeat_byte(instance),
        code_hash: B256::repeat_byte(1),
        os_image_hash: B256::ZERO,
        device: B256::ZERO,
        mr_aggregated: B256::ZERO,
        mr_system: B256::ZERO,
        tee: 1,
        tcb_status: "UpToDate".to_owned(),
        advisories: Vec::new(),
        ticket: B256::ZERO,
    }
}

fn candidate(app: u8, instance: u8, port: u16) -> Candidate {
    let upstream = Upstream::try_from(format!("127.0.0.1:{port}").as_str()).unwrap();
    let (ingress, certificates) = (Vec::new(), Vec::new());
    Candidate { facts: facts(app, instance), spki: vec![instance], upstream, ingress, certificates }
}

fn until(seconds: u32) -> Term {
    Term { lease: S * seconds, allowed: S * 1_000_000 }
}

fn ids(routes: &Routes, id: u8, now: u32) -> Vec<RouteId> {
    routes.candidates(Address::repeat_byte(id), S * now).iter().map(|r| r.id).collect()
}

#[test]
fn routes_are_found_by_app_and_by_instance_until_their_end() {
    let routes = Routes::default();
    let one = routes.insert(candidate(1, 11, 1), until(10)).unwrap();
    let two = routes.insert(candidate(1, 12, 2), until(20)).unwrap();
    let mut both = ids(&routes, 1, 9);
    both.sort();
    assert_eq!(both, [one.id, two.id]);
    assert_eq!(ids(&routes, 11, 9), [one.id]);
    assert_eq!(ids(&routes, 1, 10), [two.id]);
    assert!(ids(&routes, 2, 0).is_empty());
    assert_eq!(routes.next_end(), Some(S * 10));
    assert_eq!(routes.expire(S * 10).len(), 1);
    assert!(one.ended.is_cancelled() && !two.ended.is_cancelled());
    assert_eq!(routes.len(), 1);
}

#[test]
fn whichever_of_lease_and_verdict_ends_first_ends_the_route() {
    let routes = Routes::default();
    let route = routes.insert(candidate(1, 11, 1), Term { lease: S * 10, allowed: S * 5 }).unwrap();
    assert!(ids(&routes, 1, 5).is_empty());
    routes.set_allowed(route.id, S * 50);
    assert_eq!(ids(&routes, 1, 9).len(), 1);
    assert!(ids(&routes, 1, 10).is_empty());
}

#[test]
fn candidates_take_turns_and_failing_ones_come_last() {
    let routes = Routes::default();
    let one = routes.insert(candidate(1, 11, 1), until(10)).unwrap();
    let two = routes.insert(candidate(1, 12, 2), until(10)).unwrap();
    let (first, second) = (ids(&routes, 1, 0), ids(&routes, 1, 0));
    assert_ne!(first[0], second[0]);
    one.note(false, S);
    for _ in 0..3 {
        assert_eq!(ids(&routes, 1, 0), [two.id, one.id]);
    }
    one.note(true, S);
    assert_ne!(ids(&routes, 1, 0)[0], ids(&routes, 1, 0)[0]);
}

#[test]
fn same_registration_keeps_the_route_and_another_key_makes_another_one() {
    let routes = Routes::default();
    let first = routes.insert(candidate(1, 11, 1), until(10)).unwrap();
    assert_eq!(routes.insert(candidate(1, 11, 1), until(20)).unwrap().id, first.id);
    assert_eq!(ids(&routes, 1, 15), [first.id]);
    let rekeyed = Candidate { spki: vec![99], ..candidate(1, 11, 1) };
    assert_ne!(routes.insert(rekeyed, until(20)).unwrap().id, first.id);
    assert!(!first.ended.is_cancelled());
}

#[test]
fn of_too_many_routes_of_an_instance_a_failing_one_goes_first() {
    let routes = Routes::default();
    let made: Vec<_> =
        (1..=4).map(|p| routes.insert(candidate(1, 11, p), until(10 + u32::from(p))).unwrap()).collect();
    made[2].note(false, S);
    routes.insert(candidate(1, 11, 5), until(20)).unwrap();
    assert!(made[2].ended.is_cancelled());
    routes.insert(candidate(1, 11, 6), until(20)).unwrap();
    assert!(made[0].ended.is_cancelled() && !made[1].ended.is_cancelled());
    assert_eq!(routes.len(), MAX_PER_INSTANCE);
}

#[test]
fn attack_claimed_instance_id_of_somebody_else_is_refused() {
    let routes = Routes::default();
    routes.insert(candidate(1, 11, 1), until(10)).unwrap();
    let instance = Address::repeat_byte(11);
    assert_eq!(
        routes.insert(candidate(2, 11, 2), until(10)).unwrap_err(),
        RouteError::InstanceTaken { instance }
    );
    let instance = Address::repeat_byte(1);
    assert_eq!(
        routes.insert(candidate(2, 1, 2), until(10)).unwrap_err(),
        RouteError::InstanceIsAnApp { instance }
    );
    routes.expire(S * 10);
    assert!(routes.insert(candidate(2, 11, 2), until(20)).is_ok());
}

#[test]
fn connections_are_counted_while_they_last() {
    let routes = Routes::default();
    let route = routes.insert(candidate(1, 11, 1), until(10)).unwrap();
    let (one, two) = (route.connect(), route.connect());
    drop(one);
    assert_eq!(routes.listing()[0].connections, 1);
    drop(two);
    assert_eq!(route.connections(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Insert { app: u8, instance: u8, port: u16, until: u32 },
    Remove { nth: usize },
    Expire { now: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u8..4, 10u8..14, 1u16..7, 1u32..100)
            .prop_map(|(app, instance, port, until)| Step::Insert { app, instance, port, until }),
        1 => (0usize..8).prop_map(|nth| Step::Remove { nth }),
        1 => (0u32..100).prop_map(|now| Step::Expire { now }),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// The indices and the slots tell the same story, an instance has one app, and exactly what left the table has ended.
    #[test]
    fn table_stays_consistent(steps in steps()) {
        let routes = Routes::default();
        let mut ever: Vec<Arc<Route>> = Vec::new();
        for step in steps {
            match step {
                Step::Insert { app, instance, port, until: end } => {
                    ever.extend(routes.insert(candidate(app, instance, port), until(end)));
                }
                Step::Remove { nth } => {
                    if let Some(route) = routes.all().get(nth) {
                        prop_assert!(routes.remove(route.id));
                        prop_assert!(!routes.remove(route.id));
                    }
                }
                Step::Expire { now } => {
                    for route in routes.expire(S * now) {
                        prop_assert!(route.ended.is_cancelled());
                    }
                }
            }
            let all = routes.all();
            for route in &ever {
                let there = all.iter().any(|other| other.id == route.id);
                prop_assert_eq!(there, !route.ended.is_cancelled());
            }
            for route in &all {
                prop_assert!(routes.of_app(route.facts.app).iter().any(|other| other.id == route.id));
                let same = all.iter().filter(|other| other.facts.instance == route.facts.instance);
                let same: Vec<_> = same.collect();
                prop_assert!(same.len() <= MAX_PER_INSTANCE);
                prop_assert!(same.iter().all(|other| other.facts.app == route.facts.app));
            }
            let apps: HashSet<_> = all.iter().map(|route| route.facts.app).collect();
            prop_assert_eq!(routes.apps(), apps);
        }
    }
}
