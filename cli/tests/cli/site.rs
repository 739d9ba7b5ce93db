// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate domain verify` against a gateway whose keys come from its agent, and against who stands in front of it.

mod whole;

use std::{net::SocketAddr, sync::Arc};

use alloy::{
    primitives::B256,
    providers::ProviderBuilder,
    signers::local::{MnemonicBuilder, coins_bip39::English},
};
use mandate_devchain::JUNK_MNEMONIC;
use mandate_model::bindings::DomainRegistry;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::{io::copy_bidirectional, net::TcpListener, net::TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    shell::{Ran, Shell},
    town::Town,
};

/// `step: standing` of all steps, and what they say.
fn steps(ran: &Ran) -> Vec<(String, String, String)> {
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let steps = told["steps"].as_array().unwrap();
    steps.iter().map(|s| (text(&s["step"]), text(&s["standing"]), text(&s["found"]))).collect()
}

/// The steps that are not `ok`.
fn wrong(ran: &Ran) -> Vec<(String, String)> {
    let all = steps(ran);
    let logged = usize::from(all.iter().any(|(step, ..)| step == "logged"));
    assert_eq!(all.len(), 8 + logged, "{all:#?}");
    all.into_iter()
        .filter(|(_, standing, _)| standing != "ok")
        .map(|(step, standing, _)| (step, standing))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(step, standing)| ((*step).to_owned(), (*standing).to_owned())).collect()
}

/// Ends TLS with a key of its own and passes everything on to the site, answers included. Its root in PEM.
async fn impostor(name: &'static str, site: SocketAddr, root: &str) -> (SocketAddr, String) {
    let own = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let mut served = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    served.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let mut asked = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    asked.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (acceptor, connector) = (TlsAcceptor::from(Arc::new(served)), TlsConnector::from(Arc::new(asked)));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await.unwrap();
                let site = TcpStream::connect(site).await.unwrap();
                let mut site = connector.connect(ServerName::try_from(name).unwrap(), site).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut site).await;
            });
        }
    });
    (addr, own.cert.pem())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn site_is_checked_from_its_key_to_the_chain_and_attacks_show() {
    let town = Town::found_to(7).await;
    let (name, addr, root) = town.world.site().unwrap();
    town.write("ca.pem", root.as_bytes());
    // Nobody answers there, so that this step is undecided.
    let verify = format!("domain verify https://{name} --anchor root.der --dns 127.0.0.1:1 --json");
    let direct = format!("{verify} --ca ca.pem --resolve {addr}");
    let ran = town.run(&direct).await;
    assert_eq!((ran.code, wrong(&ran)), (75, pairs(&[("caa", "undecided")])), "{ran:?}");
    // The same for people.
    let ran = town.run(direct.trim_end_matches("--json")).await;
    assert!(ran.code == 75 && ran.stdout.contains("undecided") && ran.stderr.contains("neither"), "{ran:?}");

    // A root that browsers do not trust, and evidence that no vendor stands behind.
    let ran = town.run(&format!("{verify} --resolve {addr}")).await;
    let expected = [("tls", "FAILED"), ("caa", "undecided"), ("logged", "undecided")];
    assert_eq!((ran.code, wrong(&ran)), (1, pairs(&expected)), "{ran:?}");
    let ran = town.run(&direct.replace("--anchor root.der", "")).await;
    let expected =
        [("evidence", "FAILED"), ("committee", "skipped"), ("code", "skipped"), ("caa", "undecided")];
    assert_eq!((ran.code, wrong(&ran)), (1, pairs(&expected)), "{ran:?}");

    // Somebody with another certificate, which an authority has signed, hands on what the gateway says.
    let (between, its_root) = impostor(name, addr, root).await;
    town.write("both.pem", format!("{root}{its_root}").as_bytes());
    let ran = town.run(&format!("{verify} --ca both.pem --resolve {between}")).await;
    let expected = [("provenance", "FAILED"), ("registry", "FAILED"), ("caa", "undecided")];
    assert_eq!((ran.code, wrong(&ran)), (1, pairs(&expected)), "{ran:?}");

    // Somebody reports a certificate that nobody recorded: it is enough that the newest block shows it.
    let signer =
        MnemonicBuilder::<English>::default().phrase(JUNK_MNEMONIC).index(9).unwrap().build().unwrap();
    let provider = ProviderBuilder::new().wallet(signer).connect_http(town.world.rpc_url().parse().unwrap());
    let registry = DomainRegistry::new(town.config.deployment.domain_registry, &provider);
    let report = registry.reportIncident(name.to_owned(), B256::repeat_byte(7), "a log".to_owned());
    report.send().await.unwrap().get_receipt().await.unwrap();
    let ran = town.run(&direct).await;
    assert_eq!((ran.code, wrong(&ran)), (1, pairs(&[("caa", "undecided"), ("ct", "FAILED")])), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn site_that_is_not_there_leaves_no_step_out() {
    let shell = Shell::deployed().await;
    // Nobody listens on the port of a listener that is gone.
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let ran = shell
        .run_with(
            &format!("domain verify https://app.example.org --resolve {closed} --dns {closed} --json"),
            &[],
        )
        .await;
    let expected = [
        ("tls", "undecided"),
        ("provenance", "skipped"),
        ("evidence", "skipped"),
        ("committee", "skipped"),
        ("code", "skipped"),
        ("registry", "FAILED"),
        ("caa", "undecided"),
        ("logged", "undecided"),
    ];
    assert_eq!((ran.code, wrong(&ran)), (1, pairs(&expected)), "{ran:?}");
    for (bad, part) in [
        ("http://app.example.org", "https"),
        ("https://app.example.org/page", "not a page"),
        ("https://app.example.org --ca nowhere.pem", "nowhere.pem"),
        ("https://app.example.org --anchor nowhere.der", "nowhere.der"),
        ("https://app.example.org --logs nowhere.json", "nowhere.json"),
    ] {
        let ran = shell.run_with(&format!("domain verify {bad}"), &[]).await;
        assert!(
            [64, 65].contains(&ran.code) && ran.stderr.contains(part) && ran.stdout.is_empty(),
            "{ran:?}"
        );
    }
}
