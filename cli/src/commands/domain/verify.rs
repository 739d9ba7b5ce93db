// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate domain verify`: a live site end to end.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use http::Uri;
use mandate_acme::name::DomainName;
use mandate_runtime::Ambient;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::json;

use crate::{
    args::VerifyDomainArgs,
    commands::{
        judged::{self, read_capped},
        proven::Proven,
    },
    context::{ConfigFile, Context},
    ct::logs::{self, Purpose},
    error::{CliError, Code, Result},
    site::{
        Standing,
        check::{Judge, Logs, Site},
        conclude,
    },
};

/// The largest file of roots.
const MAX_ROOTS: usize = 4 << 20;
/// Where a system names its resolvers, and the largest such file.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const MAX_RESOLV_CONF: usize = 64 << 10;
const DNS: u16 = 53;

pub(crate) async fn run(context: &Context<'_>, args: &VerifyDomainArgs) -> Result<()> {
    let file = ConfigFile::load(&context.global.config)?;
    let site = site(args)?;
    let verifier = judged::verifier(&args.trust)?;
    let ambient = Ambient::system();
    let logs = known_logs(args, ambient.clock.unix())?;
    let proven = Proven::connect(context, &file, &args.endpoints, args.quorum).await?;
    let resolvers = match args.dns.as_slice() {
        [] => system_resolvers(Path::new(RESOLV_CONF)),
        named => named.to_vec(),
    };
    let judge = Judge {
        deployment: &file.deployment,
        proven: &proven,
        verifier: &verifier,
        resolvers: &resolvers,
        logs: &logs,
        ambient: &ambient,
    };
    let steps = judge.check(&site).await;
    let outcome = conclude(&steps);
    context.print_plain(&json!({
        "domain": site.name.as_str(),
        "outcome": outcome,
        "explained": explain(outcome),
        "anchors": judged::anchors_word(verifier.anchors()),
        "steps": steps,
    }))?;
    match outcome {
        Standing::Ok => Ok(()),
        Standing::Failed => Err(CliError::refused(explain(outcome))),
        Standing::Undecided | Standing::Skipped => Err(CliError::new(Code::Undecided, explain(outcome))),
    }
}

fn explain(outcome: Standing) -> &'static str {
    match outcome {
        Standing::Ok => {
            "the key that the site proved lies with code that the contracts allow, and nobody else may have one"
        }
        Standing::Failed => "a step failed: do not believe this site before that is explained",
        Standing::Undecided | Standing::Skipped => {
            "neither yes nor no: something could not be looked at, and a retry may decide"
        }
    }
}

fn known_logs(args: &VerifyDomainArgs, now: u64) -> Result<Logs> {
    match &args.logs {
        Some(path) => {
            let logs = logs::read(path, Purpose::Vouch, now);
            let unread = |e| CliError::config(format!("--logs {}: {e}", path.display()));
            Ok(Logs::Known(logs.map_err(unread)?))
        }
        None if args.ca.is_some() => Ok(Logs::Private),
        None => Ok(Logs::Unknown),
    }
}

/// Whom this system asks; nobody when it does not say.
fn system_resolvers(path: &Path) -> Vec<SocketAddr> {
    let Ok(text) = read_capped(path, MAX_RESOLV_CONF) else { return Vec::new() };
    let config = resolv_conf::Config::parse(text).map(|config| config.nameservers).unwrap_or_default();
    config.into_iter().map(|address| SocketAddr::new(IpAddr::from(address), DNS)).collect()
}

fn site(args: &VerifyDomainArgs) -> Result<Site> {
    let (name, port) = parse(&args.site)?;
    let mut roots = RootCertStore::empty();
    match &args.ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unread = |what: String| CliError::data(format!("--ca: {}: {what}", path.display()));
            for root in CertificateDer::pem_slice_iter(&read_capped(path, MAX_ROOTS)?) {
                let root = root.map_err(|e| unread(e.to_string()))?;
                roots.add(root).map_err(|e| unread(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unread("no certificate in PEM".to_owned()));
            }
        }
    }
    Ok(Site { name, port, at: args.resolve, roots })
}

/// `https://NAME[:PORT]`.
fn parse(text: &str) -> Result<(DomainName, u16)> {
    let refused = |what: &str| CliError::data(format!("{text:?}: {what}; give https://NAME[:PORT]"));
    let uri: Uri = text.parse().map_err(|_| refused("not a URL"))?;
    let authority = uri.authority().ok_or_else(|| refused("no host"))?;
    if uri.scheme_str() != Some("https") || authority.as_str().contains('@') {
        return Err(refused("not an https site"));
    }
    if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
        return Err(refused("a site is checked, not a page of it"));
    }
    let name = authority.host().to_ascii_lowercase();
    let name = DomainName::try_from(name).map_err(|e| refused(&e.to_string()))?;
    Ok((name, authority.port_u16().unwrap_or(443)))
}

/// `ADDR` or `ADDR:PORT`.
pub(crate) fn parse_resolver(text: &str) -> std::result::Result<SocketAddr, String> {
    let bare = |_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, DNS));
    text.parse().or_else(bare).map_err(|e| format!("{text:?} is neither ADDR nor ADDR:PORT: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_is_a_name_and_a_port_and_nothing_else() {
        let read = |text| parse(text).map(|(name, port)| (name.to_string(), port)).ok();
        assert_eq!(read("https://App.example.org"), Some(("app.example.org".to_owned(), 443)));
        assert_eq!(read("https://app.example.org:8443/"), Some(("app.example.org".to_owned(), 8_443)));
        for bad in [
            "app.example.org",
            "http://app.example.org",
            "https://user@app.example.org",
            "https://app.example.org/page",
            "https://app.example.org/?q",
            "https://127.0.0.1",
            "https://*.example.org",
            "",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn resolver_has_dnss_port_unless_another_is_given() {
        assert_eq!(parse_resolver("127.0.0.1"), Ok(([127, 0, 0, 1], 53).into()));
        assert_eq!(parse_resolver("[::1]:5300").unwrap().port(), 5_300);
        assert!(parse_resolver("dns.example").is_err());
    }

    #[test]
    fn resolvers_are_those_of_the_system_unless_it_names_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        assert_eq!(system_resolvers(&path), []);
        std::fs::write(
            &path,
            "# by hand\nsearch example.org\nnameserver 192.0.2.7\nnameserver 2001:db8::1\n",
        )
        .unwrap();
        let expected = ["192.0.2.7:53", "[2001:db8::1]:53"].map(|a| a.parse().unwrap());
        assert_eq!(system_resolvers(&path), expected);
        std::fs::write(&path, "nameserver nonsense\n").unwrap();
        assert_eq!(system_resolvers(&path), []);
    }
}
