// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An app as people write them: HTTP/1.1 and HTTP/2 by ALPN, uploads, a WebSocket, and pages with a script.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{
        Path, Request, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    middleware::{Next, from_fn_with_state},
    response::{Html, Response},
    routing::{any, get, post},
};
use futures::StreamExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use mandate_guest::instance::TlsIdentity;
use mandate_runtime::Ambient;
use rustls::{ServerConfig, crypto::ring::default_provider};
use sha2::{Digest, Sha256};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A page that says over what it came, and what came back through a WebSocket. What it loads at `/wait` comes after `/done`,
/// so that the page is loaded when its script is through.
const PAGE: &str = r#"<!doctype html><body><img src="/wait" alt=""><script>
const say = (name, value) => document.body.append(`[${name}: ${value}]`);
say("protocol", performance.getEntriesByType("navigation")[0].nextHopProtocol);
const socket = new WebSocket(`wss://${location.host}/ws`);
socket.onopen = () => socket.send("said back");
socket.onmessage = event => { say("socket", event.data); if (event.data == "said back") fetch("/done"); };
socket.onerror = () => { say("socket", "failed"); fetch("/done"); };
</script>"#;

/// Running until dropped.
pub struct App {
    pub spki: Vec<u8>,
    pub addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

#[derive(Clone)]
struct Served {
    label: &'static str,
    requests: Arc<AtomicUsize>,
    done: Arc<Notify>,
}

impl App {
    /// An app that calls itself `label`.
    pub async fn start(label: &'static str) -> Self {
        let requests = Arc::<AtomicUsize>::default();
        let router = router(Served { label, requests: Arc::clone(&requests), done: Arc::default() });
        let mut app = Self::raw(&[b"h2", b"http/1.1"], move |tls| {
            let service = TowerToHyperService::new(router.clone());
            async move {
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(tls), service).await;
            }
        })
        .await;
        app.requests = requests;
        app
    }

    /// An app that does with each connection what `serve` does.
    pub async fn raw<S, F>(protocols: &[&[u8]], serve: S) -> Self
    where
        S: Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let identity = TlsIdentity::generate(&Ambient::system(), &["instance.invalid".to_owned()]).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate()], identity.private_key())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        let serve = Arc::new(serve);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, serve) = (acceptor.clone(), Arc::clone(&serve));
                connections.spawn(async move {
                    let _ = stream.set_nodelay(true);
                    if let Ok(tls) = acceptor.accept(stream).await {
                        serve(tls).await;
                    }
                });
            }
        });
        Self { spki: identity.spki().to_vec(), addr, requests: Arc::default(), _server: server }
    }

    /// How many requests reached it.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/who", get(who))
        .route("/upload", post(upload).put(upload))
        .route("/ws", any(echo))
        .route("/ws/greet", any(greet))
        .route("/wait", get(async |State(served): State<Served>| served.done.notified().await))
        .route("/done", get(async |State(served): State<Served>| served.done.notify_one()))
        .route("/large/{bytes}", get(async |Path(bytes): Path<usize>| vec![b'x'; bytes.min(64 << 20)]))
        .layer(from_fn_with_state(served.clone(), count))
        .with_state(served)
}

async fn count(State(served): State<Served>, request: Request, next: Next) -> Response {
    served.requests.fetch_add(1, Ordering::SeqCst);
    next.run(request).await
}

async fn who(State(served): State<Served>) -> &'static str {
    served.label
}

/// Says how much came, and what its hash is.
async fn upload(body: Body) -> String {
    let (mut hash, mut length, mut chunks) = (Sha256::new(), 0, body.into_data_stream());
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return "broken".to_owned() };
        length += chunk.len();
        hash.update(&chunk);
    }
    format!("{length} {}", hex::encode(hash.finalize()))
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_)) && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

async fn greet(State(served): State<Served>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket: WebSocket| {
        let _ = socket.send(Message::text(served.label)).await;
        let _ = socket.send(Message::Close(None)).await;
    })
}
