// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate domain watch` beside logs in this process: what an owner sees of an unknown certificate, and what a log that
//! lies comes to.

mod attacks;
mod log;
mod sunlight;

use alloy::{
    primitives::{Address, B256, U256, aliases::U40},
    providers::DynProvider,
    sol_types::SolCall,
};
use mandate_cli::ConfigFile;
use mandate_model::bindings::{Call, DomainRegistry, RoleCouncil};
use serde_json::{Value, json};

use self::log::{TestLog, certificate};
use crate::shell::{Ran, Shell};

const NAME: &str = "notes.example.org";

/// A deployment whose registry has [`NAME`], with a log that is watched.
struct Watched {
    shell: Shell,
    log: TestLog,
    app: Value,
}

impl Watched {
    async fn new(tiled: bool) -> Self {
        let shell = Shell::deployed().await;
        let app = shell.json(0, "app register --notice 1h").await["app"].clone();
        shell.json(0, &format!("domain add {NAME} {}", app.as_str().unwrap())).await;
        // Across a tile, so that the edge is in two.
        let log = TestLog::with(300).await;
        shell.write("logs.json", &log.listed(tiled).to_string());
        Self { shell, log, app }
    }

    async fn watch(&self, flags: &str) -> Ran {
        self.shell.run(1, &format!("domain watch --logs logs.json --once --json {flags}")).await
    }

    async fn incidents(&self) -> Value {
        self.shell.json(1, &format!("domain incidents {NAME}")).await
    }

    fn registry(&self) -> (DynProvider, Address, Address) {
        let config = ConfigFile::load(&self.shell.path("mandate.toml")).unwrap();
        let (registry, council) = (config.deployment.domain_registry, config.deployment.role_council);
        (self.shell.chain.wallet_provider(), registry, council)
    }

    /// Records a certificate as the gateway's relayer would, once the council let it.
    async fn record(&self, fingerprint: &str, spki: &str) {
        let (provider, at, council) = self.registry();
        let (sender, core) = (self.shell.chain.accounts()[0], U256::ZERO);
        let council = RoleCouncil::new(council, &provider);
        let data = DomainRegistry::setRecorderCall { recorder: sender, allowed: true }.abi_encode().into();
        let calls = vec![Call { target: at, value: U256::ZERO, data }];
        let text = format!("let {sender} record");
        let motion = council.motionId(calls.clone(), text.clone(), B256::ZERO).call().await.unwrap();
        for sent in [
            council.propose(calls.clone(), text.clone(), B256::ZERO).send().await,
            council.approve(motion, core).send().await,
            council.execute(calls, text, B256::ZERO).send().await,
        ] {
            assert!(sent.unwrap().get_receipt().await.unwrap().status());
        }
        let registry = DomainRegistry::new(at, &provider);
        let (fingerprint, spki) = (fingerprint.parse().unwrap(), spki.parse().unwrap());
        let call = registry.recordCertificate(NAME.into(), fingerprint, spki, U40::from(u32::MAX));
        assert!(call.send().await.unwrap().get_receipt().await.unwrap().status());
    }
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_certificate_becomes_an_incident_that_the_owner_closes_with_a_reason() {
    for tiled in [true, false] {
        let watched = Watched::new(tiled).await;
        let first = watched.watch("--report --grace 0s").await;
        assert_eq!((first.code, first.stdout.as_str()), (0, ""), "{first:?}");

        let (rogue, fingerprint, _) = certificate(&["*.Example.org"]);
        watched.log.pad(250);
        watched.log.add(rogue.clone());
        watched.log.add(certificate(&["other.example"]).0);
        let waiting = watched.watch("--report").await;
        assert_eq!((waiting.code, waiting.stdout.as_str()), (75, ""), "within the grace: {waiting:?}");
        assert_eq!(watched.incidents().await["open"], 0);

        let found = watched.watch("--report --grace 0s").await;
        assert_eq!(found.code, 1, "{found:?}");
        let told = &lines(&found)[0];
        assert_eq!((&told["event"], &told["domain"]), (&json!("incident"), &json!(NAME)));
        assert_eq!((&told["fingerprint"], &told["index"]), (&json!(fingerprint), &json!(550)));
        let on_chain = watched.incidents().await;
        assert_eq!((&on_chain["open"], &on_chain["incidents"][0]["state"]), (&json!(1), &json!("Open")));
        assert_eq!(on_chain["incidents"][0]["fingerprint"], json!(fingerprint));
        assert_eq!(on_chain["incidents"][0]["evidence"], json!(format!("{}#550", watched.log.url)));
        assert_eq!(on_chain["incidents"][0]["app"], watched.app);

        // Told once, in whatever log it is again; a new monitor finds it reported.
        watched.log.add(rogue);
        let again = watched.watch("--report --grace 0s").await;
        assert_eq!((again.code, again.stdout.as_str()), (0, ""), "{again:?}");
        let anew = watched.watch("--report --grace 0s --state new.json --from 0").await;
        assert!(anew.stderr.contains("already reported"), "{anew:?}");
        assert_eq!((anew.code, lines(&anew).len()), (1, 1), "{anew:?}");

        let close = format!("domain close-incident {NAME} {fingerprint} --reason drill");
        let stranger = watched.shell.run(1, &close).await;
        assert!(stranger.error(1).contains("NotAuthorized"), "{stranger:?}");
        watched.shell.json(0, &close).await;
        let closed = watched.incidents().await;
        assert_eq!((&closed["open"], &closed["incidents"][0]["state"]), (&json!(0), &json!("Closed")));
        assert_eq!(closed["incidents"][0]["reason"], "drill");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_certificate_and_its_precertificate_are_no_incident() {
    let watched = Watched::new(true).await;
    watched.watch("").await;
    let (mine, fingerprint, spki) = certificate(&[NAME]);
    watched.record(&fingerprint, &spki).await;
    watched.log.add_precertificate(&mine);
    watched.log.add(mine);
    let ran = watched.watch("--report --grace 0s").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    // A precertificate with a key that nobody recorded is one.
    let (rogue, fingerprint, _) = certificate(&[NAME]);
    watched.log.add_precertificate(&rogue);
    let ran = watched.watch("--report --grace 0s").await;
    assert_eq!((ran.code, &lines(&ran)[0]["precertificate"]), (1, &json!(true)), "{ran:?}");
    assert_eq!(watched.incidents().await["incidents"][0]["fingerprint"], json!(fingerprint));
}

/// What could not be told is told by the next run, under the same id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn name_beside_the_registry_is_told_to_the_webhook_until_it_takes_it() {
    use std::os::unix::fs::PermissionsExt;

    use mandate_relayer::effects::webhook::signature;
    use mandate_runtime::config::Secret;

    let shell = Shell::new().await;
    let log = TestLog::with(3).await;
    shell.write("logs.json", &log.listed(false).to_string());
    let secret = "0123456789abcdef";
    shell.write("secret", secret);
    std::fs::set_permissions(shell.path("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let (sender, mut taken) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/TOKEN", listener.local_addr().unwrap());
    let refusals = std::sync::atomic::AtomicUsize::new(1);
    let refusals = std::sync::Arc::new(refusals);
    let router = axum::Router::new().fallback(move |headers: axum::http::HeaderMap, body: String| {
        let (sender, refusals) = (sender.clone(), std::sync::Arc::clone(&refusals));
        async move {
            let header = |name: &str| headers[name].to_str().unwrap().to_owned();
            sender.send((header("x-mandate-id"), header("x-mandate-signature"), body)).unwrap();
            match refusals.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)) {
                Ok(_) => axum::http::StatusCode::SERVICE_UNAVAILABLE,
                Err(_) => axum::http::StatusCode::OK,
            }
        }
    });
    use std::sync::atomic::Ordering::Relaxed;
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    log.add(certificate(&["www.example.net"]).0);
    let line = format!(
        "domain watch --logs logs.json --once --json --from 0 --no-registry --also WWW.example.net --webhook {hook} \
         --webhook-secret-file secret"
    );
    let refused = shell.run_with(&line, &[]).await;
    assert_eq!((refused.code, lines(&refused).len()), (1, 1), "{refused:?}");
    assert!(!refused.stderr.contains("TOKEN"), "{refused:?}");
    let again = shell.run_with(&line, &[]).await;
    assert_eq!((again.code, again.stdout.as_str()), (1, ""), "{again:?}");
    shell.run_with(&line, &[]).await;
    let (first, second) = (taken.recv().await.unwrap(), taken.recv().await.unwrap());
    assert!(taken.try_recv().is_err(), "it was taken, and sent again");
    assert_eq!((&first.0, &first.2), (&second.0, &second.2));
    let at = second.1.strip_prefix("t=").unwrap().split_once(',').unwrap().0.parse().unwrap();
    let signed = signature(&Secret::new(secret.into()), at, &second.0, second.2.as_bytes()).unwrap();
    assert_eq!(second.1, signed);
    assert_eq!(serde_json::from_str::<Value>(&second.2).unwrap()["domain"], "www.example.net");
}

/// Many answers, a stop in between, and one certificate at the very beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_is_read_from_an_entry_on_whatever_its_size() {
    for tiled in [true, false] {
        let shell = Shell::new().await;
        let log = TestLog::with(255).await;
        log.add(certificate(&["www.example.net"]).0);
        log.pad(320);
        shell.write("logs.json", &log.listed(tiled).to_string());
        let line = "domain watch --logs logs.json --once --json --no-registry --also www.example.net";
        for (from, code) in
            [(0, 1), (1, 1), (255, 1), (256, 0), (300, 0), (512, 0), (575, 0), (576, 0), (577, 75)]
        {
            let ran = shell.run_with(&format!("{line} --from {from} --state {from}.json"), &[]).await;
            assert_eq!((ran.code, lines(&ran).len()), (code, usize::from(code == 1)), "{from}: {ran:?}");
        }
    }
}
