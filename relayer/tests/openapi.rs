// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The OpenAPI document against the routes of a running relayer, and, by `script/check-api`, against its answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command},
};

use alloy::primitives::{B256, Bytes, U256};
use common::{World, code, register_app, sent, world};
use mandate_model::bindings::{Call, Role, RoleCouncil};
use mandate_runtime::{http::Client, net::TcpNet};
use serde_json::Value;

/// The real program in front of a chain; ends when dropped.
struct Program {
    child: Child,
    port: u16,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    async fn start(world: &World, rpc: &str, dir: &Path) -> Self {
        let port = mandate_runtime::net::free_port().unwrap();
        let config = world.program_config(rpc, port, &dir.join("relayer.sqlite"));
        let path = dir.join("relayer.toml");
        std::fs::write(&path, config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mandate-relayer"))
            .arg("--config")
            .arg(&path)
            .env("MANDATE_RELAYER_SIGNER__KEY", format!("{}", common::payer().to_bytes()))
            .spawn()
            .unwrap();
        let program = Self { child, port };
        common::eventually("the relayer is ready", || async {
            program.get("/readyz").await.is_ok_and(|ready| ready["ready"] == true)
        })
        .await;
        program
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn get(&self, path: &str) -> Result<Value, mandate_runtime::http::HttpError> {
        Client::new(std::sync::Arc::new(TcpNet)).get_json(&self.url(path)).await
    }

    /// Status and `Allow` header of a request without a body.
    fn ask(&self, method: &str, path: &str) -> (u16, Option<String>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let allow = answer.lines().find_map(|line| line.strip_prefix("allow: ")).map(str::to_owned);
        (status, allow)
    }
}

#[tokio::test]
async fn every_documented_operation_is_served_and_every_served_one_is_documented() {
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    world.chain.mine(4);
    let server = world.chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&world, &server.http_url(), dir.path()).await;
    let document = program.get("/openapi.json").await.unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace("{node}", "0x1111111111111111111111111111111111111111");
        let (status, allow) = program.ask("TRACE", &path);
        assert_eq!(status, 405, "{path}");
        let served: BTreeSet<String> =
            allow.unwrap().split(',').filter(|m| *m != "HEAD").map(str::to_lowercase).collect();
        let documented: BTreeSet<String> = operations.as_object().unwrap().keys().cloned().collect();
        assert_eq!(served, documented, "{path}");
    }
    assert_eq!(program.ask("GET", "/v1/nothing").0, 404);
}

/// Something for every list, and all of it final.
async fn populate(world: &mut World) {
    for name in ["shop.example", "mail.example"] {
        world.approve(name).await;
    }
    for salt in [2, 3] {
        let app = register_app(&world.wallet, &world.deployment, salt).await;
        world.revoke(app, code(salt)).await;
    }
    let owner = world.chain.accounts()[0];
    let role = Role { name: "core".to_owned(), threshold: 1, members: vec![owner] };
    let council = RoleCouncil::deploy(&world.wallet, vec![role], "86400".parse().unwrap()).await.unwrap();
    for text in ["waits", "passed"] {
        let calls = vec![Call { target: world.app, value: U256::ZERO, data: Bytes::from_static(b"do") }];
        let id = council.motionId(calls.clone(), text.to_owned(), B256::ZERO).call().await.unwrap();
        sent(council.propose(calls, text.to_owned(), B256::ZERO).send().await.unwrap()).await;
        if text == "passed" {
            sent(council.approve(id, U256::ZERO).send().await.unwrap()).await;
        }
    }
    world.deployment.role_council = *council.address();
    world.chain.mine(4);
}

/// `script/check-api` runs this.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs schemathesis: script/check-api"]
async fn answers_are_as_the_document_says() {
    let schemathesis =
        std::env::var("MANDATE_SCHEMATHESIS").expect("script/check-api sets MANDATE_SCHEMATHESIS");
    let examples = std::env::var("MANDATE_SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| "30".to_owned());
    let mut world = world(2, ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"]).await;
    populate(&mut world).await;
    let server = world.chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&world, &server.http_url(), dir.path()).await;
    let url = program.url("/openapi.json");
    let run = tokio::task::spawn_blocking(move || {
        Command::new(schemathesis)
            // It leaves what it learnt where it runs.
            .current_dir(std::env::temp_dir())
            .args([
                "--config-file",
                concat!(env!("CARGO_MANIFEST_DIR"), "/../script/config/schemathesis.toml"),
            ])
            .args(["run", &url, "--checks", "all", "--phases", "examples,coverage,fuzzing"])
            .args(["--max-examples", &examples, "--seed", "1", "--request-timeout", "10"])
            // What a schema cannot say (ascending, signed by a node) is refused with 400 or 403 all the same.
            .args(["--exclude-checks", "positive_data_acceptance"])
            .args(["--continue-on-failure", "--warnings", "off"])
            .status()
            .unwrap()
    });
    let status = run.await.unwrap();
    assert!(status.success(), "schemathesis found something: {status}");
}
