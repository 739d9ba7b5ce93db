// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The shape of the repository: who depends on whom, what may be shipped, and what every source file has in common.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "structure/licenses.rs"]
mod licenses;
#[path = "structure/secrets.rs"]
mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

/// The dependency table of ARCHITECTURE.md: which of our crates each may use, tests aside. Services never import each other;
/// they exchange the model's types over HTTP.
const TABLE: [(&str, &[&str]); 14] = [
    ("contracts-build", &[]),
    ("runtime", &[]),
    ("model", &[]),
    ("attestation", &[]),
    ("threshold", &[]),
    ("witness", &["model"]),
    ("acme", &["runtime"]),
    ("devchain", &["model"]),
    ("kms", &["runtime", "model", "attestation", "witness", "threshold"]),
    ("gateway", &["runtime", "model", "acme", "attestation", "witness", "threshold"]),
    ("guest", &["runtime", "model", "acme", "attestation", "threshold"]),
    ("relayer", &["runtime", "model", "witness"]),
    ("cli", &EVERYTHING),
    ("test", &EVERYTHING_AND_CLI),
];

const EVERYTHING: [&str; 11] = [
    "acme",
    "runtime",
    "model",
    "attestation",
    "threshold",
    "witness",
    "devchain",
    "kms",
    "gateway",
    "guest",
    "relayer",
];

const EVERYTHING_AND_CLI: [&str; 12] = [
    "acme",
    "runtime",
    "model",
    "attestation",
    "threshold",
    "witness",
    "devchain",
    "kms",
    "gateway",
    "guest",
    "relayer",
    "cli",
];

/// What tests may use beside the table: a chain to run against.
const TEST_HELPERS: [&str; 1] = ["devchain"];

/// Crates whose binaries leave the house, and those that may mint development evidence in them.
const SHIPPED: [&str; 5] = ["cli", "kms", "gateway", "guest", "relayer"];
const MAY_MINT: [&str; 2] = ["cli", "test"];

const LONGEST_FILE: usize = 400;

/// Files above [`LONGEST_FILE`] lines, each with the reason why it is better in one piece.
const LONG_FILES: [(&str, &str); 2] = [
    ("kms/tests/release.rs", "one attack per check of one protocol, over one fixture"),
    ("kms/threshold/tests/ceremony.rs", "every way in which one ceremony goes wrong, over one fixture"),
];

/// Not ours, or made by tools.
const SKIPPED: [&str; 7] = [".git", "target", "node_modules", "out", "cache", "broadcast", "corpus"];

const OWN_PREFIX: &str = "mandate-";

static ROOT: LazyLock<PathBuf> =
    LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf());

static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let host = run(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), &["-vV"]);
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
    let json = run(&cargo(), &["metadata", "--format-version", "1", "--locked", "--filter-platform", &host]);
    serde_json::from_str(&json).unwrap()
});

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(&*ROOT).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("cargo metadata: no {key}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("cargo metadata: no list of {key}"))
}

/// Short name → package, for the workspace's own crates.
fn own_packages() -> BTreeMap<&'static str, &'static Value> {
    let packages = list(&METADATA, "packages").iter().filter(|package| package["source"].is_null());
    packages.filter_map(|package| Some((text(package, "name").strip_prefix(OWN_PREFIX)?, package))).collect()
}

/// Our crates among a package's dependencies, with whether they are for tests alone.
fn own_dependencies(package: &Value) -> impl Iterator<Item = (&str, &Value, bool)> {
    list(package, "dependencies").iter().filter_map(|dependency| {
        let name = text(dependency, "name").strip_prefix(OWN_PREFIX)?;
        Some((name, dependency, dependency["kind"] == "dev"))
    })
}

#[test]
fn every_crate_is_in_the_table_and_the_other_way_round() {
    let in_table: BTreeSet<_> = TABLE.iter().map(|(name, _)| *name).collect();
    let in_workspace: BTreeSet<_> = own_packages().into_keys().collect();
    assert_eq!(in_table, in_workspace);
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    let packages = own_packages();
    for (name, allowed) in TABLE {
        for (dependency, _, for_tests) in own_dependencies(packages[name]) {
            let helper = for_tests && (dependency == name || TEST_HELPERS.contains(&dependency));
            assert!(allowed.contains(&dependency) || helper, "{name} must not depend on {dependency}");
        }
    }
}

/// A service that could mint evidence is one bug away from believing itself.
#[test]
fn g1_no_service_carries_the_development_pki() {
    for (name, package) in own_packages() {
        for (dependency, details, for_tests) in own_dependencies(package) {
            let mints =
                dependency == "attestation" && list(details, "features").iter().any(|f| f == "dev-pki");
            assert!(
                !mints || for_tests || MAY_MINT.contains(&name),
                "{name} enables dev-pki outside its tests"
            );
        }
    }
}

#[test]
fn every_crate_has_the_workspaces_lints_and_edition() {
    for (name, package) in own_packages() {
        let manifest = fs::read_to_string(text(package, "manifest_path")).unwrap();
        for line in ["[lints]\nworkspace = true", "edition.workspace = true", "license.workspace = true"] {
            assert!(manifest.contains(line), "{name}: Cargo.toml lacks {line:?}");
        }
    }
}

/// A package that is linked into a shipped binary.
struct Shipped {
    name: String,
    /// Where it comes from when that is not crates.io.
    elsewhere: Option<String>,
    licence: String,
}

/// Normal dependencies only, since build scripts and tests stay here. `cargo metadata` also lists optional packages that
/// no feature turns on; `cargo tree` does not.
fn shipped_packages() -> Vec<Shipped> {
    let mut args = vec!["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}|{l}"];
    let packages = SHIPPED.map(|name| format!("{OWN_PREFIX}{name}"));
    args.extend(packages.iter().flat_map(|package| ["--package", package]));
    let tree = run(&cargo(), &args);
    let lines: BTreeSet<_> =
        tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|l| !l.is_empty()).collect();
    assert!(lines.len() > 200, "cargo tree lists only {} packages", lines.len());
    lines.into_iter().map(shipped).collect()
}

/// Reads `name v1.2.3 (proc-macro) (source)|licence`.
fn shipped(line: &str) -> Shipped {
    let (package, licence) = line.rsplit_once('|').unwrap();
    let package = package.replace(" (proc-macro)", "");
    let mut words = package.splitn(3, ' ');
    let (name, _version) = (words.next().unwrap(), words.next().unwrap());
    Shipped { name: name.to_owned(), elsewhere: words.next().map(str::to_owned), licence: licence.to_owned() }
}

#[test]
fn shipped_packages_have_licences_that_deny_toml_allows() {
    let allowed = quoted_list("allow = [");
    assert!(allowed.len() > 5 && !allowed.iter().any(|licence| licence.contains("GPL")), "{allowed:?}");
    let excepted = exceptions();
    for package in shipped_packages() {
        let mut allowed = allowed.clone();
        allowed.extend(
            excepted.iter().filter(|(name, _)| *name == package.name).map(|(_, licence)| licence.clone()),
        );
        assert!(
            licenses::is_allowed(&package.licence, &allowed),
            "{}: licence {}",
            package.name,
            package.licence
        );
    }
}

#[test]
fn the_agpl_crate_is_for_tests_alone() {
    let all =
        list(&METADATA, "packages").iter().filter(|package| package["license"].to_string().contains("AGPL"));
    assert_eq!(all.map(|package| text(package, "name")).collect::<Vec<_>>(), ["tdx-quote"]);
    assert!(!shipped_packages().iter().any(|package| package.name == "tdx-quote"));
}

#[test]
fn shipped_packages_come_from_crates_io_and_none_is_openssl() {
    for package in shipped_packages() {
        let ours = package.name.starts_with(OWN_PREFIX);
        assert_eq!(package.elsewhere.is_some(), ours, "{}: from {:?}", package.name, package.elsewhere);
        assert!(
            !["openssl", "openssl-sys", "native-tls"].contains(&package.name.as_str()),
            "{} is linked",
            package.name
        );
    }
}

/// The quoted entries of a list of deny.toml, so that the two cannot drift apart.
fn quoted_list(start: &str) -> Vec<String> {
    let deny = fs::read_to_string(ROOT.join("deny.toml")).unwrap();
    let (_, rest) = deny.split_once(start).unwrap();
    let (entries, _) = rest.split_once(']').unwrap();
    entries.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Package and licence of each line `exceptions = [{ allow = ["LICENCE"], crate = "PACKAGE" }]` of deny.toml.
fn exceptions() -> Vec<(String, String)> {
    let deny = fs::read_to_string(ROOT.join("deny.toml")).unwrap();
    let entries = deny.lines().filter(|line| line.contains("{ allow = ["));
    let quoted = |line: &str| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    entries.map(quoted).map(|words| (words[1].clone(), words[0].clone())).collect()
}

/// Files of the repository with their path below the root.
fn files() -> Vec<(String, PathBuf)> {
    let mut open = vec![ROOT.clone()];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // In a second work tree of a repository, `.git` is a file.
            if SKIPPED.contains(&name) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if !name.ends_with(".log") {
                found.push((path.strip_prefix(&*ROOT).unwrap().to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

fn is_source(path: &str) -> bool {
    let code =
        [".rs", ".sol", ".sh", ".js", ".cjs", ".mjs", ".ts", ".py"].iter().any(|end| path.ends_with(end));
    let script = ["script/", ".ci/"].iter().any(|start| path.starts_with(start)) && !path.contains('.');
    code || script || path == ".ci/run"
}

#[test]
fn every_source_file_names_its_licence() {
    let named = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().take(3).any(|line| line.contains("SPDX-License-Identifier: Apache-2.0 OR MIT"))
    };
    let sources = files().into_iter().filter(|(name, _)| is_source(name));
    let unnamed: Vec<_> = sources.filter(|(_, path)| !named(path)).map(|(name, _)| name).collect();
    assert!(unnamed.is_empty(), "no SPDX header in the first lines of {unnamed:#?}");
}

#[test]
fn g12_types_that_hold_secrets_derive_no_equality() {
    for (name, path) in files().into_iter().filter(|(name, _)| name.ends_with(".rs") && name.contains("src/"))
    {
        let found = secrets::with_derived_equality(&fs::read_to_string(path).unwrap());
        assert!(found.is_empty(), "{name}: compare {found:?} with `subtle`, in constant time");
    }
}

#[test]
fn no_file_is_long_without_a_reason() {
    let mut problems = Vec::new();
    for (name, path) in files().into_iter().filter(|(name, _)| is_source(name)) {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        let reason = LONG_FILES.iter().find(|(file, _)| *file == name);
        match (lines > LONGEST_FILE, reason) {
            (true, None) => problems.push(format!("{name} has {lines} lines: split it, or state why not")),
            (false, Some(_)) => {
                problems.push(format!("{name} has {lines} lines and needs no exception any more"))
            }
            _ => {}
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let places = [
        "/ro".to_owned() + "ot/",
        "/ho".to_owned() + "me/",
        "/Us".to_owned() + "ers/",
        "/wo".to_owned() + "rk/",
    ];
    for (name, path) in files() {
        let Ok(text) = fs::read_to_string(path) else { continue };
        for place in &places {
            assert!(!text.contains(place.as_str()), "{name} names {place}");
        }
    }
}
