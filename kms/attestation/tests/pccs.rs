// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collateral client against a small PCCS over the development PKI.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use common::{NOW, REPORT_DATA, guest, minted, pki};
use mandate_attestation::{
    Evidence, TdxEvidence,
    pccs::{CollateralClient, CollateralConfig, CollateralError, Https, Platform},
    verify,
};
use tokio::net::TcpListener;

const DAY: u64 = 86_400;

/// How the service misbehaves, by path.
type Fault = fn(&str) -> Option<Response>;

#[derive(Clone)]
struct Pccs {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    now: Arc<Mutex<u64>>,
    fault: Arc<Mutex<Fault>>,
}

impl Pccs {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pccs = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            now: Arc::new(Mutex::new(NOW)),
            fault: Arc::new(Mutex::new(|_| None)),
        };
        let router = Router::new().fallback(answer).with_state(pccs.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        pccs
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::SeqCst)
    }

    fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn client(&self, dir: Option<&Path>) -> CollateralClient {
        client(Some(self.url()), dir)
    }
}

async fn answer(State(pccs): State<Pccs>, uri: Uri) -> Response {
    pccs.requests.fetch_add(1, Ordering::SeqCst);
    let path = uri.path_and_query().unwrap().as_str();
    if let Some(wrong) = (pccs.fault.lock().unwrap())(path) {
        return wrong;
    }
    let now = *pccs.now.lock().unwrap();
    let Some(answer) = pki().pccs_answer(path, now) else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = answer.body.into_response();
    if let Some((name, value)) = answer.header {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        response.headers_mut().insert(name, HeaderValue::from_str(&value).unwrap());
    }
    response
}

fn client(pccs_url: Option<String>, dir: Option<&Path>) -> CollateralClient {
    let config = CollateralConfig { pccs_url, root_crl_url: None, dir: dir.map(Path::to_owned) };
    let https = Https::with_public_roots().unwrap().timeout(Duration::from_secs(5));
    CollateralClient::new(&config, Arc::new(https)).unwrap()
}

fn quote() -> Vec<u8> {
    minted(&guest()).quote
}

#[tokio::test]
async fn fetched_collateral_verifies_the_quote() {
    let pccs = Pccs::start().await;
    for url in [pccs.url(), format!("{}/", pccs.url()), format!("{}/sgx/certification/v4/", pccs.url())] {
        let collateral = client(Some(url), None).collateral(&quote(), NOW).await.unwrap();
        let evidence = Evidence::Tdx(Box::new(TdxEvidence { collateral, ..minted(&guest()) }));
        assert!(verify(&evidence, &pki().trust_anchors(), NOW, &REPORT_DATA).is_ok());
        assert_eq!(pccs.requests(), 4);
    }
}

#[tokio::test]
async fn collateral_is_asked_for_once_and_again_after_half_a_day() {
    let pccs = Pccs::start().await;
    let client = Arc::new(pccs.client(None));
    let many = (0..8).map(|_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.collateral(&quote(), NOW).await.unwrap() })
    });
    for one in many {
        one.await.unwrap();
    }
    assert_eq!(pccs.requests(), 4);
    client.collateral(&quote(), NOW + DAY / 2 - 1).await.unwrap();
    assert_eq!(pccs.requests(), 0);
    client.collateral(&quote(), NOW + DAY / 2).await.unwrap();
    assert_eq!(pccs.requests(), 4);
}

/// A service that is down costs nothing while what is remembered holds, and names itself afterwards.
#[tokio::test]
async fn what_is_remembered_serves_until_it_runs_out() {
    let pccs = Pccs::start().await;
    let client = pccs.client(None);
    client.collateral(&quote(), NOW).await.unwrap();
    pccs.fail(|_| Some(StatusCode::BAD_GATEWAY.into_response()));
    assert!(client.collateral(&quote(), NOW + 30 * DAY).await.is_ok());
    let error = client.collateral(&quote(), NOW + 30 * DAY + 1).await.unwrap_err();
    assert!(matches!(error, CollateralError::Status { status: 502, .. }), "{error}");
}

/// A service that serves only what ran out is no better than none.
#[tokio::test]
async fn collateral_that_ran_out_is_not_used() {
    let pccs = Pccs::start().await;
    *pccs.now.lock().unwrap() = NOW - 60 * DAY;
    let error = pccs.client(None).collateral(&quote(), NOW).await.unwrap_err();
    assert!(matches!(error, CollateralError::Expired { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_keeps_what_was_fetched_and_serves_it_offline() {
    let pccs = Pccs::start().await;
    let dir = tempfile::tempdir().unwrap();
    let online = pccs.client(Some(dir.path())).collateral(&quote(), NOW).await.unwrap();
    pccs.requests();
    let offline = client(None, Some(dir.path()));
    assert_eq!(offline.collateral(&quote(), NOW).await.unwrap(), online);
    assert_eq!(pccs.requests(), 0);
    pccs.fail(|_| Some(StatusCode::SERVICE_UNAVAILABLE.into_response()));
    assert_eq!(pccs.client(Some(dir.path())).collateral(&quote(), NOW).await.unwrap(), online);
    let error = offline.collateral(&quote(), NOW + 31 * DAY).await.unwrap_err();
    assert!(matches!(error, CollateralError::Expired { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_or_broken_file_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(None, Some(dir.path()));
    let missing = client.collateral(&quote(), NOW).await.unwrap_err().to_string();
    assert!(missing.contains("de7e10000000-platform.json") && missing.contains("pccs_url"), "{missing}");
    let file = dir.path().join("de7e10000000-platform.json");
    for text in ["", "{}", &" ".repeat(600 * 1024)] {
        std::fs::write(&file, text).unwrap();
        let error = client.collateral(&quote(), NOW).await.unwrap_err();
        assert!(matches!(error, CollateralError::File { .. }), "{error}");
    }
}

#[tokio::test]
async fn every_wrong_answer_is_refused_by_name() {
    let pccs = Pccs::start().await;
    let faults: [(Fault, &str); 8] = [
        (|_| Some(StatusCode::NOT_FOUND.into_response()), "HTTP status 404"),
        (
            |path| path.contains("pckcrl").then(|| StatusCode::INTERNAL_SERVER_ERROR.into_response()),
            "pckcrl?ca=platform",
        ),
        (|path| path.contains("tcb?").then(|| "{}".into_response()), "not collateral"),
        (|path| path.contains("identity").then(|| "not json".into_response()), "not collateral"),
        (|path| path.contains("rootcacrl").then(|| "abc".into_response()), "not collateral: Odd"),
        (|path| path.contains("rootcacrl").then(|| "0011".into_response()), "root CA CRL"),
        (
            |path| {
                path.contains("tcb?").then(|| r#"{"tcbInfo":{"fmspc":"00"},"signature":""}"#.into_response())
            },
            "it is of platform family 00",
        ),
        (|path| path.contains("identity").then(|| "x".repeat(1 << 20).into_response()), "length limit"),
    ];
    for (fault, expected) in faults {
        pccs.fail(fault);
        let error = pccs.client(None).collateral(&quote(), NOW).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!error.contains('\n') && error.len() < 500, "{error}");
    }
}

/// Without the issuer's chain there is nothing to verify against.
#[tokio::test]
async fn an_answer_without_its_chain_is_refused() {
    let pccs = Pccs::start().await;
    pccs.fail(|path| {
        let answer = pki().pccs_answer(path, NOW)?;
        path.contains("identity").then(|| answer.body.into_response())
    });
    let error = pccs.client(None).collateral(&quote(), NOW).await.unwrap_err().to_string();
    assert!(error.contains("SGX-Enclave-Identity-Issuer-Chain"), "{error}");
}

/// The attack: a service (or who sits in between) sends the client on to an address inside the operator's network.
#[tokio::test]
async fn redirects_are_not_followed() {
    let (pccs, inner) = (Pccs::start().await, Pccs::start().await);
    static INNER: Mutex<String> = Mutex::new(String::new());
    *INNER.lock().unwrap() = inner.url();
    pccs.fail(|path| {
        let location = format!("{}{path}", INNER.lock().unwrap());
        Some((StatusCode::FOUND, [("location", location)]).into_response())
    });
    let error = pccs.client(None).collateral(&quote(), NOW).await.unwrap_err();
    assert!(matches!(error, CollateralError::Status { status: 302, .. }), "{error}");
    assert_eq!(inner.requests(), 0);
}

#[tokio::test]
async fn a_service_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = CollateralConfig {
        pccs_url: Some(format!("http://{}", listener.local_addr().unwrap())),
        ..CollateralConfig::default()
    };
    let https = Https::with_public_roots().unwrap().timeout(Duration::from_millis(50));
    let client = CollateralClient::new(&config, Arc::new(https)).unwrap();
    let error = client.collateral(&quote(), NOW).await.unwrap_err().to_string();
    assert!(error.contains("no answer within 50ms"), "{error}");
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let refused = |pccs_url: Option<&str>| {
        let config =
            CollateralConfig { pccs_url: pccs_url.map(str::to_owned), ..CollateralConfig::default() };
        CollateralClient::new(&config, Arc::new(Https::with_public_roots().unwrap())).unwrap_err()
    };
    assert!(matches!(refused(None), CollateralError::NoSource));
    for url in ["", "pccs", "ftp://pccs", "https://", "https://user@pccs", "https://pccs?x=1"] {
        assert!(matches!(refused(Some(url)), CollateralError::Url { .. }), "{url}");
    }
}

#[test]
fn a_quote_names_its_platform() {
    assert_eq!(Platform::of(&quote()).unwrap().to_string(), "de7e10000000-platform");
    for cut in [0, 100, 700] {
        assert!(matches!(Platform::of(&quote()[..cut]), Err(CollateralError::Quote(_))));
    }
    assert!(matches!(Platform::of(&vec![0; 16 * 1024 + 1]), Err(CollateralError::Quote(_))));
}
