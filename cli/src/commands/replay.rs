// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate bundle` and `mandate replay`.

use std::{sync::Arc, time::Duration};

use mandate_model::bundle::{Bundle, MAX_BUNDLE};
use mandate_runtime::{http::Client, net::TcpNet};
use serde_json::{Value, json};

use super::judged::{self, read_capped};
use crate::{
    args::{BundleArgs, ReplayArgs},
    context::{ConfigFile, Context},
    error::{CliError, Result},
    output,
    replay::{Expected, replay},
};

/// How long a node may take to put a bundle together.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fetches a bundle from a node and writes it to a file.
pub(crate) async fn fetch(context: &Context<'_>, args: &BundleArgs) -> Result<()> {
    let url = format!("{}/v1/bundles/{}", args.node.trim_end_matches('/'), args.receipt);
    let client = Client::new(Arc::new(TcpNet)).timeout(PATIENCE).max_body(MAX_BUNDLE);
    let bundle: Bundle = client.get_json(&url).await.map_err(|e| match e.status() {
        Some(404) => CliError::refused(format!("{e}; nodes keep what their newest receipts rest on")),
        Some(_) => CliError::refused(e),
        None => CliError::unavailable(e),
    })?;
    let text = bundle.encode();
    // What nobody could read again is better not written.
    Bundle::decode(&text).map_err(CliError::data)?;
    let path = args.out.clone().unwrap_or_else(|| format!("bundle-{}.json", args.receipt).into());
    std::fs::write(&path, &text)
        .map_err(|e| CliError::config(format!("cannot write {}: {e}", path.display())))?;
    let shown = json!({
        "file": path.display().to_string(),
        "bytes": text.len(),
        "node": bundle.receipt.node,
        "receipt": bundle.receipt.sequence,
        "outcome": bundle.receipt.outcome.to_string(),
    });
    print(context, &shown)
}

/// Judges a bundle again. Reads two or three files and nothing else.
pub(crate) fn run(context: &Context<'_>, args: &ReplayArgs) -> Result<()> {
    let file = ConfigFile::load(&context.global.config)?;
    let verifier = judged::verifier(&args.trust)?;
    let bytes = read_capped(&args.bundle, MAX_BUNDLE)?;
    let bundle =
        Bundle::decode(&bytes).map_err(|e| CliError::data(format!("{}: {e}", args.bundle.display())))?;
    let deployment = &file.deployment;
    let expected = Expected { deployment, verifier: &verifier, node: args.node, block: args.block };
    let replayed = replay(&bundle, &expected)
        .map_err(|e| CliError::data(format!("the bundle does not hold: {}", judged::with_causes(&e))))?;
    let (receipt, block) = (&bundle.receipt, if args.block.is_some() { "given" } else { "the node's word" });
    let mut shown = json!({
        "replayed": judged::word(&replayed.outcome),
        "receipt": receipt.outcome.to_string(),
        "explained": judged::explain(&replayed.outcome),
        "node": receipt.node,
        "sequence": receipt.sequence,
        "judgedAt": receipt.judged_at,
        "block": receipt.block_number,
        "blockHash": receipt.block_hash,
        "blockHashIs": block,
        "anchors": judged::anchors_word(verifier.anchors()),
        "notProven": ["that the node is a member of the committee", "that the block is the chain's, unless --block names it"],
        "checks": replayed.checks,
    });
    if let (Some(request), Value::Object(map)) = (&replayed.request, &mut shown) {
        map.insert("facts".to_owned(), judged::facts(request));
    }
    print(context, &shown)?;
    judged::end(&replayed.outcome)
}

fn print(context: &Context<'_>, shown: &Value) -> Result<()> {
    output::print(context.format(), "", shown, None)
        .map_err(|e| CliError::unavailable(format!("cannot write to stdout: {e}")))
}
