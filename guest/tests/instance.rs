// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An instance at a gateway.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{Json, Router, extract::State, routing::post};
use mandate_attestation::{Evidence, verify};
use mandate_guest::instance::{RegisterError, Registration, TlsIdentity};
use mandate_model::{
    outcome::{Outcome, PolicyReason, Reason},
    wire::gateway::{Proof, RegisterRequest, RegisterResponse},
};
use mandate_runtime::{
    Ambient,
    clock::{Clock, ManualClock},
    http::{Client, serve},
    net::{Net, TcpNet},
};
use support::quoter;
use tokio_util::sync::CancellationToken;

const NOW: u64 = 1_790_000_000;

/// A gateway that verifies evidence and answers with the outcomes in turn.
struct Gateway {
    outcomes: Vec<Outcome>,
    asked: AtomicU32,
}

async fn register(
    State(gateway): State<Arc<Gateway>>,
    Json(request): Json<RegisterRequest>,
) -> Json<RegisterResponse> {
    let Proof::Evidence(evidence) = &request.proof else { panic!("no evidence") };
    let evidence = Evidence::decode(evidence).unwrap();
    verify(&evidence, &quoter().pki.trust_anchors(), NOW, &request.report_data()).unwrap();
    assert_eq!(request.upstream, "10.0.0.5:8443");
    let i = gateway.asked.fetch_add(1, Ordering::SeqCst) as usize;
    let outcome = gateway.outcomes[i.min(gateway.outcomes.len() - 1)].clone();
    Json(RegisterResponse {
        outcome,
        names: vec!["app.example".to_owned()],
        lease: 60,
        certificates: Vec::new(),
        elsewhere: Vec::new(),
    })
}

async fn gateway(outcomes: Vec<Outcome>) -> (Registration, CancellationToken) {
    let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = Arc::new(Gateway { outcomes, asked: AtomicU32::new(0) });
    let router = Router::new().route("/v1/register", post(register)).with_state(gateway);
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, router, stop.clone()));
    let upstream = "10.0.0.5:8443".to_owned();
    (Registration { gateway: url, upstream, domains: Vec::new(), served: None }, stop)
}

fn allowed() -> Outcome {
    Outcome::Allowed { valid_until: 1 }
}

fn denied() -> Outcome {
    Outcome::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked) }
}

fn undecided() -> Outcome {
    Outcome::Undecided { why: "no header".to_owned() }
}

fn identity(ambient: &Ambient) -> TlsIdentity {
    TlsIdentity::generate(ambient, &["app.example".to_owned()]).unwrap()
}

#[tokio::test]
async fn registration_binds_the_tls_key_and_says_why_there_is_no_route() {
    let ambient = Ambient::system();
    let http = Client::new(ambient.net.clone());
    let (registration, stop) = gateway(vec![allowed(), denied(), undecided()]).await;
    let identity = identity(&ambient);
    let answer = registration.register(&http, &identity, &quoter()).await.unwrap();
    assert_eq!((answer.lease, answer.names.len()), (60, 1));
    let refused = registration.register(&http, &identity, &quoter()).await.unwrap_err();
    assert!(matches!(refused, RegisterError::Denied { .. }));
    assert!(refused.to_string().contains("code hash revoked"), "{refused}");
    let unsure = registration.register(&http, &identity, &quoter()).await.unwrap_err();
    assert!(matches!(unsure, RegisterError::Undecided { .. }));
    stop.cancel();
}

#[tokio::test]
async fn lease_is_renewed_at_half_time_and_failures_are_retried_with_growing_pauses_denials_with_longer_ones()
{
    let clock = Arc::new(ManualClock::new(NOW));
    let ambient = Ambient { clock: clock.clone(), ..Ambient::system() };
    let (registration, gone) =
        gateway(vec![allowed(), undecided(), undecided(), denied(), denied(), allowed()]).await;
    let (seen, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let (inner, stopped) = (ambient.clone(), stop.clone());
    let kept = tokio::spawn(async move {
        let identity = identity(&inner);
        registration
            .keep(&inner, &identity, &quoter(), &stopped, |answer| {
                let _ = seen.send(answer.is_ok());
            })
            .await;
    });
    // After each answer the clock goes exactly as far as the next try waits.
    for (expected, wait) in [(true, 30), (false, 1), (false, 2), (false, 120), (false, 240), (true, 30)] {
        assert_eq!(answers.recv().await, Some(expected));
        clock.advance(std::time::Duration::from_secs(wait));
    }
    assert_eq!(answers.recv().await, Some(true));
    stop.cancel();
    kept.await.unwrap();
    gone.cancel();
    assert_eq!(clock.unix(), NOW + 423);
}

#[test]
fn identity_is_fresh_usable_and_not_printed() {
    let ambient = Ambient::system();
    let (one, two) = (identity(&ambient), identity(&ambient));
    assert_ne!(one.spki(), two.spki());
    let certificate = one.certificate();
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    assert_eq!(parsed.public_key().raw, one.spki());
    parsed.verify_signature(None).unwrap();
    let secret = hex::encode(one.private_key().secret_der());
    assert!(!format!("{one:?}").contains(&secret));
    assert!(TlsIdentity::generate(&ambient, &["näme".to_owned()]).is_err());
}
