// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A committee of real nodes for the commands that ask them.

use std::time::Duration;

use mandate_cli::{
    ConfigFile,
    demo::{Options, World, pebble::Pebble},
};
use mandate_model::bundle::Bundle;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::shell::Ran;

/// The demo's committee with an app that has active code, and a directory for the command.
pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) dir: TempDir,
    pub(crate) config: ConfigFile,
}

impl Town {
    pub(crate) async fn found() -> Self {
        Self::found_to(5).await
    }

    /// As [`Self::found_to`], with Debian's `pebble` as the authority; nothing where it is not installed.
    pub(crate) async fn with_pebble_to(step: usize) -> Option<Self> {
        match Pebble::is_installed() {
            true => Some(Self::found_with(false, step).await),
            false => None,
        }
    }

    /// As far as this step of the demo's story.
    pub(crate) async fn found_to(step: usize) -> Self {
        Self::found_with(true, step).await
    }

    async fn found_with(embedded_issuer: bool, step: usize) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let options = Options { dir: dir.path().join("world"), rpc_port: 0, embedded_issuer };
        std::fs::create_dir_all(&options.dir).unwrap();
        let world = World::up_to(options, step).await.unwrap();
        let config = world.config_file().unwrap();
        std::fs::write(dir.path().join("root.der"), world.root_der()).unwrap();
        let town = Self { world, dir, config };
        town.write("mandate.toml", toml::to_string(&town.config).unwrap().as_bytes());
        town
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.dir.path().join(name), content).unwrap();
    }

    pub(crate) async fn run(&self, line: &str) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_mandate"))
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .env_clear()
            .output()
            .await
            .unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The bundle of a node's newest receipt once that has this outcome, fetched by the command.
    pub(crate) async fn bundle(&self, name: &str, outcome: &str) -> Bundle {
        let node = self.world.node_urls().unwrap().remove(0);
        // Nobody waits for the slowest node, and this may be it.
        let newest = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let receipts: Vec<Value> = get(&format!("{node}/v1/receipts")).await;
                match receipts.last() {
                    Some(last) if last["outcome"]["outcome"] == outcome => {
                        return last["sequence"].as_u64().unwrap();
                    }
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        let newest = newest.await.unwrap();
        let ran = self.run(&format!("bundle {node} {newest} --out {name} --json")).await;
        assert_eq!(ran.json()["receipt"], newest);
        let missing = self.run(&format!("bundle {node} 999 --out none.json")).await;
        assert!(missing.error(1).contains("404"), "{missing:?}");
        Bundle::decode(&std::fs::read(self.dir.path().join(name)).unwrap()).unwrap()
    }
}

pub(crate) async fn get<T: serde::de::DeserializeOwned>(url: &str) -> T {
    use mandate_runtime::{http::Client, net::TcpNet};
    Client::new(std::sync::Arc::new(TcpNet)).get_json(url).await.unwrap()
}
