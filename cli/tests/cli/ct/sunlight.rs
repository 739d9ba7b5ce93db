// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Beside `sunlight`, which runs most of the public logs with the static CT API; skipped where it is not installed.

use std::{
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, extract, http::StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use mandate_runtime::net::free_port;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use super::lines;
use crate::shell::Shell;

/// The log's host; the certificate of its server is for it.
const HOST: &str = "ct.tee.test";

type Issuer = CertifiedIssuer<'static, KeyPair>;

struct Sunlight {
    _process: Child,
    port: u16,
    root: Issuer,
    server: CertificateDer<'static>,
}

fn installed() -> bool {
    std::process::Command::new("sunlight").arg("-h").output().is_ok()
}

fn issuer() -> Issuer {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Sunlight {
    async fn start(dir: &Path, monitoring: &str) -> Self {
        let root = issuer();
        std::fs::write(dir.join("root.pem"), root.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new([HOST.to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(dir.join("sunlight.pem"), server.pem()).unwrap();
        std::fs::write(dir.join("sunlight-key.pem"), key.serialize_pem()).unwrap();
        let keygen = ["-f", "seed", "-prefix", &format!("https://{HOST}/log")].map(str::to_owned);
        let made = Command::new("sunlight-keygen").args(keygen).current_dir(dir).output().await.unwrap();
        assert!(made.status.success(), "{made:?}");
        let database =
            SqliteConnectOptions::new().filename(dir.join("checkpoints.db")).create_if_missing(true);
        let mut database = SqliteConnection::connect_with(&database).await.unwrap();
        let table = "CREATE TABLE checkpoints (logID BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT";
        sqlx::query(table).execute(&mut database).await.unwrap();
        database.close().await.unwrap();
        let port = free_port().unwrap();
        let today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let config = json!({
            "listen": [format!("127.0.0.1:{port}")], "checkpoints": dir.join("checkpoints.db"),
            "logs": [{
                "name": format!("{HOST}/log"), "shortname": "log", "inception": &today[..10], "period": 100,
                "submissionprefix": format!("https://{HOST}/log"), "monitoringprefix": monitoring,
                "roots": "root.pem", "secret": "seed", "seed": "seed", "cache": dir.join("cache.db"),
                "localdirectory": dir.join("data"), "notafterstart": "1975-01-01T00:00:00Z",
                "notafterlimit": "5000-01-01T00:00:00Z",
            }],
        });
        // YAML is a superset of JSON.
        std::fs::write(dir.join("sunlight.yaml"), config.to_string()).unwrap();
        std::fs::create_dir(dir.join("data")).unwrap();
        let process = Command::new("sunlight")
            .args(["-testcert", "-c", "sunlight.yaml"])
            .env("GODEBUG", "httpmuxgo121=0")
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(dir.join("sunlight.log")).unwrap()))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { _process: process, port, root, server: server.der().clone() }
    }

    /// It listens a moment after it has made the log.
    async fn connect(&self) -> TcpStream {
        let connected = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                match TcpStream::connect(("127.0.0.1", self.port)).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        connected.await.expect("sunlight does not listen; see sunlight.log")
    }

    /// Logs a new certificate for `name`; SHA-256 of it.
    async fn submit(&self, name: &str) -> String {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &self.root).unwrap();
        let chain = [certificate.der(), self.root.der()].map(|der| BASE64.encode(der));
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = self.connect().await;
        let name = ServerName::try_from(HOST).unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let body = Full::new(bytes::Bytes::from(json!({"chain": chain}).to_string()));
        let request = Request::post("/log/ct/v1/add-chain").header("host", HOST).body(body).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&text));
        format!("0x{}", hex::encode(Sha256::digest(certificate.der())))
    }
}

/// Waits until `path` is there and says that the tree has `size` entries.
async fn grown(path: &Path, size: usize) {
    let grown = tokio::time::timeout(Duration::from_secs(30), async {
        let line = size.to_string();
        while std::fs::read_to_string(path).ok().as_deref().and_then(|text| text.lines().nth(1))
            != Some(&line)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    grown.await.unwrap_or_else(|_| panic!("{} does not reach {size} entries", path.display()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_log_is_followed_from_its_end_and_from_its_beginning() {
    if !installed() {
        eprintln!("skipped: `sunlight` is not installed; script/test fetches it");
        return;
    }
    let _ = ring::default_provider().install_default();
    let shell = Shell::new().await;
    let dir = shell.path("log");
    std::fs::create_dir(&dir).unwrap();
    let files = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", files.local_addr().unwrap());
    let data = dir.join("data");
    let (served, checkpoint) = (data.clone(), data.join("checkpoint"));
    let router = Router::new().fallback(move |uri: extract::OriginalUri| async move {
        std::fs::read(served.join(uri.path().trim_start_matches('/'))).map_err(|_| StatusCode::NOT_FOUND)
    });
    tokio::spawn(async move { axum::serve(files, router).await.unwrap() });

    let log = Sunlight::start(&dir, &url).await;
    grown(&checkpoint, 0).await;
    for i in 0..5 {
        log.submit(&format!("{i}.example.org")).await;
    }
    grown(&checkpoint, 5).await;
    let listed: Value = serde_json::from_slice(&std::fs::read(data.join("log.v3.json")).unwrap()).unwrap();
    shell.write("logs.json", &json!({"operators": [{"tiled_logs": [listed]}]}).to_string());
    let line = "domain watch --logs logs.json --once --json --no-registry --also www.example.net";
    let ran = shell.run_with(line, &[]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");

    let fingerprint = log.submit("*.example.net").await;
    log.submit("other.example.org").await;
    grown(&checkpoint, 7).await;
    for flags in ["", "--from 0 --state new.json", "--from 3 --state other.json"] {
        let ran = shell.run_with(&format!("{line} {flags}"), &[]).await;
        let told = lines(&ran);
        assert_eq!((ran.code, told.len()), (1, 1), "{flags}: {ran:?}");
        assert_eq!((&told[0]["fingerprint"], &told[0]["index"]), (&json!(fingerprint), &json!(5)));
    }
}
