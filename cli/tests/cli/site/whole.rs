// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole of it: a domain that the DAO approved, a certificate from pebble, a gateway whose keys the committee released, CAA
//! on a DNS server that we did not write. `mandate domain verify` ends in 0; then each thing is broken in turn, and exactly
//! its step says so.

use alloy::{
    primitives::{Address, B256, aliases::U40},
    providers::{DynProvider, Provider, ProviderBuilder},
    signers::local::{MnemonicBuilder, coins_bip39::English},
};
use mandate_acme::{caa::Property, dns::Change, name::DomainName};
use mandate_devchain::JUNK_MNEMONIC;
use mandate_model::bindings::{AppAuth, DomainRegistry, KmsAuth};

use super::{impostor, pairs, steps, wrong};
use crate::{
    dns::{Kind, SECRET, Server},
    town::Town,
};

/// Accounts of the story: who may revoke code, who records certificates, and anybody.
const GUARDIAN: u32 = 5;
const RELAYER: u32 = 6;
const ANYBODY: u32 = 9;

struct Checked {
    town: Town,
    server: Server,
    name: DomainName,
    line: String,
}

impl Checked {
    fn account(&self, index: u32) -> DynProvider {
        let signer = MnemonicBuilder::<English>::default().phrase(JUNK_MNEMONIC).index(index).unwrap();
        let url = self.town.world.rpc_url().parse().unwrap();
        ProviderBuilder::new().wallet(signer.build().unwrap()).connect_http(url).erased()
    }

    fn registry(&self, account: u32) -> DomainRegistry::DomainRegistryInstance<DynProvider> {
        DomainRegistry::new(self.town.config.deployment.domain_registry, self.account(account))
    }

    /// Puts these in place of the name's CAA records.
    async fn publish(&self, records: &[(&str, String)]) {
        let property = |(tag, value): &(&str, String)| Property {
            flags: 128,
            tag: (*tag).to_owned(),
            value: value.as_bytes().to_vec(),
        };
        let records = records.iter().map(property).collect();
        let dns = self.server.dns(&self.name, SECRET).unwrap();
        let zone = dns.zone_of(&self.name).unwrap();
        zone.apply(&[Change::ReplaceCaa(self.name.clone(), records)]).await.unwrap();
    }

    /// What ends how, with the line as it is or another one.
    async fn expect(&self, line: &str, code: i32, expected: &[(&str, &str)], what: &str) {
        let ran = self.town.run(line).await;
        assert_eq!((ran.code, wrong(&ran)), (code, pairs(expected)), "{what}: {:#?}", steps(&ran));
    }

    /// Blocks until what is on chain now is final.
    fn finalise(&self) {
        self.town.world.chain().mine(3);
    }

    async fn record(&self, fingerprint: B256, spki: B256) {
        let registry = self.registry(RELAYER);
        let call = registry.recordCertificate(self.name.to_string(), fingerprint, spki, U40::from(u32::MAX));
        assert!(call.send().await.unwrap().get_receipt().await.unwrap().status());
        self.finalise();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn site_is_right_in_every_step_and_each_thing_that_breaks_shows_in_its_own() {
    let Some(town) = Town::with_pebble_to(7).await else {
        eprintln!("skipped: pebble is not installed");
        return;
    };
    let (name, addr, root) = town.world.site().unwrap();
    let root = root.to_owned();
    // The zone above has nothing to say, and says so.
    let above = name.split_once('.').unwrap().1;
    let mut servers = Vec::new();
    for kind in Kind::ALL {
        servers.extend(kind.start(&[name, above]).await.unwrap());
    }
    if servers.is_empty() {
        eprintln!("skipped: none of BIND, Knot and PowerDNS is installed");
        return;
    }
    let server = servers.remove(0);
    town.write("ca.pem", root.as_bytes());
    let line = format!(
        "domain verify https://{name} --anchor root.der --ca ca.pem --resolve {addr} --dns {} --json",
        server.addr
    );
    let site = Checked { town, server, name: name.parse().unwrap(), line };
    let line = site.line.as_str();

    let domain = site.registry(ANYBODY).domain(name.to_owned()).call().await.unwrap();
    let ours = format!("{}; accounturi={}; validationmethods=tls-alpn-01", domain.issuer, domain.accountUri);
    let right = [("issue", ours.clone()), ("issuewild", ";".to_owned())];
    site.publish(&right).await;
    site.expect(line, 0, &[], "everything is right").await;

    site.publish(&[]).await;
    site.expect(line, 1, &[("caa", "FAILED")], "there is no CAA").await;
    site.publish(&[("issue", ours), ("issue", "other.test".to_owned()), ("issuewild", ";".to_owned())]).await;
    site.expect(line, 1, &[("caa", "FAILED")], "CAA lets another authority issue").await;
    site.publish(&right).await;

    incident(&site).await;
    certificates(&site, (domain.certificate, domain.spkiHash), (addr, &root)).await;
    site.expect(line, 0, &[], "all is mended").await;
    code(&site).await;
}

/// It is wrong while it is open.
async fn incident(site: &Checked) {
    let (name, rogue) = (site.name.to_string(), B256::repeat_byte(7));
    let registry = site.registry(ANYBODY);
    let report = registry.reportIncident(name.clone(), rogue, "a log".to_owned());
    report.send().await.unwrap().get_receipt().await.unwrap();
    site.expect(&site.line, 1, &[("ct", "FAILED")], "an incident is open").await;
    site.town.world.close_incident(rogue).await.unwrap();
    site.expect(&site.line, 0, &[], "the incident is closed").await;
}

async fn certificates(
    site: &Checked,
    (right, key): (B256, B256),
    (addr, root): (std::net::SocketAddr, &str),
) {
    let line = site.line.as_str();
    site.record(B256::repeat_byte(1), B256::repeat_byte(2)).await;
    site.expect(line, 1, &[("registry", "FAILED")], "the recorded certificate has another key").await;
    // As after a renewal, before the relayer has recorded it.
    site.record(B256::repeat_byte(3), key).await;
    site.expect(line, 75, &[("registry", "undecided")], "the certificate is not recorded").await;
    site.record(right, key).await;
    site.expect(line, 0, &[], "it is recorded again").await;

    let (between, its_root) = impostor(Box::leak(site.name.to_string().into_boxed_str()), addr, root).await;
    site.town.write("both.pem", format!("{root}{its_root}").as_bytes());
    let through = line
        .replace("--ca ca.pem", "--ca both.pem")
        .replace(&format!("--resolve {addr}"), &format!("--resolve {between}"));
    let expected = [("provenance", "FAILED"), ("registry", "FAILED")];
    site.expect(&through, 1, &expected, "somebody in between has another key").await;
}

/// For good, so it comes last.
async fn code(site: &Checked) {
    let kms_auth = KmsAuth::new(site.town.config.deployment.kms_auth, site.account(GUARDIAN));
    let gateway: Address = kms_auth.gatewayApp().call().await.unwrap();
    let ran = site.town.run(&site.line).await;
    let found = steps(&ran).into_iter().find(|(step, ..)| step == "code").unwrap().2;
    let code: B256 = found.split_whitespace().next().unwrap().parse().unwrap();
    let auth = AppAuth::new(gateway, site.account(GUARDIAN));
    let revoked = auth.revokeCode(code, false).send().await.unwrap().get_receipt().await.unwrap();
    assert!(revoked.status());
    site.expect(&site.line, 1, &[("code", "FAILED")], "the gateway's code is revoked").await;
}
