// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `pebble`, the ACME test authority, with the DNS server that it asks: both on free loopback ports, both killed on drop.
//!
//! Every name resolves to 127.0.0.1, so that a TLS-ALPN-01 validation of any name reaches the TLS port that is given.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use mandate_runtime::net::free_port;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use thiserror::Error;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

const PEBBLE: &str = "pebble";
const DNS: &str = "pebble-challtestsrv";
const STARTS_WITHIN: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
const MAX_PAGE: usize = 64 << 10;
const LOG_TAIL: usize = 400;

/// Why there is no authority.
#[derive(Debug, Error)]
pub enum PebbleError {
    /// A program is not installed.
    #[error("{program} is not on the PATH; on Debian: apt-get install pebble")]
    NotInstalled {
        /// Which.
        program: &'static str,
    },
    /// A file, port or process cannot be had.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Its own certificate cannot be made.
    #[error("pebble's HTTPS certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// It ended or does not answer.
    #[error("{program} does not come up; the end of its log:\n{log}")]
    NotUp {
        /// Which.
        program: &'static str,
        /// What it said last.
        log: String,
    },
}

/// A running authority.
#[derive(Debug)]
pub struct Pebble {
    /// URL of the ACME directory.
    pub directory_url: String,
    /// The root of the authority's own HTTPS: an ACME client trusts it.
    pub ca_pem: String,
    /// The root of the certificates that it issues: browsers of the demo trust it.
    pub issuing_root_pem: String,
    management_port: u16,
    // Both are killed when this is dropped.
    _pebble: Child,
    _dns: Option<Child>,
}

/// What makes an authority harder to deal with than the demo's.
#[derive(Debug, Clone, Default)]
pub struct Rules<'a> {
    /// Its `PEBBLE_…` variables, over the usual ones.
    pub environment: &'a [(&'a str, &'a str)],
    /// Whether it already does what later versions will.
    pub strict: bool,
    /// Names that it certifies nobody for, nor those below them.
    pub blocked: &'a [&'a str],
    /// Ids and keys (base64url) of the accounts that its operator knows; when there are any, an ACME account has to be bound
    /// to one of them.
    pub external_accounts: &'a [(&'a str, &'a str)],
}

impl Pebble {
    /// Whether both programs are there.
    pub fn is_installed() -> bool {
        find(PEBBLE).is_ok() && find(DNS).is_ok()
    }

    /// Starts an authority that validates TLS-ALPN-01 at `127.0.0.1:tls_port`. Its files and logs go to `work_dir`.
    ///
    /// # Errors
    /// When a program is missing, or does not come up.
    pub async fn start(work_dir: &Path, tls_port: u16) -> Result<Self, PebbleError> {
        let dns = find(DNS)?;
        let (dns_port, dns_management_port) = (port()?, port()?);
        let mut dns = Command::new(dns);
        dns.args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args([
                "-dns01",
                &format!("127.0.0.1:{dns_port}"),
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
            ])
            .args(["-management", &format!("127.0.0.1:{dns_management_port}")]);
        let mut dns = spawn(dns, DNS, work_dir)?;
        answers(&mut dns, DNS, work_dir, || async move {
            TcpStream::connect((Ipv4Addr::LOCALHOST, dns_port)).await.ok().map(|_| ())
        })
        .await?;
        let mut this =
            Self::start_asking(work_dir, tls_port, (Ipv4Addr::LOCALHOST, dns_port).into(), &Rules::default())
                .await?;
        this._dns = Some(dns);
        Ok(this)
    }

    /// The same, and it asks the DNS server at `dns`.
    ///
    /// # Errors
    /// When a program is missing, or does not come up.
    pub async fn start_asking(
        work_dir: &Path,
        tls_port: u16,
        dns: SocketAddr,
        rules: &Rules<'_>,
    ) -> Result<Self, PebbleError> {
        let pebble = find(PEBBLE)?;
        let (acme_port, management_port) = (port()?, port()?);
        let (ca_pem, files) = own_certificate(work_dir)?;
        let config = work_dir.join("pebble.json");
        let mut settings = configuration(acme_port, management_port, tls_port, &files);
        settings.obey(rules);
        write(&config, &serde_json::json!({ "pebble": settings }).to_string())?;
        let mut pebble = Command::new(pebble);
        // Without these it waits at random before it validates, and refuses good nonces to teach clients patience.
        pebble
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0"), ("PEBBLE_AUTHZREUSE", "0")])
            .envs(rules.environment.iter().copied())
            .args(rules.strict.then_some("-strict"))
            .args(["-dnsserver", &dns.to_string(), "-config"])
            .arg(config);
        let mut pebble = spawn(pebble, PEBBLE, work_dir)?;
        let root = || get(management_port, "/roots/0", &ca_pem);
        let issuing_root_pem = answers(&mut pebble, PEBBLE, work_dir, root).await?;
        answers(&mut pebble, PEBBLE, work_dir, || get(acme_port, "/dir", &ca_pem)).await?;

        let directory_url = format!("https://127.0.0.1:{acme_port}/dir");
        Ok(Self { directory_url, ca_pem, issuing_root_pem, management_port, _pebble: pebble, _dns: None })
    }

    /// What it says about the certificate with this serial number in hex, as JSON: `Status` is `Valid` or `Revoked`. Nothing
    /// when it did not issue it.
    pub async fn status(&self, serial: &str) -> Option<String> {
        get(self.management_port, &format!("/cert-status-by-serial/{serial}"), &self.ca_pem).await
    }
}

fn find(program: &'static str) -> Result<PathBuf, PebbleError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|dir| dir.join(program));
    candidates.find(|candidate| candidate.is_file()).ok_or(PebbleError::NotInstalled { program })
}

fn failed(what: impl ToString) -> impl FnOnce(io::Error) -> PebbleError {
    move |source| PebbleError::Io { what: what.to_string(), source }
}

fn write(path: &Path, text: &str) -> Result<(), PebbleError> {
    std::fs::write(path, text).map_err(failed(path.display()))
}

fn port() -> Result<u16, PebbleError> {
    free_port().map_err(failed("free loopback ports"))
}

/// A root for this run and a certificate for 127.0.0.1 under it.
fn own_certificate(dir: &Path) -> Result<(String, [PathBuf; 2]), PebbleError> {
    let root_key = KeyPair::generate()?;
    let mut root = CertificateParams::default();
    root.distinguished_name.push(DnType::CommonName, "pebble's own HTTPS");
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let root_pem = root.self_signed(&root_key)?.pem();
    let key = KeyPair::generate()?;
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let leaf = CertificateParams::new(names)?.signed_by(&key, &Issuer::new(root, root_key))?;
    let files = [dir.join("pebble-cert.pem"), dir.join("pebble-key.pem")];
    let [cert_file, key_file] = &files;
    write(cert_file, &leaf.pem())?;
    write(key_file, &key.serialize_pem())?;
    Ok((root_pem, files))
}

/// Its configuration file.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Configuration<'a> {
    listen_address: String,
    management_listen_address: String,
    certificate: &'a Path,
    private_key: &'a Path,
    http_port: u16,
    tls_port: u16,
    external_account_binding_required: bool,
    #[serde(rename = "externalAccountMACKeys")]
    external_account_mac_keys: std::collections::BTreeMap<&'a str, &'a str>,
    domain_blocklist: &'a [&'a str],
}

fn configuration(acme: u16, management: u16, tls_port: u16, [cert, key]: &[PathBuf; 2]) -> Configuration<'_> {
    // Nothing listens on the HTTP port: HTTP-01 is not what is shown.
    const UNUSED: u16 = 9;
    Configuration {
        listen_address: format!("127.0.0.1:{acme}"),
        management_listen_address: format!("127.0.0.1:{management}"),
        certificate: cert,
        private_key: key,
        http_port: UNUSED,
        tls_port,
        external_account_binding_required: false,
        external_account_mac_keys: Default::default(),
        domain_blocklist: &[],
    }
}

impl<'a> Configuration<'a> {
    fn obey(&mut self, rules: &Rules<'a>) {
        self.external_account_binding_required = !rules.external_accounts.is_empty();
        self.external_account_mac_keys = rules.external_accounts.iter().copied().collect();
        self.domain_blocklist = rules.blocked;
    }
}

fn log_file(dir: &Path, program: &str) -> PathBuf {
    dir.join(format!("{program}.log"))
}

fn spawn(mut command: Command, program: &'static str, dir: &Path) -> Result<Child, PebbleError> {
    let path = log_file(dir, program);
    let log = std::fs::File::create(&path).map_err(failed(path.display()))?;
    let other = log.try_clone().map_err(failed(path.display()))?;
    command.stdin(Stdio::null()).stdout(log).stderr(other).kill_on_drop(true).spawn().map_err(failed(program))
}

/// Asks until there is an answer, the program has ended, or its time to start is over.
async fn answers<T, F: Future<Output = Option<T>>>(
    child: &mut Child,
    program: &'static str,
    dir: &Path,
    ask: impl Fn() -> F,
) -> Result<T, PebbleError> {
    let deadline = Instant::now() + STARTS_WITHIN;
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        if let Ok(Some(answer)) = timeout(STARTS_WITHIN, ask()).await {
            return Ok(answer);
        }
        sleep(BETWEEN_LOOKS).await;
    }
    let log = std::fs::read_to_string(log_file(dir, program)).unwrap_or_default();
    let start = log.char_indices().rev().nth(LOG_TAIL).map_or(0, |(i, _)| i);
    Err(PebbleError::NotUp { program, log: log.get(start..).unwrap_or_default().to_owned() })
}

/// `GET`s a page over HTTPS from 127.0.0.1; nothing when there is none.
async fn get(port: u16, path: &str, ca_pem: &str) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).ok()?).ok()?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    let name = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "127.0.0.1").body(Empty::<Bytes>::new()).ok()?;
    let response = sender.send_request(request).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let body = Limited::new(response.into_body(), MAX_PAGE).collect().await.ok()?;
    String::from_utf8(body.to_bytes().to_vec()).ok()
}
