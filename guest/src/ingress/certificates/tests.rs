// SPDX-License-Identifier: Apache-2.0 OR MIT
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{collections::BTreeSet, net::SocketAddr, path::Path, sync::atomic::Ordering};

use mandate_acme::issuer::RenewalWindow;

use super::*;
use crate::ingress::scripted::{Act, DOMAIN, LIFE, NOW, World};

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

fn refused(name: DomainName) -> IssueError {
    IssueError::Refused { issuer: "ca.test".to_owned(), name, what: "not today".to_owned() }
}

fn unreachable(_: DomainName) -> IssueError {
    IssueError::Unreachable { issuer: "ca.test".to_owned(), what: "nobody there".to_owned() }
}

fn limited(name: DomainName) -> IssueError {
    let after = Duration::from_secs(7_200);
    IssueError::RateLimited { issuer: "ca.test".to_owned(), name, after, what: "too many".to_owned() }
}

/// What one domain has come to.
#[derive(Default)]
struct Domain {
    current: Option<Current>,
    tries: Tries,
}

impl Domain {
    async fn step(&mut self, world: &World) -> Duration {
        world.orders().step(&world.domain(), &mut self.current, &mut self.tries).await
    }

    fn renew_at(&self) -> u64 {
        self.current.as_ref().unwrap().renew_at
    }
}

fn orders(world: &World) -> usize {
    world.ca.orders.lock().unwrap().len()
}

fn fingerprint(world: &World) -> Option<[u8; 32]> {
    world.shown.find(&world.domain()).map(|certificate| certificate.fingerprint())
}

fn to(world: &World, unix: u64) {
    let now = world.ambient.clock.unix();
    world.clock.advance(Duration::from_secs(unix - now));
}

fn file(dir: &Path) -> PathBuf {
    dir.join(format!("{DOMAIN}.json"))
}

#[tokio::test]
async fn certificate_is_renewed_past_two_thirds_of_its_life_and_names_its_predecessor() {
    let (world, mut domain) = (World::new(NOWHERE, None), Domain::default());
    domain.step(&world).await;
    let (first, due) = (fingerprint(&world).unwrap(), domain.renew_at());
    assert!((NOW + LIFE * 2 / 3..=NOW + LIFE * 2 / 3 + LIFE / 30).contains(&due), "{due}");
    to(&world, due - 1);
    domain.step(&world).await;
    assert_eq!((orders(&world), fingerprint(&world)), (1, Some(first)));
    to(&world, due);
    domain.step(&world).await;
    assert_eq!(orders(&world), 2);
    assert_ne!(fingerprint(&world).unwrap(), first);
    let predecessor = world.ca.orders.lock().unwrap()[1].clone().unwrap();
    assert_eq!(<[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(&predecessor)), first);
}

#[tokio::test]
async fn authority_that_wants_a_certificate_renewed_early_is_heard_while_it_is_served() {
    let (world, mut domain) = (World::new(NOWHERE, None), Domain::default());
    let wait = domain.step(&world).await;
    assert!(wait <= LOOK);
    // As before a revocation of many certificates at once.
    let (start, end) = (NOW - 10, NOW - 5);
    *world.ca.window.lock().unwrap() = Some(RenewalWindow { start, end, again_after: LOOK });
    world.clock.advance(wait);
    domain.step(&world).await;
    assert_eq!(orders(&world), 2);
}

#[tokio::test]
async fn attack_authority_cannot_put_off_a_renewal_until_the_certificate_is_over() {
    let (world, mut domain) = (World::new(NOWHERE, None), Domain::default());
    let (start, end) = (NOW + 2 * LIFE, NOW + 3 * LIFE);
    *world.ca.window.lock().unwrap() = Some(RenewalWindow { start, end, again_after: LOOK });
    domain.step(&world).await;
    assert!(domain.renew_at() < NOW + LIFE);
}

#[tokio::test]
async fn drawn_moment_stays_while_the_window_does() {
    let (world, mut domain) = (World::new(NOWHERE, None), Domain::default());
    let (start, end) = (NOW + LIFE / 2, NOW + LIFE / 2 + 100_000);
    *world.ca.window.lock().unwrap() = Some(RenewalWindow { start, end, again_after: LOOK });
    let wait = domain.step(&world).await;
    let drawn = domain.renew_at();
    assert!((start..end).contains(&drawn));
    world.clock.advance(wait);
    domain.step(&world).await;
    assert_eq!(domain.renew_at(), drawn);
}

#[tokio::test]
async fn refusals_are_repeated_rarely_and_a_rate_limit_is_kept_to() {
    let (world, mut domain) = (World::new(NOWHERE, None), Domain::default());
    let acts: [fn(DomainName) -> IssueError; 4] = [unreachable, refused, refused, limited];
    world.ca.script.lock().unwrap().extend(acts.map(Act::Fail));
    let least = |seconds: u64| Duration::from_secs(seconds) * 3 / 4;
    let waits = [
        domain.step(&world).await,
        domain.step(&world).await,
        domain.step(&world).await,
        domain.step(&world).await,
    ];
    assert!(waits[0] < Duration::from_secs(2), "{waits:?}");
    assert!(waits[1] >= least(240) && waits[2] >= least(480) && waits[3] >= least(7_200), "{waits:?}");
    assert!(world.health.problems()[0].contains("too many"), "{:?}", world.health.problems());
    domain.step(&world).await;
    assert_eq!(domain.tries, Tries::default());
    assert!(world.health.problems().is_empty());
}

#[tokio::test]
async fn certificate_that_is_over_is_not_shown_while_its_successor_does_not_come() {
    let (world, mut domain) = (World::new(NOWHERE, None), Domain::default());
    domain.step(&world).await;
    for unix in [domain.renew_at(), NOW + LIFE - 1] {
        to(&world, unix);
        world.ca.script.lock().unwrap().push_back(Act::Fail(unreachable));
        domain.step(&world).await;
        assert!(fingerprint(&world).is_some(), "at {unix}");
    }
    to(&world, NOW + LIFE);
    assert_eq!(fingerprint(&world), None);
}

#[tokio::test]
async fn g1_attack_certificate_for_another_key_is_not_shown() {
    let (world, mut domain) = (World::new(NOWHERE, None), Domain::default());
    world.ca.script.lock().unwrap().push_back(Act::AnotherKey);
    let wait = domain.step(&world).await;
    assert_eq!(fingerprint(&world), None);
    assert!(wait >= REFUSED.0 * 3 / 4);
}

#[tokio::test]
async fn kept_certificate_is_served_after_a_restart_without_an_order() {
    let dir = tempfile::tempdir().unwrap();
    let before = World::new(NOWHERE, Some(dir.path().join("made")));
    before.certified().await;
    let after = World::new(NOWHERE, Some(dir.path().join("made")));
    after.certified().await;
    assert_eq!((orders(&after), fingerprint(&after)), (0, fingerprint(&before)));
}

#[tokio::test]
async fn kept_certificate_of_another_generation_or_that_is_over_is_ordered_anew() {
    let dir = tempfile::tempdir().unwrap();
    World::new(NOWHERE, Some(dir.path().to_owned())).certified().await;
    let rotated = World::with_secret([6; 32], NOWHERE, Some(dir.path().to_owned()));
    rotated.certified().await;
    assert_eq!(orders(&rotated), 1);
    let late = World::with_secret([6; 32], NOWHERE, Some(dir.path().to_owned()));
    to(&late, NOW + LIFE);
    late.certified().await;
    assert_eq!(orders(&late), 1);
}

#[tokio::test]
async fn damaged_file_is_an_error_and_not_a_reason_to_order() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(NOWHERE, Some(dir.path().to_owned()));
    world.certified().await;
    let whole = std::fs::read_to_string(file(dir.path())).unwrap();
    let cut = whole[..whole.len() / 2].to_owned();
    let foreign = whole.replace("\"issuer\"", "\"key\": \"00\", \"issuer\"");
    for damaged in [cut.as_str(), "", "\u{0}", &foreign, &whole.replace("0x30", "0x31")] {
        std::fs::write(file(dir.path()), damaged).unwrap();
        let (world, mut domain) = (World::new(NOWHERE, Some(dir.path().to_owned())), Domain::default());
        domain.step(&world).await;
        assert_eq!((orders(&world), fingerprint(&world)), (0, None), "{damaged}");
        assert!(!world.health.problems().is_empty());
    }
}

#[tokio::test]
async fn certificate_that_cannot_be_kept_is_served_all_the_same_and_not_ordered_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let world = World::new(NOWHERE, Some(dir.path().join("file/below")));
    let mut domain = Domain::default();
    // What is not there cannot be read, but below a file nothing can be either.
    domain.step(&world).await;
    assert_eq!(orders(&world), 0);
    let (mut domain, orders_of, name) = (Domain::default(), world.orders(), world.domain());
    let key = orders_of.key(&name).await.unwrap();
    let certificate = orders_of.order(&name, &key, None).await.unwrap();
    domain.current = Some(orders_of.adopt(certificate).await);
    assert!(fingerprint(&world).is_some());
    assert!(world.health.problems()[0].contains("certificates: "), "{:?}", world.health.problems());
    domain.step(&world).await;
    assert_eq!(orders(&world), 1);
    // Once it can be kept again, nothing is wrong any more.
    std::fs::remove_file(dir.path().join("file")).unwrap();
    let certificate = orders_of.order(&name, &key, None).await.unwrap();
    orders_of.adopt(certificate).await;
    assert!(world.health.problems().is_empty(), "{:?}", world.health.problems());
}

#[tokio::test]
async fn authority_is_asked_when_it_said_within_a_minute_and_six_hours_and_not_waited_for() {
    let (world, mut domain) = (World::new(NOWHERE, None), Domain::default());
    let suggest = |again_after| {
        let (start, end) = (NOW + LIFE / 2, NOW + LIFE / 2 + 100_000);
        *world.ca.window.lock().unwrap() = Some(RenewalWindow { start, end, again_after });
    };
    let asked = || world.ca.asked.load(Ordering::SeqCst);
    suggest(Duration::ZERO);
    let wait = domain.step(&world).await;
    assert_eq!((asked(), wait), (1, SOONEST_LOOK));
    world.clock.advance(wait - Duration::from_secs(1));
    domain.step(&world).await;
    assert_eq!(asked(), 1);
    suggest(Duration::from_secs(10 * 86_400));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!((domain.step(&world).await, asked()), (LOOK, 2));
    world.ca.is_mute.store(true, Ordering::SeqCst);
    world.clock.advance(LOOK);
    let step = domain.step(&world);
    tokio::pin!(step);
    let until = world.ambient.clock.monotonic() + 2 * world.config.acme.timeout;
    loop {
        tokio::select! {
            wait = &mut step => break assert_eq!((wait, asked()), (LOOK, 3)),
            () = tokio::task::yield_now() => world.clock.advance(Duration::from_secs(1)),
        }
        assert!(world.ambient.clock.monotonic() < until, "it is waited for");
    }
}

#[tokio::test]
async fn instances_draw_other_moments_and_other_pauses() {
    let (mut moments, mut pauses) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..8 {
        let (world, mut domain) = (World::new(NOWHERE, None), Domain::default());
        domain.step(&world).await;
        moments.insert(domain.renew_at());
        let pause = world.orders().jittered(Duration::from_secs(1_000)).as_secs();
        assert!((750..=1_250).contains(&pause), "{pause}");
        pauses.insert(pause);
    }
    assert!(moments.len() > 1 && pauses.len() > 1, "{moments:?} {pauses:?}");
}

#[test]
fn pause_has_its_bounds_whatever_the_authority_says() {
    let name = || DOMAIN.parse::<DomainName>().unwrap();
    let limited = |after| {
        let (issuer, what) = ("ca.test".to_owned(), "too many".to_owned());
        OrderError::Issue(IssueError::RateLimited { issuer, name: name(), after, what })
    };
    assert_eq!(pause(&limited(Duration::ZERO), 9), UNREACHED.0);
    assert_eq!(pause(&limited(Duration::MAX), 0), LEFT_ALONE);
    let caa = IssueError::Caa { name: name(), what: String::new() };
    let none = IssueError::NoChallenge { issuer: String::new(), name: name(), kind: "dns-01" };
    for error in [caa, none, refused(name())] {
        let error = OrderError::Issue(error);
        assert_eq!((pause(&error, 0), pause(&error, u32::MAX)), REFUSED, "{error}");
    }
    let error = OrderError::Issue(unreachable(name()));
    assert_eq!((pause(&error, 0), pause(&error, 1), pause(&error, u32::MAX)), {
        let (first, longest) = UNREACHED;
        (first, 2 * first, longest)
    });
}
