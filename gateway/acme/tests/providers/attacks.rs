// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Providers that answer about others, without end, elsewhere, or in words that do harm.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Response, Uri},
};
use futures::StreamExt;
use mandate_acme::{
    caa::{
        Method,
        guard::{CaaMode, Guard},
    },
    dns::{
        AccessKey, Change, Cloudflare, CloudflareToken, Dns, DnsError, Endpoint, HostedZone, Route53, Zone,
    },
    issuer::IssueError,
    name::Subject,
};
use mandate_runtime::{Ambient, clock::ManualClock};

use super::{ZONE, cloudflare_api, name, name_server};

type Reply = Response<Body>;

/// Answers everything the same way; counts what it is asked.
async fn serve(reply: impl Fn(&Uri) -> Reply + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let (asked, reply) = (Arc::new(AtomicUsize::new(0)), Arc::new(reply));
    let counter = Arc::clone(&asked);
    let router = Router::new().fallback(move |uri: Uri| {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::ready(reply(&uri))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (addr, asked)
}

fn zones(addr: SocketAddr, id: Option<&str>) -> [Arc<dyn Zone>; 2] {
    zones_in(addr, id, &Ambient::system())
}

fn zones_in(addr: SocketAddr, id: Option<&str>, ambient: &Ambient) -> [Arc<dyn Zone>; 2] {
    let endpoint = || Some(Endpoint::try_from(format!("http://{addr}")).unwrap());
    let id = id.map(str::to_owned);
    let token = CloudflareToken::new("token").unwrap();
    let cloudflare = Cloudflare::new(name(ZONE), Vec::new(), token, id.clone(), endpoint(), ambient);
    let key = AccessKey::new("AKID", "secret").unwrap();
    let propagation = Duration::from_secs(5);
    let hosted = HostedZone { id, region: "us-east-1".to_owned(), endpoint: endpoint(), propagation };
    let amazon = Route53::new(name(ZONE), Vec::new(), key, hosted, ambient);
    [Arc::new(cloudflare.unwrap()), Arc::new(amazon.unwrap())]
}

fn change() -> [Change; 1] {
    [Change::AddChallenge(name(ZONE), "value".to_owned())]
}

fn reply(status: u16, body: impl Into<Body>) -> Reply {
    Response::builder().status(status).body(body.into()).unwrap()
}

#[tokio::test]
async fn attack_redirect_does_not_get_the_key() {
    let (elsewhere, asked) = serve(|_| reply(200, "{}")).await;
    let (addr, _) = serve(move |uri| {
        let to = format!("http://{elsewhere}{uri}");
        Response::builder().status(307).header("location", to).body(Body::empty()).unwrap()
    })
    .await;
    for zone in zones(addr, None) {
        let refused = zone.apply(&change()).await.unwrap_err();
        assert!(refused.to_string().contains("redirects are not followed"), "{refused}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn attack_answer_without_end_is_cut_off() {
    let (addr, _) = serve(|_| {
        let chunk = || Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 64 << 10]));
        reply(200, Body::from_stream(futures::stream::repeat_with(chunk)))
    })
    .await;
    for zone in zones(addr, None) {
        let refused = zone.apply(&change()).await.unwrap_err();
        assert!(refused.to_string().contains("more than 1048576 bytes"), "{refused}");
    }
}

#[tokio::test]
async fn attack_provider_that_never_answers_holds_nobody_up() {
    let chunk = || Ok::<_, std::io::Error>(bytes::Bytes::from_static(b" "));
    for begins in [false, true] {
        let heard = Arc::new(tokio::sync::Notify::new());
        let hears = Arc::clone(&heard);
        let router = Router::new().fallback(async move || {
            hears.notify_one();
            if begins {
                // An answer of which a byte comes, and nothing more.
                let rest =
                    futures::stream::once(std::future::ready(chunk())).chain(futures::stream::pending());
                return reply(200, Body::from_stream(rest));
            }
            std::future::pending().await
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let clock = Arc::new(ManualClock::new(1_780_000_000));
        let ambient = Ambient { clock: clock.clone(), ..Ambient::system() };
        for zone in zones_in(addr, None, &ambient) {
            let later = async {
                heard.notified().await;
                clock.advance(Duration::from_secs(20));
                // Nobody waits for anything else.
                std::future::pending::<()>().await
            };
            let change = change();
            let refused = tokio::select! {
                refused = zone.apply(&change) => refused.unwrap_err(),
                () = later => unreachable!(),
            };
            assert!(refused.to_string().contains("no answer within 20s"), "{refused}");
        }
    }
}

#[tokio::test]
async fn attack_another_zone_or_an_id_that_leads_elsewhere_is_not_changed() {
    for (zone_name, id) in [("evil.test", "00000000000000000000000000000000"), (ZONE, "../../user/tokens")] {
        let (addr, asked) = serve(move |uri| match uri.path() {
            "/zones" => {
                let zones = format!("[{{\"id\":\"{id}\",\"name\":\"{zone_name}\"}}]");
                reply(200, format!("{{\"success\":true,\"errors\":[],\"result\":{zones}}}"))
            }
            path if path.ends_with("hostedzonesbyname") => reply(
                200,
                format!("<R><HostedZones><HostedZone><Id>/hostedzone/{id}?</Id><Name>{zone_name}.</Name></HostedZone></HostedZones></R>"),
            ),
            path => panic!("{path} is asked for"),
        })
        .await;
        for zone in zones(addr, None) {
            zone.apply(&change()).await.unwrap_err();
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn attack_records_of_another_name_are_neither_kept_nor_deleted() {
    let record = "{\"id\":\"1\",\"name\":\"evil.test\",\"type\":\"TXT\",\"content\":\"value\"}";
    let body = format!("{{\"success\":true,\"errors\":[],\"result\":[{record}]}}");
    let (addr, asked) = serve(move |_| reply(200, body.clone())).await;
    let [zone, _] = zones(addr, Some("1"));
    let remove = [Change::RemoveChallenge(name(ZONE), "value".to_owned())];
    let refused = zone.apply(&remove).await.unwrap_err();
    assert!(refused.to_string().contains("answers about others"), "{refused}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn attack_words_with_control_characters_are_shown_without() {
    let evil = "gone\\u001b[2J\\r\\nroot logged in";
    let json =
        format!("{{\"success\":false,\"errors\":[{{\"code\":1,\"message\":\"{evil}\"}}],\"result\":null}}");
    let xml = "<ErrorResponse><Error><Code>No</Code><Message>gone\u{7f}[2J&#13;&#10;root logged in</Message></Error></ErrorResponse>";
    let (addr, _) = serve(move |uri| match uri.path() {
        "/zones" => reply(403, json.clone()),
        _ => reply(403, xml),
    })
    .await;
    for zone in zones(addr, None) {
        let refused = zone.apply(&change()).await.unwrap_err();
        assert!(matches!(refused, DnsError::Credentials { status: 403, .. }), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("gone") && !text.chars().any(char::is_control), "{text:?}");
        assert!(!format!("{zone:?} {refused:?}").contains("secret"), "{zone:?}");
    }
}

#[tokio::test]
async fn provider_that_had_enough_is_left_alone_for_as_long_as_it_says() {
    let (addr, _) =
        serve(|_| Response::builder().status(429).header("retry-after", "77").body(Body::empty()).unwrap())
            .await;
    for zone in zones(addr, None) {
        let limited = zone.apply(&change()).await.unwrap_err();
        let DnsError::RateLimited { after, .. } = limited else { panic!("{limited}") };
        assert_eq!(after, Duration::from_secs(77));
    }
    let xml = "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>";
    let (throttling, _) = serve(move |_| reply(400, xml)).await;
    let [_, amazon] = zones(throttling, None);
    assert!(matches!(amazon.apply(&change()).await, Err(DnsError::RateLimited { .. })));

    // An order waits as long as it does for an authority.
    let book = cloudflare_api::Shared::default();
    let server = name_server::start(book).await;
    let endpoint = Some(Endpoint::try_from(format!("http://{addr}")).unwrap());
    let token = CloudflareToken::new("token").unwrap();
    let ambient = Ambient::system();
    let zone = Cloudflare::new(name(ZONE), vec![server], token, None, endpoint, &ambient).unwrap();
    let dns = Dns::new(vec![Arc::new(zone)], Vec::new(), Duration::from_secs(5), &ambient);
    let guard = Guard::new(CaaMode::Reconcile, "ca.test".to_owned(), Arc::new(dns));
    let limited = guard.ensure(&Subject::Domain(name(ZONE)), "https://ca.test/1", Method::Dns01).await;
    let Err(IssueError::RateLimited { after, .. }) = limited else { panic!("{limited:?}") };
    assert_eq!(after, Duration::from_secs(77));
}
