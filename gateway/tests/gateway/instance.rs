// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An app's instance: greets over TLS with the key that its evidence binds, then says back what it hears.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::{
    HandshakeKind, ServerConfig,
    crypto::ring::{default_provider, sign::any_ecdsa_type},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Running until dropped.
pub struct Instance {
    pub spki: Vec<u8>,
    pub addr: SocketAddr,
    resumed: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

#[derive(Debug)]
struct Never;

impl ResolvesServerCert for Never {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A self-signed certificate for `key`, to be served with `signer`'s key: the same one, if all is right.
fn config(key: &KeyPair, signer: &KeyPair, protocols: &[&[u8]]) -> ServerConfig {
    let certificate =
        CertificateParams::new(vec!["instance.invalid".to_owned()]).unwrap().self_signed(key).unwrap();
    let signing = any_ecdsa_type(&signer.serialized_der().to_vec().try_into().unwrap()).unwrap();
    let resolver = Always(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signing)));
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    config
}

impl Instance {
    pub async fn start(label: &'static str) -> Self {
        Self::start_with(label, &[b"http/1.1"]).await
    }

    pub async fn start_with(label: &'static str, protocols: &[&[u8]]) -> Self {
        let key = KeyPair::generate().unwrap();
        Self::serve(Some(label), key.subject_public_key_info(), config(&key, &key, protocols)).await
    }

    /// Ends TLS itself and has no challenge: an agent refuses a validation before it has said anything of its own.
    pub async fn without_challenge(label: &'static str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut refusing = config(&key, &key, &[b"acme-tls/1"]);
        refusing.cert_resolver = Arc::new(Never);
        Self::serve(Some(label), key.subject_public_key_info(), refusing).await
    }

    /// Does not greet, as HTTP servers do not.
    pub async fn echo() -> Self {
        let key = KeyPair::generate().unwrap();
        Self::serve(None, key.subject_public_key_info(), config(&key, &key, &[b"http/1.1"])).await
    }

    /// How many connections resumed a session.
    pub fn resumed(&self) -> usize {
        self.resumed.load(Ordering::SeqCst)
    }

    /// Shows the certificate of one key and signs with another: what somebody does who has copied a certificate.
    pub async fn impostor(label: &'static str) -> Self {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        Self::serve(Some(label), key.subject_public_key_info(), config(&key, &other, &[])).await
    }

    async fn serve(label: Option<&'static str>, spki: Vec<u8>, config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut server = JoinSet::new();
        let resumed = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&resumed);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, counts) = (acceptor.clone(), Arc::clone(&counts));
                connections.spawn(async move {
                    let Ok(mut tls) = acceptor.accept(stream).await else { return };
                    if tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                        counts.fetch_add(1, Ordering::SeqCst);
                    }
                    if let Some(label) = label {
                        let _ = tls.write_all(format!("{label}\n").as_bytes()).await;
                    }
                    let mut buffer = [0; 1024];
                    while let Ok(n @ 1..) = tls.read(&mut buffer).await {
                        if tls.write_all(&buffer[..n]).await.is_err() {
                            return;
                        }
                    }
                    let _ = tls.shutdown().await;
                });
            }
        });
        Self { spki, addr, resumed, _server: server }
    }

    pub fn upstream(&self) -> String {
        self.addr.to_string()
    }
}
