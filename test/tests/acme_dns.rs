// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Orders by DNS-01 at pebble, and CAA, with DNS servers that we did not write: BIND and Knot, each where it is installed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use mandate_acme::{
    AcmeConfig, AcmeIssuer,
    caa::guard::CaaMode,
    challenge::ChallengeStore,
    dns::{Dns, DnsError, Rfc2136, TsigAlgorithm, TsigKey},
    issuer::{CertificateIssuer, CertificateRequest, IssueError},
    keys::{DevelopmentKeys, P256Key},
    name::{DomainName, Subject},
};
use mandate_cli::demo::pebble::Pebble;
use mandate_runtime::Ambient;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const ZONE: &str = "tee.test";
const KEY_NAME: &str = "gateway";
/// 32 bytes in base64.
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const WRONG_SECRET: &str = "/////////////////////////////////////////w8=";

const ZONE_FILE: &str = "$ORIGIN tee.test.
$TTL 60
@ IN SOA ns hostmaster 1 60 60 60 60
@ IN NS ns
@ IN A 127.0.0.1
ns IN A 127.0.0.1
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bind,
    Knot,
}

/// A server that answers for [`ZONE`] and takes updates that are signed with the key; ends when dropped.
struct Server {
    addr: SocketAddr,
    child: Child,
    dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

fn free_addr() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = tcp.local_addr().unwrap();
        if UdpSocket::bind(addr).is_ok() {
            return addr;
        }
    }
}

impl Kind {
    fn command(self, dir: &Path, addr: SocketAddr) -> Option<Command> {
        let (d, port) = (dir.display(), addr.port());
        fs::write(dir.join("tee.test.zone"), ZONE_FILE).unwrap();
        let path = dir.join("server.conf");
        let (program, config, arguments): (_, _, &[&str]) = match self {
            Self::Bind => (
                program("named")?,
                format!(
                    "options {{ directory \"{d}\"; pid-file \"{d}/pid\"; session-keyfile none; recursion no;
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; dnssec-validation no; }};
controls {{ }};
key \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};
zone \"{ZONE}\" {{ type primary; file \"{d}/tee.test.zone\"; allow-update {{ key \"{KEY_NAME}\"; }}; }};\n"
                ),
                &["-g", "-c"],
            ),
            Self::Knot => (
                program("knotd")?,
                format!(
                    "server:\n  rundir: {d}\n  listen: 127.0.0.1@{port}\ndatabase:\n  storage: {d}\n\
key:\n  - id: {KEY_NAME}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
acl:\n  - id: changes\n    key: {KEY_NAME}\n    action: update\n\
zone:\n  - domain: {ZONE}\n    storage: {d}\n    file: tee.test.zone\n    acl: changes\n"
                ),
                &["-c"],
            ),
        };
        fs::write(&path, config).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(path);
        Some(command)
    }

    /// The server, or nothing where it is not installed.
    async fn start(self) -> Option<Server> {
        let (dir, addr) = (tempfile::tempdir().unwrap(), free_addr());
        let mut command = self.command(dir.path(), addr)?;
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let server = Server { addr, child, dir };
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        // Up when it says anything: about names above its zone it refuses to.
        let zone = name(ZONE);
        while !matches!(server.dns(SECRET).relevant_caa(&zone).await, Ok(_) | Err(DnsError::Code { .. })) {
            let log = || fs::read_to_string(server.dir.path().join("log")).unwrap_or_default();
            assert!(tokio::time::Instant::now() < until, "{self:?} does not come up: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(server)
    }
}

impl Server {
    fn dns(&self, secret: &str) -> Arc<Dns> {
        let ambient = Ambient::system();
        let key = TsigKey::new(KEY_NAME, TsigAlgorithm::default(), secret).unwrap();
        let zone = Rfc2136::new(name(ZONE), self.addr, Vec::new(), key, &ambient);
        // It answers about names above the zone, too: with a refusal, which is not "nothing".
        Arc::new(Dns::new(vec![Arc::new(zone)], vec![self.addr], Duration::from_secs(10), &ambient))
    }

    fn issuer(&self, pebble: &Pebble, issuer: &str, caa: CaaMode, secret: &str) -> AcmeIssuer {
        let config = AcmeConfig {
            directory: pebble.directory_url.clone(),
            extra_roots: vec![CertificateDer::from_pem_slice(pebble.ca_pem.as_bytes()).unwrap()],
            issuer: issuer.to_owned(),
            timeout: Duration::from_secs(60),
            external_account: None,
            caa,
        };
        let keys = Arc::new(DevelopmentKeys::new([7; 32].into()));
        let challenges = Arc::new(ChallengeStore::default());
        AcmeIssuer::new(config, keys, challenges, self.dns(secret), Ambient::system()).unwrap()
    }

    async fn pebble(&self, environment: &[(&str, &str)]) -> Pebble {
        Pebble::start_asking(self.dir.path(), 9, self.addr, environment).await.unwrap()
    }
}

fn name(text: &str) -> DomainName {
    DomainName::try_from(text).unwrap()
}

fn request() -> CertificateRequest {
    let key = P256Key::derive(&[9; 32].into()).unwrap();
    CertificateRequest::new(Subject::Wildcard(name(ZONE)), Arc::new(key))
}

fn names_of(leaf: &[u8]) -> Vec<String> {
    let (_, parsed) = X509Certificate::from_der(leaf).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap().value.general_names.iter();
    let names = names.map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other:?}"),
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

async fn each(test: impl AsyncFn(Server)) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut ran = 0;
    for kind in [Kind::Bind, Kind::Knot] {
        match kind.start().await {
            Some(server) => {
                test(server).await;
                ran += 1;
            }
            None => eprintln!("{kind:?} is not installed: apt-get install bind9 knot"),
        }
    }
    eprintln!("{ran} servers");
}

#[tokio::test]
async fn wildcard_is_validated_through_dns_behind_caa_that_permits_nobody_else() {
    each(async |server| {
        let pebble = server.pebble(&[]).await;
        let issuer = server.issuer(&pebble, "pebble.test", CaaMode::Reconcile, SECRET);
        let issued = issuer.issue(&request()).await.unwrap();
        assert_eq!(names_of(&issued.chain[0]), ["*.tee.test", "tee.test"]);
        let dns = server.dns(SECRET);
        let published = dns.relevant_caa(&name(ZONE)).await.unwrap().unwrap();
        let text: Vec<_> = published.properties.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 2, "{text:?}");
        for record in &text {
            assert!(record.contains("pebble.test") && record.contains(&issued.account_uri), "{record}");
            assert!(record.contains("validationmethods=dns-01"), "{record}");
        }
        // Once more, with everything as it should be.
        issuer.issue(&request()).await.unwrap();
        issuer.check(request().subject()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn bad_nonces_and_slow_validation_hold_an_order_up_and_do_not_end_it() {
    each(async |server| {
        let environment =
            [("PEBBLE_WFE_NONCEREJECT", "10"), ("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "1")];
        let pebble = server.pebble(&environment).await;
        let issuer = server.issuer(&pebble, "pebble.test", CaaMode::Reconcile, SECRET);
        // The library asks three times with a fresh nonce; pebble rejects at random, so that an order may need another try.
        let mut tries = 0;
        while let Err(error) = issuer.issue(&request()).await {
            assert!(matches!(error, IssueError::Unreachable { .. }), "{error}");
            tries += 1;
            assert!(tries < 10, "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn attack_order_without_caa_is_not_placed() {
    each(async |server| {
        let pebble = server.pebble(&[]).await;
        let refused = server.issuer(&pebble, "pebble.test", CaaMode::Require, SECRET).issue(&request()).await;
        // Above the zone the server refuses to say: that is not known, and not permission either.
        assert!(matches!(refused, Err(IssueError::Caa { .. } | IssueError::Dns { .. })), "{refused:?}");
        let refused =
            server.issuer(&pebble, "pebble.test", CaaMode::Reconcile, WRONG_SECRET).issue(&request()).await;
        assert!(matches!(refused, Err(IssueError::Dns { .. })), "{refused:?}");
        assert_eq!(server.dns(SECRET).relevant_caa(&name(ZONE)).await.unwrap_or(None), None);
        // Somebody else's records are found by whoever may not mend them.
        server
            .issuer(&pebble, "other.test", CaaMode::Reconcile, SECRET)
            .check(request().subject())
            .await
            .unwrap();
        let refused = server.issuer(&pebble, "pebble.test", CaaMode::Require, SECRET).issue(&request()).await;
        assert!(matches!(refused, Err(IssueError::Caa { .. })), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn there_is_no_moment_without_caa_while_it_is_replaced() {
    each(async |server| {
        let pebble = server.pebble(&[]).await;
        let subject = Subject::Wildcard(name(ZONE));
        let issuers =
            ["one.test", "two.test"].map(|issuer| server.issuer(&pebble, issuer, CaaMode::Reconcile, SECRET));
        issuers[0].check(&subject).await.unwrap();
        let dns = server.dns(SECRET);
        let replacing = async {
            for turn in 0..20 {
                issuers[(turn + 1) % 2].check(&subject).await.unwrap();
            }
        };
        let (zone, mut looks) = (name(ZONE), 0);
        let mut replacing = std::pin::pin!(replacing);
        loop {
            let looked = dns.relevant_caa(&zone);
            tokio::select! {
                () = &mut replacing => break,
                found = looked => {
                    let found = found.unwrap().expect("a moment without CAA");
                    assert_eq!((found.at.trim_end_matches('.'), found.properties.len()), (ZONE, 2));
                    looks += 1;
                }
            }
        }
        assert!(looks > 10, "{looks} looks");
    })
    .await;
}
