// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A relayer whose database can be read and not written is not ready, and finding out costs little.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::Arc;

use common::{
    World,
    database::{Database, Kind, Outsider},
    eventually, world,
};
use mandate_model::wire::relayer::RelayerStatus;
use mandate_relayer::{Service, api::Readiness};
use mandate_runtime::{
    Ambient,
    http::{Client, HttpError},
    net::TcpNet,
};
use tokio_util::sync::CancellationToken;

crate::on_both_databases! {
    a_database_that_cannot_be_written_is_a_reason_and_a_mended_one_is_none;
    asking_often_writes_seldom;
    a_write_that_is_not_done_in_time_counts_as_none;
    depths_and_cancellations_are_shown_by_kind;
}

struct Running {
    base: String,
    db: Database,
    stop: CancellationToken,
}

impl Running {
    /// A relayer that has followed the whole chain and was not asked yet whether it is ready.
    async fn start(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world: World = world(2, ["http://127.0.0.1:1", "http://127.0.0.1:1"]).await;
        world.chain.mine(4);
        let db = Database::new(kind, world.contracts()).await;
        let mut config = world.config(dir.path(), &[]);
        config.store = db.config.clone();
        let service = Service::start(config, Ambient::system(), world.endpoints()).await.unwrap();
        let base = format!("http://{}", service.address());
        let stop = CancellationToken::new();
        tokio::spawn(service.run(stop.clone()));
        let running = Self { base, db, stop };
        let last = world.chain.block(alloy::eips::BlockNumberOrTag::Finalized).unwrap().number();
        eventually("everything final is processed", || async {
            let status: RelayerStatus = running.client().get_json(&running.at("/v1/status")).await.unwrap();
            status.finalized >= last
        })
        .await;
        running
    }

    fn client(&self) -> Client {
        Client::new(Arc::new(TcpNet))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn ready(&self) -> Result<Readiness, HttpError> {
        self.client().get_json(&self.at("/readyz")).await
    }

    async fn outsider(&self) -> Outsider {
        self.db.outsider().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn a_database_that_cannot_be_written_is_a_reason_and_a_mended_one_is_none(kind: Kind) {
    let running = Running::start(kind).await;
    let mut outsider = running.outsider().await;
    outsider.breaks().await;
    let refused = running.ready().await.unwrap_err();
    assert_eq!(refused.status(), Some(503), "{refused}");
    assert!(refused.to_string().contains("cannot be written"), "{refused}");
    outsider.mends().await;
    eventually("it is ready", || async { running.ready().await.is_ok_and(|ready| ready.ready) }).await;
}

async fn asking_often_writes_seldom(kind: Kind) {
    let running = Running::start(kind).await;
    let mut outsider = running.outsider().await;
    outsider.does("CREATE TABLE writes (n BIGINT)").await;
    outsider
        .does(match kind {
            Kind::Sqlite => {
                "CREATE TRIGGER counted AFTER UPDATE ON progress BEGIN INSERT INTO writes VALUES (1); END"
            }
            Kind::Postgres => {
                "CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO writes VALUES (1); RETURN NULL; END $$;
                 CREATE TRIGGER counted AFTER UPDATE ON progress FOR EACH ROW EXECUTE FUNCTION counted()"
            }
        })
        .await;
    for asked in futures::future::join_all((0..40).map(|_| running.ready())).await {
        assert!(asked.unwrap().ready);
    }
    // One, or a few on a machine that takes ten seconds for that.
    let writes = outsider.counts("SELECT count(*) FROM writes").await;
    assert!((1..=5).contains(&writes), "{writes}");
}

async fn a_write_that_is_not_done_in_time_counts_as_none(kind: Kind) {
    let running = Running::start(kind).await;
    let mut outsider = running.outsider().await;
    outsider
        .does(match kind {
            Kind::Sqlite => "BEGIN IMMEDIATE",
            Kind::Postgres => "BEGIN; LOCK TABLE progress IN EXCLUSIVE MODE",
        })
        .await;
    let refused = running.ready().await.unwrap_err();
    assert!(refused.to_string().contains("within five seconds"), "{refused}");
    outsider.does("ROLLBACK").await;
    eventually("it is ready", || async { running.ready().await.is_ok_and(|ready| ready.ready) }).await;
}

async fn depths_and_cancellations_are_shown_by_kind(kind: Kind) {
    mandate_runtime::telemetry::metrics();
    let running = Running::start(kind).await;
    let metrics = async || {
        let text = reqwest_text(&running.base, "/metrics").await;
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let store = running.db.open_another().await;
    let origin = "chain".to_owned();
    let effect = mandate_relayer::effects::Effect::PinAccount {
        name: "a.example".to_owned(),
        app: Default::default(),
        issuer: "ca.example".to_owned(),
        account_uri: "https://ca.example/1".to_owned(),
    };
    // Meant for a day that does not come.
    let new = |key: &str| mandate_relayer::effects::NewEffect {
        key: key.to_owned(),
        origin: origin.clone(),
        effect: effect.clone(),
        not_before: Some(4_000_000_000),
    };
    store.enqueue(vec![new("a"), new("b")]).await.unwrap();
    let shown = |state: &str, n: u32| {
        format!(r#"mandate_relayer_outbox_depth{{kind="pin_account",state="{state}"}} {n}"#)
    };
    assert!(metrics().await.contains(&shown("pending", 2)));
    assert!(store.cancel("a".to_owned()).await.unwrap() && store.cancel("b".to_owned()).await.unwrap());
    let lines = metrics().await;
    for line in [
        shown("pending", 0),
        shown("cancelled", 2),
        r#"mandate_relayer_effects_cancelled_total{kind="pin_account"} 2"#.to_owned(),
    ] {
        assert!(lines.contains(&line), "{line} is not in {lines:#?}");
    }
}

async fn reqwest_text(base: &str, path: &str) -> String {
    let client = alloy::transports::http::Client::new();
    client.get(format!("{base}{path}")).send().await.unwrap().text().await.unwrap()
}
