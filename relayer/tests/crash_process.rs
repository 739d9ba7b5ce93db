// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program itself, killed by the system (SIGKILL) at random moments and started again: what it had accepted is durable, and
//! the effects are those of a program that was never killed (G-10).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
};
use common::{
    World, code,
    database::{Database, Kind},
    dying_chain::Receiver,
    eventually, payer, world,
};
use mandate_model::bindings::DomainRegistry;
use mandate_relayer::store::{EffectState, OutboxQuery};
use mandate_runtime::entropy::{self, SeededEntropy};

crate::on_both_databases! {
    g10_the_program_killed_at_random_moments_leads_to_the_same_effects_seed_1;
    g10_the_program_killed_at_random_moments_leads_to_the_same_effects_seed_2;
}

async fn g10_the_program_killed_at_random_moments_leads_to_the_same_effects_seed_1(kind: Kind) {
    killed_at_random(kind, 1).await;
}

async fn g10_the_program_killed_at_random_moments_leads_to_the_same_effects_seed_2(kind: Kind) {
    killed_at_random(kind, 2).await;
}

const KILLS: u8 = 8;

/// The running program; killed when dropped.
struct Program(Child);

impl Program {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mandate-relayer"));
        command.arg("--config").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        let key = payer().to_bytes().to_string();
        Self(command.env("MANDATE_RELAYER_SIGNER__KEY", key).spawn().unwrap())
    }

    fn kill(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "the program must run until it is killed");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config(world: &World, rpc: &str, gateway: &str, db: &Database, path: &Path) {
    let d = &world.deployment;
    let store = match (&db.config.path, &db.config.url) {
        (Some(path), _) => format!("path = {path:?}"),
        (_, Some(url)) => format!("url = {:?}", url.expose()),
        _ => unreachable!(),
    };
    let text = format!(
        "listen = \"127.0.0.1:0\"\ngateways = [\"{gateway}\"]\n\
         [chain]\npoll = \"10ms\"\n[[chain.endpoints]]\nurl = \"{rpc}\"\n[store]\n{store}\nlease = \"200ms\"\n\
         [effects]\nattempts = 1000\nretry = {{ first = \"5ms\", most = \"50ms\" }}\n\
         [deployment]\nchain_id = {}\nkms_auth = \"{}\"\napp_implementation = \"{}\"\ncommittee = \"{}\"\n\
         domain_registry = \"{}\"\nrole_council = \"{}\"\ngenesis_block = 1\n",
        d.chain_id, d.kms_auth, d.app_implementation, d.committee, d.domain_registry, d.role_council
    );
    std::fs::write(path, text).unwrap();
}

async fn killed_at_random(kind: Kind, seed: u64) {
    let random = SeededEntropy::from_u64(seed);
    let mut receivers = [Receiver::new(), Receiver::new(), Receiver::new()];
    let mut urls = Vec::new();
    for receiver in &receivers[..2] {
        urls.push(receiver.serve().await);
    }
    let world = world(4, [&urls[0], &urls[1]]).await;
    receivers[2].app = world.app;
    let gateway = receivers[2].serve().await;
    let server = world.chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let db = Database::new(kind, world.contracts()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relayer.toml");
    config(&world, &server.http_url(), &gateway, &db, &file);

    let mut program = Program::start(&file);
    {
        let store = db.open_another().await;
        eventually("the program follows", || async { store.progress().await.unwrap().head.is_some() }).await;
    }
    let mut expected = BTreeSet::new();
    for n in 1..=KILLS {
        let revoked = code(n);
        world.revoke(world.app, revoked).await;
        expected.insert((world.app, vec![revoked]));
        world.approve(&name(n)).await;
        world.chain.mine(5);
        let [ms] = entropy::bytes::<1>(&random);
        tokio::time::sleep(Duration::from_millis(u64::from(ms) / 2)).await;
        program.kill();
        program = Program::start(&file);
        world.chain.mine(1);
    }
    settled(&world, &db).await;
    program.kill();
    let told = |receiver: &Receiver| -> BTreeSet<(Address, Vec<B256>)> {
        receiver.notices.lock().unwrap().iter().map(|n| (n.app, n.code_hashes.clone())).collect()
    };
    for receiver in &receivers {
        assert_eq!(told(receiver), expected, "seed {seed}");
    }
    let registry = DomainRegistry::new(world.deployment.domain_registry, &world.wallet);
    for n in 1..=KILLS {
        let domain = registry.domain(name(n)).call().await.unwrap();
        assert_eq!((domain.account_uri_is_set(), domain.certificate.is_zero()), (true, false), "seed {seed}");
    }
    let spent = world.provider().get_transaction_count(payer().address()).await.unwrap();
    assert_eq!(spent, 2 * u64::from(KILLS), "seed {seed}: one transaction per effect");
}

trait Pinned {
    fn account_uri_is_set(&self) -> bool;
}

impl Pinned for mandate_model::bindings::Domain {
    fn account_uri_is_set(&self) -> bool {
        !self.accountUri.is_empty()
    }
}

fn name(n: u8) -> String {
    format!("shop-{n}.example")
}

/// Until every effect is done, whatever blocks that takes.
async fn settled(world: &World, db: &Database) {
    let store = db.open_another().await;
    let wanted = usize::from(KILLS) * (3 + 1 + 2);
    eventually("every effect is done", || async {
        world.chain.mine(1);
        let query = OutboxQuery { state: Some(EffectState::Done), limit: 1_000, ..OutboxQuery::default() };
        let done = store.outbox(query).await.unwrap();
        let done = done.iter().filter(|entry| entry.kind != "grant_push").count();
        done == wanted && store.open_effects().await.unwrap() == 0
    })
    .await;
}
