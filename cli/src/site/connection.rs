// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One TLS connection to a site, over which its certificate is looked at and its provenance is asked for.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::B256;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use mandate_acme::name::DomainName;
use mandate_model::wire::provenance::{DomainProvenance, MAX_PROVENANCE};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_cert::der::{Encode, Tag, asn1::AnyRef};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Shown, Step, step};

/// How long connecting, and again answering, may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Which site, and by whose roots its certificate is judged.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: DomainName,
    pub(crate) port: u16,
    /// Where to connect; by default wherever DNS says.
    pub(crate) at: Option<SocketAddr>,
    pub(crate) roots: RootCertStore,
}

/// An open connection, with what its handshake showed.
pub(crate) struct Connected {
    stream: TlsStream<TcpStream>,
    pub(crate) shown: Shown,
    /// The certificates that the site sent, its own first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Whether the certificate leads to a root and names the site.
    pub(crate) step: Step,
}

/// Why there is no answer to judge.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The other side says that it has none, or says something else.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

impl Site {
    /// The keys (SPKI) of the roots that have the name of `leaf`'s issuer: a site need not send a root along.
    pub(crate) fn issuer_keys(&self, leaf: &[u8]) -> Vec<Vec<u8>> {
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return Vec::new() };
        let issuer = parsed.issuer().as_raw();
        // A root holds both without the header of their sequences.
        let sequence = |content: &[u8]| AnyRef::new(Tag::Sequence, content).and_then(|any| any.to_der()).ok();
        let of_issuer =
            self.roots.roots.iter().filter(|root| sequence(&root.subject).as_deref() == Some(issuer));
        of_issuer.filter_map(|root| sequence(&root.subject_public_key_info)).collect()
    }

    /// Connects. The certificate's verdict is told, not obeyed: what else the site says is worth knowing in either case, and
    /// nothing is told to it.
    pub(crate) async fn connect(&self) -> Result<Connected, Step> {
        let undecided = |what: String| Step::undecided(step::TLS, what);
        let judging = Arc::new(Judging::new(&self.roots).map_err(undecided)?);
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&judging) as _)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connecting = async {
            let tcp = match self.at {
                Some(at) => TcpStream::connect(at).await,
                None => TcpStream::connect((self.name.as_str(), self.port)).await,
            };
            let tcp = tcp.map_err(|e| undecided(format!("{}: {e}", self.name)))?;
            let name = ServerName::try_from(self.name.to_string()).map_err(|e| undecided(e.to_string()))?;
            let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
            tls.map_err(|e| Step::failed(step::TLS, format!("no TLS with {}: {e}", self.name)))
        };
        let stream = tokio::time::timeout(PATIENCE, connecting).await;
        let stream = stream.map_err(|_| undecided(format!("{} does not answer", self.name)))??;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain: Vec<_> = chain.iter().cloned().map(CertificateDer::into_owned).collect();
        let shown = chain.first().and_then(shown);
        let shown =
            shown.ok_or_else(|| Step::failed(step::TLS, "the site's certificate cannot be parsed"))?;
        let step = match judging.verdict() {
            None => Step::ok(
                step::TLS,
                format!(
                    "the certificate leads to a trusted root, names {} and has key {}",
                    self.name, shown.spki_hash
                ),
            ),
            Some(why) => Step::failed(step::TLS, format!("the certificate of {}: {why}", self.name)),
        };
        Ok(Connected { stream, shown, chain, step })
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

fn shown(leaf: &CertificateDer<'_>) -> Option<Shown> {
    let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
    Some(Shown { fingerprint: sha256(leaf), spki_hash: sha256(parsed.public_key().raw) })
}

impl Connected {
    /// Asks, over this very connection, where its key comes from.
    pub(crate) async fn provenance(self, site: &Site, nonce: B256) -> Result<DomainProvenance, Unanswered> {
        let asked = tokio::time::timeout(PATIENCE, ask(self.stream, site, nonce)).await;
        let (status, body) = asked
            .map_err(|_| Unanswered::Unknown(format!("nothing within {} s", PATIENCE.as_secs())))?
            .map_err(Unanswered::Unknown)?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body)
                .map_err(|e| Unanswered::Refused(format!("the site's answer is no provenance: {e}"))),
            status if status.is_client_error() => {
                Err(Unanswered::Refused(format!("the site gives no provenance: {status}")))
            }
            status => Err(Unanswered::Unknown(format!("the site gives no provenance now: {status}"))),
        }
    }
}

async fn ask(stream: TlsStream<TcpStream>, site: &Site, nonce: B256) -> Result<(StatusCode, Bytes), String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let driver = tokio::spawn(connection);
    let asked = async {
        let path = format!("/.well-known/mandate/domain/{}?nonce={}", site.name, hex::encode(nonce));
        let host = match site.port {
            443 => site.name.to_string(),
            port => format!("{}:{port}", site.name),
        };
        let request = Request::get(path).header("host", host).header("accept", "application/json");
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
        let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_PROVENANCE).collect().await;
        Ok((status, body.map_err(|e| format!("the site's answer: {e}"))?.to_bytes()))
    };
    let asked = asked.await;
    driver.abort();
    asked
}

/// Verifies a certificate and keeps the verdict. The handshake's signature, which proves the key, is never waived.
struct Judging {
    inner: Arc<WebPkiServerVerifier>,
    why: Mutex<Option<String>>,
}

impl Judging {
    fn new(roots: &RootCertStore) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider).build();
        Ok(Self { inner: inner.map_err(|e| format!("--ca: {e}"))?, why: Mutex::default() })
    }

    /// What is wrong with the certificate.
    fn verdict(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Judging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judging")
    }
}

impl ServerCertVerifier for Judging {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(leaf, intermediates, name, ocsp, now) {
            Ok(verified) => Ok(verified),
            Err(rustls::Error::InvalidCertificate(CertificateError::BadEncoding)) => {
                Err(CertificateError::BadEncoding.into())
            }
            Err(error) => {
                *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                Ok(ServerCertVerified::assertion())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
