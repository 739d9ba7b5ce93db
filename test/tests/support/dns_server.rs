// SPDX-License-Identifier: Apache-2.0 OR MIT
//! DNS servers that we did not write, with zones that signed updates change.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use mandate_acme::{
    dns::{Dns, DnsError, Rfc2136, TsigAlgorithm, TsigKey},
    name::DomainName,
};
use mandate_runtime::Ambient;

const KEY_NAME: &str = "gateway";
/// 32 bytes in base64.
pub(crate) const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bind,
    Knot,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Bind, Kind::Knot];

/// A server that answers for its zones and takes updates that are signed with the key; ends when dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    child: Child,
    pub(crate) dir: tempfile::TempDir,
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

/// Everything of the zone is on this host.
fn zone_file(zone: &str) -> String {
    format!(
        "$ORIGIN {zone}.
$TTL 60
@ IN SOA ns hostmaster 1 60 60 60 60
@ IN NS ns
@ IN A 127.0.0.1
ns IN A 127.0.0.1
"
    )
}

impl Kind {
    fn command(self, dir: &Path, addr: SocketAddr, zones: &[&str]) -> Option<Command> {
        let (d, port) = (dir.display(), addr.port());
        for zone in zones {
            fs::write(dir.join(format!("{zone}.zone")), zone_file(zone)).unwrap();
        }
        let path = dir.join("server.conf");
        let (program, config, arguments): (_, _, &[&str]) = match self {
            Self::Bind => {
                let zones = zones.iter().map(|zone| {
                    format!(
                        "zone \"{zone}\" {{ type primary; file \"{d}/{zone}.zone\"; allow-update {{ key \"{KEY_NAME}\"; }}; }};\n"
                    )
                });
                let zones: String = zones.collect();
                let config = format!(
                    "options {{ directory \"{d}\"; pid-file \"{d}/pid\"; session-keyfile none; recursion no;
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; dnssec-validation no; }};
controls {{ }};
key \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};
{zones}"
                );
                (program("named")?, config, &["-g", "-c"])
            }
            Self::Knot => {
                let zones = zones.iter().map(|zone| {
                    format!("  - domain: {zone}\n    storage: {d}\n    file: {zone}.zone\n    acl: changes\n")
                });
                let zones: String = zones.collect();
                let config = format!(
                    "server:\n  rundir: {d}\n  listen: 127.0.0.1@{port}\ndatabase:\n  storage: {d}\n\
key:\n  - id: {KEY_NAME}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
acl:\n  - id: changes\n    key: {KEY_NAME}\n    action: update\n\
zone:\n{zones}"
                );
                (program("knotd")?, config, &["-c"])
            }
        };
        fs::write(&path, config).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(path);
        Some(command)
    }

    /// The server with these zones, the first of which has two labels; nothing where it is not installed.
    pub(crate) async fn start(self, zones: &[&str]) -> Option<Server> {
        let (dir, addr) = (tempfile::tempdir().unwrap(), free_addr());
        let mut command = self.command(dir.path(), addr, zones)?;
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let server = Server { addr, child, dir };
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        let zone = DomainName::try_from(zones[0]).unwrap();
        // Up when it says anything: about names above its zones it refuses to.
        let up = async || {
            let said = server.dns(&zone, SECRET).relevant_caa(&zone).await;
            matches!(said, Ok(_) | Err(DnsError::Code { .. }))
        };
        while !up().await {
            let log = || fs::read_to_string(server.dir.path().join("log")).unwrap_or_default();
            assert!(tokio::time::Instant::now() < until, "{self:?} does not come up: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(server)
    }
}

impl Server {
    /// Looks it up, and changes `zone` with a key of this secret.
    pub(crate) fn dns(&self, zone: &DomainName, secret: &str) -> Arc<Dns> {
        let ambient = Ambient::system();
        let key = TsigKey::new(KEY_NAME, TsigAlgorithm::default(), secret).unwrap();
        let zone = Rfc2136::new(zone.clone(), self.addr, Vec::new(), key, &ambient);
        // It answers about names above the zone, too: with a refusal, which is not "nothing".
        Arc::new(Dns::new(vec![Arc::new(zone)], vec![self.addr], Duration::from_secs(10), &ambient))
    }
}
