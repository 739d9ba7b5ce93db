// SPDX-License-Identifier: Apache-2.0 OR MIT
//! DNS servers that we did not write, each where it is installed: for tests and benchmarks of orders by DNS-01.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use mandate_acme::{
    dns::{Dns, DnsError, Rfc2136, TsigAlgorithm, TsigKey, Zone},
    name::DomainName,
};
use mandate_runtime::{Ambient, net::free_port};
use sqlx::{AssertSqlSafe, SqlitePool, sqlite::SqliteConnectOptions};

/// A zone for those who need just one.
pub const ZONE: &str = "tee.test";
/// The secret of the key that may change it: 32 bytes in base64.
pub const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const KEY_NAME: &str = "gateway";
const STARTS_WITHIN: Duration = Duration::from_secs(20);
const PROPAGATION: Duration = Duration::from_secs(10);
/// Where Debian's package has it. The documentation, where it is as well, may be left out of an installation.
const POWERDNS_SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";

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

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `named` of BIND.
    Bind,
    /// `knotd`.
    Knot,
    /// `pdns_server` with its zone in SQLite.
    PowerDns,
}

/// A server that answers for its zones and takes updates that are signed with the key; ends when dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, for UDP and TCP.
    pub addr: SocketAddr,
    /// Its files; what else a test needs may lie there.
    pub dir: tempfile::TempDir,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bind, Self::Knot, Self::PowerDns];

    /// Debian's packages with it.
    pub fn packages(self) -> &'static str {
        match self {
            Self::Bind => "bind9",
            Self::Knot => "knot",
            Self::PowerDns => "pdns-server pdns-backend-sqlite3",
        }
    }

    fn program(self) -> Option<PathBuf> {
        let name = match self {
            Self::Bind => "named",
            Self::Knot => "knotd",
            Self::PowerDns if Path::new(POWERDNS_SCHEMA).is_file() => "pdns_server",
            Self::PowerDns => return None,
        };
        let dirs = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
        dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
    }

    /// The server with these zones, or nothing where it is not installed.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(self, zones: &[&str]) -> Result<Option<Server>> {
        let Some(program) = self.program() else { return Ok(None) };
        let (dir, addr) = (tempfile::tempdir()?, SocketAddr::from(([127, 0, 0, 1], free_port()?)));
        for zone in zones {
            fs::write(dir.path().join(format!("{zone}.zone")), zone_file(zone))?;
        }
        let mut command = Command::new(program);
        match self {
            Self::Bind => bind(&mut command, dir.path(), addr.port(), zones)?,
            Self::Knot => knot(&mut command, dir.path(), addr.port(), zones)?,
            Self::PowerDns => powerdns(&mut command, dir.path(), addr.port(), zones).await?,
        }
        let log = fs::File::create(dir.path().join("log"))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let server = Server { addr, child, dir };
        server.until_up(zones).await.with_context(|| format!("{self:?}"))?;
        Ok(Some(server))
    }
}

impl Server {
    /// Up when it says anything: about names above its zones it refuses to.
    async fn until_up(&self, zones: &[&str]) -> Result<()> {
        let zone = DomainName::try_from(zones.first().copied().context("a server without a zone")?)?;
        let dns = self.dns(&zone, SECRET)?;
        let until = tokio::time::Instant::now() + STARTS_WITHIN;
        while !matches!(dns.relevant_caa(&zone).await, Ok(_) | Err(DnsError::Code { .. })) {
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            ensure!(tokio::time::Instant::now() < until, "it does not come up: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// A zone of its, changed with a key of this secret. Authorities are taken to ask `nameservers`, or itself when there are
    /// none.
    ///
    /// # Errors
    /// When the secret is none.
    pub fn zone(&self, zone: &DomainName, secret: &str, nameservers: Vec<SocketAddr>) -> Result<Rfc2136> {
        let key = TsigKey::new(KEY_NAME, TsigAlgorithm::default(), secret)?;
        let ambient = Ambient::system();
        Ok(Rfc2136::new(zone.clone(), self.addr, nameservers, key, &ambient))
    }

    /// DNS with this zone of its as the one of ours. It answers about names above the zone, too: with a refusal, which is not
    /// "nothing".
    ///
    /// # Errors
    /// When the secret is none.
    pub fn dns(&self, zone: &DomainName, secret: &str) -> Result<Arc<Dns>> {
        let zone: Arc<dyn Zone> = Arc::new(self.zone(zone, secret, Vec::new())?);
        Ok(Arc::new(Dns::new(vec![zone], vec![self.addr], PROPAGATION, &Ambient::system())))
    }
}

fn bind(command: &mut Command, dir: &Path, port: u16, zones: &[&str]) -> Result<()> {
    let (d, config) = (dir.display(), dir.join("server.conf"));
    let mut text = format!(
        "options {{ directory \"{d}\"; pid-file \"{d}/pid\"; session-keyfile none; recursion no;
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; dnssec-validation no; }};
controls {{ }};
key \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n"
    );
    for zone in zones {
        text += &format!(
            "zone \"{zone}\" {{ type primary; file \"{d}/{zone}.zone\"; allow-update {{ key \"{KEY_NAME}\"; }}; }};\n"
        );
    }
    fs::write(&config, text)?;
    command.args(["-g", "-c"]).arg(config);
    Ok(())
}

fn knot(command: &mut Command, dir: &Path, port: u16, zones: &[&str]) -> Result<()> {
    let (d, config) = (dir.display(), dir.join("server.conf"));
    let mut text = format!(
        "server:\n  rundir: {d}\n  listen: 127.0.0.1@{port}\ndatabase:\n  storage: {d}\n\
key:\n  - id: {KEY_NAME}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
acl:\n  - id: changes\n    key: {KEY_NAME}\n    action: update\nzone:\n"
    );
    for zone in zones {
        text += &format!("  - domain: {zone}\n    storage: {d}\n    file: {zone}.zone\n    acl: changes\n");
    }
    fs::write(&config, text)?;
    command.arg("-c").arg(config);
    Ok(())
}

/// Its caches are off: what is written is seen at once, as with the others.
async fn powerdns(command: &mut Command, dir: &Path, port: u16, zones: &[&str]) -> Result<()> {
    let database = dir.join("pdns.sqlite3");
    powerdns_zones(&database, zones).await.context("its database")?;
    let config = format!(
        "launch=gsqlite3
gsqlite3-database={}
gsqlite3-pragma-journal-mode=WAL
local-address=127.0.0.1
local-port={port}
socket-dir={}
dnsupdate=yes
disable-syslog=yes
write-pid=no
version-string=anonymous
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
",
        database.display(),
        dir.display()
    );
    fs::write(dir.join("pdns.conf"), config)?;
    command.arg(format!("--config-dir={}", dir.display())).args(["--daemon=no", "--guardian=no"]);
    Ok(())
}

async fn powerdns_zones(database: &Path, zones: &[&str]) -> Result<()> {
    let schema = fs::read_to_string(POWERDNS_SCHEMA)?;
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&pool).await?;
    let key = format!(
        "INSERT INTO tsigkeys (name, algorithm, secret) VALUES ('{KEY_NAME}', 'hmac-sha256', '{SECRET}');"
    );
    sqlx::raw_sql(AssertSqlSafe(key)).execute(&pool).await?;
    for (id, zone) in (1..).zip(zones) {
        let zone = format!(
            "INSERT INTO domains (id, name, type) VALUES ({id}, '{zone}', 'NATIVE');
INSERT INTO records (domain_id, name, type, ttl, content) VALUES
  ({id}, '{zone}', 'SOA', 60, 'ns.{zone} hostmaster.{zone} 1 60 60 60 60'),
  ({id}, '{zone}', 'NS', 60, 'ns.{zone}'),
  ({id}, '{zone}', 'A', 60, '127.0.0.1'),
  ({id}, 'ns.{zone}', 'A', 60, '127.0.0.1');
INSERT INTO domainmetadata (domain_id, kind, content) VALUES
  ({id}, 'TSIG-ALLOW-DNSUPDATE', '{KEY_NAME}'),
  ({id}, 'ALLOW-DNSUPDATE-FROM', '127.0.0.0/8');"
        );
        sqlx::raw_sql(AssertSqlSafe(zone)).execute(&pool).await?;
    }
    pool.close().await;
    Ok(())
}
