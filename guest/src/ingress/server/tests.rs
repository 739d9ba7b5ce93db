// SPDX-License-Identifier: Apache-2.0 OR MIT
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{net::SocketAddr, time::Duration};

use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::ingress::scripted::{APP, DEPLOYED, DOMAIN, LEASE, LIFE, NOW, World, pki};

mod pages;

/// The app: says back what it hears.
pub(in crate::ingress) async fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

/// Looks at nobody's certificate; the tests do.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, leaf, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // A challenge's certificate has a critical extension that nobody but its authority reads (RFC 8737).
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub(in crate::ingress) type Shaken = io::Result<TlsStream<TcpStream>>;

async fn connect_with(
    address: SocketAddr,
    name: &str,
    protocols: &[&[u8]],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Shaken {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

pub(in crate::ingress) async fn connect(address: SocketAddr, name: &str, protocols: &[&[u8]]) -> Shaken {
    connect_with(address, name, protocols, rustls::ALL_VERSIONS).await
}

fn leaf(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

fn spki(leaf: &CertificateDer<'_>) -> Vec<u8> {
    X509Certificate::from_der(leaf).unwrap().1.public_key().raw.to_vec()
}

fn alert(refused: Shaken) -> AlertDescription {
    let error = refused.expect_err("the handshake was refused");
    match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert but {error:?}"),
    }
}

async fn exchange(stream: &mut TlsStream<TcpStream>, said: &[u8]) -> Vec<u8> {
    stream.write_all(said).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    heard
}

#[tokio::test]
async fn attack_challenges_certificate_is_for_who_offers_acme_tls_alone() {
    let world = World::new(app().await, None);
    let address = world.serve().await;
    let answer = world
        .shown
        .challenges
        .answer(&world.domain(), [9; 32], std::time::Duration::from_secs(60), &*world.ambient.entropy)
        .await
        .unwrap();
    // There is no certificate yet, and a challenge's stands in for none.
    for protocols in [&[b"http/1.1".as_slice()][..], &[b"acme-tls/1", b"http/1.1"], &[]] {
        assert_eq!(alert(connect(address, DOMAIN, protocols).await), AlertDescription::AccessDenied);
    }
    let mut validation = connect(address, DOMAIN, &[ACME_TLS]).await.unwrap();
    let challenge = leaf(&validation);
    assert_eq!(validation.get_ref().1.alpn_protocol(), Some(ACME_TLS));
    let parsed = X509Certificate::from_der(&challenge).unwrap().1;
    assert!(parsed.extensions().iter().any(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31" && e.critical));
    // Nobody gets through to the app as an authority.
    assert_eq!(exchange(&mut validation, b"GET / HTTP/1.1\r\n\r\n").await, b"");
    // Nor for another name, nor once the order is through.
    assert_eq!(
        alert(connect(address, "other.example.org", &[ACME_TLS]).await),
        AlertDescription::AccessDenied
    );
    world.certified().await;
    assert_ne!(leaf(&connect(address, DOMAIN, &[b"http/1.1"]).await.unwrap()), challenge);
    drop(answer);
    assert_eq!(alert(connect(address, DOMAIN, &[ACME_TLS]).await), AlertDescription::AccessDenied);
}

#[tokio::test]
async fn bytes_are_carried_untouched_over_either_version_of_tls() {
    let world = World::new(app().await, None);
    world.certified().await;
    let address = world.serve().await;
    let key = world.shown.find(&world.domain()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"GET /.well-known/mandat", b"\x00\xff", b""] {
            let mut stream =
                connect_with(address, "App.Example.ORG", &[b"http/1.1"], &[version]).await.unwrap();
            assert_eq!(leaf(&stream), *key.leaf().unwrap());
            assert_eq!(exchange(&mut stream, said).await, said);
        }
    }
}

#[tokio::test]
async fn attack_other_name_is_never_answered_with_a_domains_key_and_no_name_with_none() {
    let world = World::new(app().await, None);
    world.certified().await;
    let address = world.serve().await;
    for name in ["other.example.org", "x.app.example.org", "example.org"] {
        let stream = connect(address, name, &[b"http/1.1"]).await.unwrap();
        // Which only a gateway expects, that knows it by evidence.
        assert_eq!(spki(&leaf(&stream)), world.identity.spki(), "{name}");
    }
    assert_eq!(alert(connect(address, "127.0.0.1", &[]).await), AlertDescription::AccessDenied);
}

#[tokio::test]
async fn protocol_that_the_app_does_not_speak_is_refused() {
    let world = World::new(app().await, None);
    world.certified().await;
    let address = world.serve().await;
    let refused = alert(connect(address, DOMAIN, &[b"h2"]).await);
    assert_eq!(refused, AlertDescription::NoApplicationProtocol);
}

#[tokio::test]
async fn certificate_that_is_over_is_shown_to_nobody() {
    let world = World::new(app().await, None);
    world.certified().await;
    let address = world.serve().await;
    // The lease goes on: this is about the certificate.
    world.held.renew(crate::service::Lease { until: Duration::MAX, until_unix: u64::MAX });
    world.clock.set_unix(NOW + LIFE);
    assert_eq!(alert(connect(address, DOMAIN, &[b"http/1.1"]).await), AlertDescription::AccessDenied);
}

#[tokio::test]
async fn silent_client_is_cut_off_after_the_idle_timeout() {
    let world = World::new(app().await, None);
    world.certified().await;
    let address = world.serve().await;
    let mut stream = connect(address, DOMAIN, &[b"http/1.1"]).await.unwrap();
    // Once something came back, the handshake is over on the other side, too.
    stream.write_all(b"x").await.unwrap();
    stream.read_u8().await.unwrap();
    assert!(cut_off(&world, &mut stream).await >= world.config.idle_timeout);
}

/// Lets the time pass until the other side closes, and tells when that was.
async fn cut_off(world: &World, stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Duration {
    let mut rest = Vec::new();
    let mut ended = std::pin::pin!(stream.read_to_end(&mut rest));
    loop {
        tokio::select! {
            ended = &mut ended => {
                drop(ended);
                return world.ambient.clock.monotonic();
            }
            () = tokio::task::yield_now() => world.clock.advance(Duration::from_millis(100)),
        }
        assert!(world.ambient.clock.monotonic() < 3 * world.config.idle_timeout, "it stays open");
    }
}

#[tokio::test]
async fn attack_client_that_does_not_shake_hands_or_say_a_word_is_cut_off() {
    let world = World::new(app().await, None);
    world.certified().await;
    let address = world.serve().await;
    let before = world.ambient.clock.monotonic();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let after = cut_off(&world, &mut silent).await - before;
    assert!(after >= world.config.handshake_timeout && after < world.config.idle_timeout, "{after:?}");
    let mut mute = connect(address, DOMAIN, &[b"http/1.1"]).await.unwrap();
    cut_off(&world, &mut mute).await;
}

#[tokio::test]
async fn attack_slow_request_for_a_page_is_cut_off() {
    let mut world = World::new(app().await, None);
    // The server of pages goes by the time of the machine.
    Arc::get_mut(&mut world.config).unwrap().handshake_timeout = Duration::from_millis(300);
    world.certified().await;
    let mut slow = connect(world.serve().await, DOMAIN, &[b"http/1.1"]).await.unwrap();
    slow.write_all(b"GET /.well-known/mandate/domain/").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), slow.read_to_end(&mut rest)).await;
    drop(ended.expect("it stays open"));
}

#[tokio::test]
async fn nobody_is_let_in_after_the_lease_whoever_cuts_the_others_off() {
    let world = World::new(app().await, None);
    world.certified().await;
    let address = world.serve().await;
    connect(address, DOMAIN, &[b"http/1.1"]).await.unwrap();
    world.clock.advance(LEASE);
    connect(address, DOMAIN, &[b"http/1.1"]).await.unwrap_err();
}

#[tokio::test]
async fn connections_beyond_their_number_wait_for_one_to_end() {
    let mut world = World::new(app().await, None);
    Arc::get_mut(&mut world.config).unwrap().connections = 1;
    world.certified().await;
    let address = world.serve().await;
    let mut one = connect(address, DOMAIN, &[b"http/1.1"]).await.unwrap();
    let mut waiting = std::pin::pin!(connect(address, DOMAIN, &[b"http/1.1"]));
    for _ in 0..50 {
        let mut pong = [0; 4];
        one.write_all(b"ping").await.unwrap();
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("it was let in"),
            read = one.read_exact(&mut pong) => drop(read.unwrap()),
        }
    }
    drop(one);
    waiting.await.unwrap();
}

/// A page's answer over HTTP/1.1 would break the app's own protocol.
#[tokio::test]
async fn what_is_said_in_another_protocol_than_http_1_is_the_apps() {
    let mut world = World::new(app().await, None);
    Arc::get_mut(&mut world.config).unwrap().alpn = vec!["h2".to_owned(), "http/1.1".to_owned()];
    world.certified().await;
    let mut stream = connect(world.serve().await, DOMAIN, &[b"h2"]).await.unwrap();
    let said = b"GET /.well-known/mandate/domain/app.example.org HTTP/1.1\r\n\r\n";
    assert_eq!(exchange(&mut stream, said).await, said);
}
