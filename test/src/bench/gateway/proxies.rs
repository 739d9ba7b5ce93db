// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway and its peers, each one process with one thread, in front of the same backend with the same certificate.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    backend::{Backend, passthrough_name},
    role::{DOMAIN, GATEWAY_ROLE, Ports, settle},
};

/// `sysconf(_SC_CLK_TCK)` of Linux on every platform that has this benchmark.
const TICKS: f64 = 100.0;

/// A process in front of the backend; ends when dropped.
pub(super) struct Proxy {
    pub(super) name: &'static str,
    /// Where it ends TLS for [`DOMAIN`] and speaks TLS with the backend, for each client anew.
    pub(super) terminated: SocketAddr,
    /// The same, with its connection to the backend kept for more requests.
    pub(super) kept: SocketAddr,
    /// Where it does less: connections to the backend are shared, or not secured.
    pub(super) others: Vec<(&'static str, SocketAddr)>,
    /// Where it passes TLS through.
    pub(super) passthrough: SocketAddr,
    child: Child,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

impl Proxy {
    /// Seconds of processor time so far.
    pub(super) fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |i: usize| fields.get(i).and_then(|text| text.parse::<f64>().ok());
        Ok((ticks(11).context("utime")? + ticks(12).context("stime")?) / TICKS)
    }

    /// Resident bytes.
    pub(super) fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim_end_matches("kB").trim().parse::<f64>()? * 1024.0)
    }
}

/// The gateway, with one worker thread.
pub(super) async fn gateway(dir: &Path, backend: &Backend) -> Result<Proxy> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(GATEWAY_ROLE)
        .arg(dir)
        .env("TOKIO_WORKER_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a gateway")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
    let ports: Ports = serde_json::from_str(&line).context("the gateway did not start")?;
    settle(ports.api, &backend.spki, backend.tls).await?;
    let (terminated, passthrough) = (ports.tls, ports.tls);
    Ok(Proxy { name: "gateway", terminated, kept: terminated, others: Vec::new(), passthrough, child })
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn wait_for(at: SocketAddr, child: &mut Child, name: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(at).is_err() {
        ensure!(child.try_wait()?.is_none() && Instant::now() < until, "{name} did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether the peers are installed.
pub(super) fn are_installed() -> bool {
    ["nginx", "haproxy"].iter().all(|name| {
        ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(name).exists())
    })
}

/// nginx, one process that is master and worker.
pub(super) fn nginx(dir: &Path, backend: &Backend) -> Result<Proxy> {
    let (terminated, pooled, plain, passthrough) = (free()?, free()?, free()?, free()?);
    let (tls_backend, plain_backend) = (backend.tls, backend.plain);
    let (d, name) = (dir.display(), passthrough_name());
    let config = format!(
        "daemon off; master_process off; pid {d}/nginx.pid; error_log {d}/nginx.log warn;

include /etc/nginx/modules-enabled/50-mod-stream.conf;
events {{ worker_connections 20000; }}
stream {{
  map_hash_bucket_size 128;
  map $ssl_preread_server_name $to {{ {name} {tls_backend}; }}
  server {{ listen {passthrough} backlog=4096; ssl_preread on; proxy_pass $to; }}
}}
http {{
  access_log off; keepalive_requests 1000000; keepalive_timeout 600s; ssl_session_tickets on;
  client_body_temp_path {d}/a; proxy_temp_path {d}/b; fastcgi_temp_path {d}/c; uwsgi_temp_path {d}/d; scgi_temp_path {d}/e;
  upstream secured {{ server {tls_backend}; }}
  upstream pooled {{ server {tls_backend}; keepalive 64; keepalive_requests 1000000; }}
  upstream open {{ server {plain_backend}; keepalive 64; keepalive_requests 1000000; }}
  ssl_certificate {d}/served.pem; ssl_certificate_key {d}/served.pem; ssl_protocols TLSv1.2 TLSv1.3;
  proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host;
  server {{
    listen {terminated} ssl backlog=4096; server_name {DOMAIN};
    location / {{
      proxy_pass https://secured; proxy_ssl_verify on; proxy_ssl_trusted_certificate {d}/backend.pem;
      proxy_ssl_name {DOMAIN}; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;
    }}
  }}
  server {{
    listen {pooled} ssl backlog=4096; server_name {DOMAIN};
    location / {{
      proxy_pass https://pooled; proxy_ssl_verify on; proxy_ssl_trusted_certificate {d}/backend.pem;
      proxy_ssl_name {DOMAIN}; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;
    }}
  }}
  server {{ listen {plain} ssl backlog=4096; server_name {DOMAIN}; location / {{ proxy_pass http://open; }} }}
}}\n"
    );
    let path = dir.join("nginx.conf");
    fs::File::create(&path)?.write_all(config.as_bytes())?;
    let mut child = Command::new("nginx")
        .arg("-c")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start nginx")?;
    wait_for(terminated, &mut child, "nginx")?;
    let others = vec![("pooled-upstream", pooled), ("plain-upstream", plain)];
    // It keeps none of its own clients', but a pool of them.
    Ok(Proxy { name: "nginx", terminated, kept: pooled, others, passthrough, child })
}

/// HAProxy with one thread.
pub(super) fn haproxy(dir: &Path, backend: &Backend) -> Result<Proxy> {
    let (terminated, plain, passthrough) = (free()?, free()?, free()?);
    let (tls_backend, plain_backend) = (backend.tls, backend.plain);
    let (d, name) = (dir.display(), passthrough_name());
    let config = format!(
        "global
  nbthread 1
  maxconn 9940
  maxpipes 40
defaults
  timeout connect 10s
  timeout client 600s
  timeout server 600s
  option splice-auto
frontend passed
  mode tcp
  bind {passthrough} backlog 4096
  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  use_backend passed if {{ req.ssl_sni {name} }}
backend passed
  mode tcp
  server one {tls_backend}
frontend ended
  mode http
  bind {terminated} ssl crt {d}/served.pem alpn http/1.1 backlog 4096
  default_backend secured
backend secured
  mode http
  http-reuse never
  server one {tls_backend} ssl verify required ca-file {d}/backend.pem sni str({DOMAIN}) verifyhost {DOMAIN} ssl-min-ver TLSv1.3
frontend ended_plain
  mode http
  bind {plain} ssl crt {d}/served.pem alpn http/1.1 backlog 4096
  default_backend open
backend open
  mode http
  server one {plain_backend}\n"
    );
    let path = dir.join("haproxy.cfg");
    fs::write(&path, config)?;
    let mut child = Command::new("haproxy")
        .arg("-db")
        .arg("-f")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start haproxy")?;
    wait_for(terminated, &mut child, "haproxy")?;
    let others = vec![("plain-upstream", plain)];
    Ok(Proxy { name: "haproxy", terminated, kept: terminated, others, passthrough, child })
}
