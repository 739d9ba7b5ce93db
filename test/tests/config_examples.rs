// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The example configurations are read by the services' own types, show the true defaults, and leave no field out; the
//! operators' page names every field and every metric.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::BTreeSet,
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
};

use mandate_runtime::config::{ConfigErrors, Validate, load_from};
use serde::de::DeserializeOwned;

const GATEWAY_PAGE: &str = "docs/operating-a-gateway.md";
const KMS_PAGE: &str = "docs/operating-a-kms-node.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn example(service: &str) -> String {
    fs::read_to_string(root().join(format!("script/config/{service}.toml"))).unwrap()
}

fn load<T: DeserializeOwned + Validate>(text: &str) -> Result<T, ConfigErrors> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("example.toml");
    fs::write(&path, text).unwrap();
    load_from(&path, "MANDATE_EXAMPLE", [])
}

/// Whether a comment's text is a setting or a section's head.
fn is_setting(text: &str) -> bool {
    let name = text.split(" = ").next().unwrap();
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.contains(" = ") && word(name)
        || text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).is_some_and(word)
}

/// The file with the defaults that it shows in comments set.
fn with_defaults(text: &str) -> String {
    let uncommented = |line: &str| match line.strip_prefix("# ") {
        Some(setting) if is_setting(setting) => setting.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(uncommented).collect::<Vec<_>>().join("\n")
}

/// The lines `# e.g. field = value`.
fn suggestions(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# e.g. ")).collect()
}

/// Names of fields as a derived `Debug` shows them.
fn fields(config: &impl Debug) -> BTreeSet<String> {
    let shown = format!("{config:#?}");
    let name = |line: &str| line.trim().split_once(": ").map(|(name, _)| name.to_owned());
    shown.lines().filter_map(name).filter(|name| !name.contains('"')).collect()
}

fn check<T: DeserializeOwned + Validate + Debug>(service: &str) {
    let text = example(service);
    let config: T = load(&text).unwrap_or_else(|e| panic!("{service}: {e}"));
    let full = with_defaults(&text);
    let defaults: T = load(&full).unwrap_or_else(|e| panic!("{service} with the defaults it shows: {e}"));
    assert_eq!(
        format!("{config:#?}"),
        format!("{defaults:#?}"),
        "{service}: a default shown is not the default"
    );

    for line in suggestions(&text) {
        let field = line.split(" = ").next().unwrap();
        let tried =
            full.replace(&format!("# e.g. {line}"), line).replace(&format!("{field} = \"production\"\n"), "");
        let known = load::<T>(&tried).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(
            !known.contains("unknown") && !known.contains(&format!("{field}:")),
            "{service}: {line}: {known}"
        );
    }

    // A relayer's page is read more closely by test/tests/relayer_page.rs.
    let name = match service {
        "relayer" => "docs/operating-a-relayer.md",
        "kms" => KMS_PAGE,
        "gateway" => GATEWAY_PAGE,
        _ => "docs/operating.md",
    };
    let page = fs::read_to_string(root().join(name)).unwrap();
    for field in fields(&config) {
        let set = [format!("{field} = "), format!("[{field}]"), format!(".{field}]]"), format!("`{field}`")];
        assert!(set.iter().any(|form| text.contains(form)), "{service}: the example does not show {field}");
        assert!(page.contains(&field), "{service}: {name} does not name {field}");
    }
}

#[test]
fn kms_example_is_read_and_complete() {
    check::<mandate_kms::Config>("kms");
}

#[test]
fn relayer_example_is_read_and_complete() {
    check::<mandate_relayer::Config>("relayer");
}

#[test]
fn gateway_example_is_read_and_complete() {
    check::<mandate_gateway::Config>("gateway");
}

#[test]
fn guest_example_is_read_and_complete() {
    check::<mandate_guest::Config>("guest");
}

fn sources(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|e| e == "rs") => {
                found.push(fs::read_to_string(path).unwrap())
            }
            false => {}
        }
    }
}

/// Every metric of the services' code but the relayer's, which has a page of its own: see test/tests/relayer_page.rs.
fn metrics() -> BTreeSet<String> {
    let mut texts = Vec::new();
    for dir in ["kms/src", "gateway/src", "guest/src"] {
        sources(&root().join(dir), &mut texts);
    }
    let mut names = BTreeSet::new();
    for text in texts {
        for call in text.split("metrics::").skip(1).filter(|call| call.contains('!')) {
            let (kind, rest) = call.split_once("!(").unwrap_or_default();
            if ["counter", "gauge", "histogram"].contains(&kind) {
                names.insert(rest.split('"').nth(1).unwrap().to_owned());
            }
        }
    }
    names
}

#[test]
fn page_names_every_metric_and_no_other() {
    let read = |page: &str| fs::read_to_string(root().join(page)).unwrap();
    let page = read("docs/operating.md") + &read(KMS_PAGE) + &read(GATEWAY_PAGE);
    let known = metrics();
    assert!(known.len() > 10, "{known:?}");
    for metric in &known {
        assert!(
            page.contains(&format!("`{metric}`")),
            "docs/operating.md, {KMS_PAGE} and {GATEWAY_PAGE} do not name {metric}"
        );
    }
    for word in page.split('`').skip(1).step_by(2) {
        let metric = word.starts_with("mandate_") && !word.contains('=') && !word.contains("::");
        assert!(!metric || known.contains(word), "{word} is named and does not exist");
    }
}
