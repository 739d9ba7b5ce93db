// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An authority that lies: pebble, with somebody in between who rewrites what it says. ACME signs requests and no answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::{collections::BTreeSet, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client, header, server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use mandate_acme::{
    AcmeConfig, AcmeIssuer,
    caa::guard::CaaMode,
    challenge::ChallengeStore,
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued},
    keys::{DevelopmentKeys, P256Key},
    name::{DomainName, Subject},
};
use mandate_cli::demo::pebble::{Pebble, Rules};
use mandate_runtime::Ambient;
use mandate_test::dns::{Kind, SECRET, Server, ZONE};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What becomes of an answer's JSON on its way.
type Lie = fn(&mut Value);

/// Between a client and pebble.
struct Liar {
    directory: String,
    root: CertificateDer<'static>,
}

impl Liar {
    async fn start(pebble: &Pebble, lie: Lie) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let served = ServerConfig::builder().with_no_client_auth();
        let served = served.with_single_cert(vec![root.clone()], private).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(served));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pebble.ca_pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let authority = pebble.directory_url.strip_prefix("https://").unwrap().strip_suffix("/dir").unwrap();
        let authority: SocketAddr = authority.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = format!("https://{}/dir", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, connector) = (acceptor.clone(), connector.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| {
                        let connector = connector.clone();
                        async move { Ok::<_, Infallible>(pass(request, authority, connector, lie).await) }
                    });
                    let _ = server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { directory, root }
    }
}

/// The request's host stays as it is, so that pebble's URLs lead here.
async fn pass(
    request: Request<Incoming>,
    authority: SocketAddr,
    connector: TlsConnector,
    lie: Lie,
) -> Response<Full<Bytes>> {
    let stream = TcpStream::connect(authority).await.unwrap();
    let name = ServerName::from(authority.ip());
    let stream = connector.connect(name, stream).await.unwrap();
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut parts, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) => {
            lie(&mut value);
            Bytes::from(value.to_string())
        }
        Err(_) => body,
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Full::new(body))
}

/// An order for a wildcard through the liar, and the challenges that stand in DNS afterwards; nothing without a DNS server.
async fn order(lie: Lie) -> Option<(Result<Issued, IssueError>, BTreeSet<String>)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut server: Option<Server> = None;
    for kind in Kind::ALL {
        server = match server {
            None => kind.start(&[ZONE]).await.unwrap(),
            there => there,
        };
    }
    let Some(server) = server else {
        eprintln!("no DNS server is installed: script/test does it");
        return None;
    };
    let pebble = Pebble::start_asking(server.dir.path(), 9, server.addr, &Rules::default()).await.unwrap();
    let liar = Liar::start(&pebble, lie).await;
    let config = AcmeConfig {
        directory: liar.directory,
        extra_roots: vec![liar.root],
        issuer: "pebble.test".to_owned(),
        timeout: Duration::from_secs(60),
        external_account: None,
        caa: CaaMode::Reconcile,
    };
    let zone = DomainName::try_from(ZONE).unwrap();
    let dns = server.dns(&zone, SECRET).unwrap();
    let keys = Arc::new(DevelopmentKeys::new([7; 32].into()));
    let challenges = Arc::new(ChallengeStore::default());
    let issuer = AcmeIssuer::new(config, keys, challenges, Arc::clone(&dns), Ambient::system()).unwrap();
    let key = Arc::new(P256Key::derive(&[9; 32].into()).unwrap());
    let issued = issuer.issue(&CertificateRequest::new(Subject::Wildcard(zone.clone()), key)).await;
    let ours = server.zone(&zone, SECRET, Vec::new()).unwrap();
    let left = dns.challenges(&ours, &zone).await.unwrap();
    Some((issued, left))
}

fn authorization(answer: &mut Value) -> Option<&mut Value> {
    (answer.get("challenges").is_some() && answer.get("identifier").is_some()).then_some(answer)
}

#[tokio::test]
async fn what_is_passed_on_as_it_is_leads_to_a_certificate() {
    let Some((issued, left)) = order(|_| ()).await else { return };
    assert!(issued.unwrap().account_uri.contains("/my-account/"));
    assert!(left.is_empty(), "{left:?}");
}

/// Its challenge could be one that another authority gave for that name.
#[tokio::test]
async fn attack_authority_that_asks_about_another_name_gets_no_answer() {
    let lie = |answer: &mut Value| {
        if let Some(authorization) = authorization(answer) {
            authorization["identifier"]["value"] = json!("bank.example");
        }
    };
    let Some((issued, left)) = order(lie).await else { return };
    let refused = issued.unwrap_err();
    assert!(matches!(refused, IssueError::Refused { .. }), "{refused}");
    assert!(refused.to_string().contains("asks about another name"), "{refused}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn attack_authority_that_offers_another_way_to_be_validated_gets_no_answer() {
    let lie = |answer: &mut Value| {
        if let Some(authorization) = authorization(answer) {
            let challenges = authorization["challenges"].as_array_mut().unwrap();
            challenges.retain(|challenge| challenge["type"] != "dns-01");
        }
    };
    let Some((issued, left)) = order(lie).await else { return };
    let refused = issued.unwrap_err();
    assert!(matches!(refused, IssueError::NoChallenge { kind: "dns-01", .. }), "{refused}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn attack_answers_without_end_are_cut_off() {
    let lie = |answer: &mut Value| {
        if let Some(authorization) = authorization(answer) {
            authorization["padding"] = json!("x".repeat(2 << 20));
        }
    };
    let Some((issued, left)) = order(lie).await else { return };
    let refused = issued.unwrap_err();
    assert!(matches!(refused, IssueError::Unreachable { .. }), "{refused}");
    assert!(refused.to_string().contains("length limit"), "{refused}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn attack_order_that_is_called_invalid_after_the_answer_leaves_no_answer_behind() {
    let lie = |answer: &mut Value| {
        if answer.get("authorizations").is_some() && answer["status"] != "pending" {
            answer["status"] = json!("invalid");
        }
    };
    let Some((issued, left)) = order(lie).await else { return };
    let refused = issued.unwrap_err();
    assert!(matches!(refused, IssueError::Refused { .. }), "{refused}");
    assert!(left.is_empty(), "{left:?}");
}
