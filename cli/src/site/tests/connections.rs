// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a connection shows of who is at its other end, and how much of an answer is read.

use std::{net::SocketAddr, sync::Arc};

use mandate_model::wire::provenance::MAX_PROVENANCE;
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::PrivatePkcs8KeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::site::connection::{Site, Unanswered, sha256};

/// Shows a certificate, whether or not the key is the certificate's.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A site that shows `certificate`, proves `key`, and gives every connection the same answer; and how it is reached.
async fn site(
    certificate: &rcgen::Certificate,
    key: &rcgen::KeyPair,
    version: &'static SupportedProtocolVersion,
    answer: Vec<u8>,
) -> Site {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
    let config = ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(shown))));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let at: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // A client that does not take the handshake goes away.
            let Ok(mut client) = acceptor.accept(client).await else { continue };
            let _ = client.read(&mut [0; 1024]).await;
            let _ = client.write_all(&answer).await;
            let _ = client.shutdown().await;
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    Site { name: name(), port: 443, at: Some(at), roots }
}

fn own() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed([name().to_string()]).unwrap()
}

/// A certificate is public: anybody can show the genuine one. Only the handshake's signature tells who has its key.
#[tokio::test]
async fn attack_genuine_certificate_without_its_key_is_no_connection() {
    let own = own();
    let other = rcgen::KeyPair::generate().unwrap();
    for version in [&TLS12, &TLS13] {
        let genuine = site(&own.cert, &own.signing_key, version, Vec::new()).await;
        let connected = genuine.connect().await.unwrap();
        is_ok(&connected.step);
        assert_eq!(connected.shown.fingerprint, sha256(own.cert.der()));

        let impostor = site(&own.cert, &other, version, Vec::new()).await;
        fails(&impostor.connect().await.err().unwrap(), "no TLS with");
    }
}

/// What else it says is worth knowing, so the connection stands.
#[tokio::test]
async fn certificate_that_leads_to_no_trusted_root_or_names_another_fails() {
    let (shown, trusted) = (own(), own());
    let mut untrusted = site(&shown.cert, &shown.signing_key, &TLS13, Vec::new()).await;
    untrusted.roots = RootCertStore::empty();
    untrusted.roots.add(trusted.cert.der().clone()).unwrap();
    fails(&untrusted.connect().await.unwrap().step, "the certificate of");

    let other = rcgen::generate_simple_self_signed(["other.example.org".to_owned()]).unwrap();
    let other = site(&other.cert, &other.signing_key, &TLS13, Vec::new()).await;
    fails(&other.connect().await.unwrap().step, "the certificate of");
}

async fn asked(status: &str, body: &[u8]) -> Result<DomainProvenance, Unanswered> {
    let own = own();
    let mut answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    let site = site(&own.cert, &own.signing_key, &TLS13, answer).await;
    site.connect().await.unwrap().provenance(&site, NONCE).await
}

#[tokio::test]
async fn attack_endless_answer_is_read_to_its_cap_only() {
    let expected = answer_of(GATEWAY, statement());
    let mut text = serde_json::to_vec(&expected).unwrap();
    // Space after it leaves it what it is.
    text.resize(MAX_PROVENANCE, b' ');
    assert_eq!(asked("200 OK", &text).await.unwrap(), expected);
    text.push(b' ');
    let refused = asked("200 OK", &text).await;
    assert!(matches!(&refused, Err(Unanswered::Unknown(why)) if why.contains("limit")), "{refused:?}");
}

#[tokio::test]
async fn g6_site_without_provenance_is_told_from_one_that_cannot_answer_now() {
    let refused = asked("404 Not Found", b"{}").await;
    assert!(matches!(&refused, Err(Unanswered::Refused(why)) if why.contains("404")), "{refused:?}");
    let refused = asked("200 OK", b"<html>").await;
    assert!(
        matches!(&refused, Err(Unanswered::Refused(why)) if why.contains("no provenance")),
        "{refused:?}"
    );
    let unknown = asked("503 Service Unavailable", b"{}").await;
    assert!(matches!(&unknown, Err(Unanswered::Unknown(why)) if why.contains("503")), "{unknown:?}");
}
