// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an operator of a relayer reads is what the program does: the page, the example configuration, the dashboard and the
//! alert rules, held against each other and against the code.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use mandate_relayer::metrics::{ALL, Kind};
use serde_json::Value;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

fn page() -> String {
    read("docs/operating-a-relayer.md")
}

/// The rows of the first table below a heading, as cells.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let below = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1;
    let lines =
        below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').replace("\\|", "¦").split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    lines.skip(2).map(cells).collect()
}

/// What stands in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every word of `text` that begins like one of our metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c)).filter(|w| w.starts_with("mandate_relayer_"));
    words.map(str::to_owned).collect()
}

/// The names under which Prometheus keeps what `/metrics` shows.
fn series() -> BTreeSet<String> {
    let of = |name: &str, kind| match kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"].iter().map(|end| format!("{name}{end}")).collect(),
        Kind::Counter | Kind::Gauge => vec![name.to_owned()],
    };
    ALL.iter().flat_map(|about| of(about.name, about.kind)).collect()
}

#[test]
fn page_lists_every_metric_with_its_labels_and_no_other() {
    let page = page();
    let mut listed = BTreeMap::new();
    for row in table(&page, "Metrics") {
        let labels: BTreeSet<String> = quoted(&row[1]).into_iter().map(str::to_owned).collect();
        assert!(listed.insert(quoted(&row[0])[0].to_owned(), labels).is_none(), "{row:?} is there twice");
    }
    for about in ALL {
        let labels: BTreeSet<String> = about.labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(listed.remove(about.name), Some(labels), "{}", about.name);
    }
    assert!(listed.is_empty(), "no metric has the name of {listed:?}");
}

#[test]
fn every_panel_shows_metrics_that_exist_and_every_metric_has_a_panel() {
    let dashboard: Value = serde_json::from_str(&read("relayer/dashboard.json")).unwrap();
    let series = series();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{}", panel["title"]);
        for target in targets {
            let metrics = metrics_in(target["expr"].as_str().unwrap());
            assert!(!metrics.is_empty(), "{} shows nothing", panel["title"]);
            for metric in metrics {
                assert!(series.contains(&metric), "{} shows {metric}, which does not exist", panel["title"]);
                shown.insert(metric);
            }
        }
    }
    for about in ALL {
        let seen = shown.contains(about.name) || shown.contains(&format!("{}_bucket", about.name));
        assert!(seen, "no panel shows {}", about.name);
    }
    let ids: BTreeSet<u64> =
        dashboard["panels"].as_array().unwrap().iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), dashboard["panels"].as_array().unwrap().len(), "panels share an id");
}

#[test]
fn page_lists_every_alarm_and_every_alarm_watches_metrics_that_exist() {
    let rules = read("relayer/alerts.yaml");
    let names: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let series = series();
    assert!(names.len() > 5);
    for metric in metrics_in(&rules) {
        assert!(series.contains(&metric), "alerts.yaml watches {metric}, which does not exist");
    }
    for rule in rules.split("- alert: ").skip(1) {
        assert!(!metrics_in(rule).is_empty() && rule.contains("severity:"), "{rule}");
    }
    let page = page();
    let listed: Vec<String> =
        table(&page, "Alarms").iter().map(|row| quoted(&row[0])[0].to_owned()).collect();
    assert_eq!(listed, names);
}

/// `section.field` and the value shown for each setting of the example; a list of tables is one setting.
fn settings() -> BTreeMap<String, String> {
    let (mut found, mut section, mut in_list) = (BTreeMap::new(), String::new(), false);
    for line in read("script/config/relayer.toml").lines() {
        let line = line.strip_prefix("# e.g. ").or_else(|| line.strip_prefix("# ")).unwrap_or(line);
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b"_.".contains(&b));
        let head = line.trim_start_matches('[').trim_end_matches(']');
        if line.starts_with('[') && line.ends_with(']') && word(head) {
            in_list = line.starts_with("[[");
            if in_list {
                found.insert(head.to_owned(), String::new());
            }
            section = format!("{head}.");
        } else if !in_list
            && let Some((name, value)) = line.split_once(" = ")
            && word(name)
        {
            found.insert(format!("{section}{name}"), value.to_owned());
        }
    }
    found
}

#[test]
fn page_lists_every_setting_with_its_default_and_no_other() {
    let text = read("script/config/relayer.toml");
    let mut settings = settings();
    for row in table(&page(), "Configuration") {
        let name = quoted(&row[0])[0].to_owned();
        let value = settings.remove(&name).unwrap_or_else(|| panic!("the example does not show {name}"));
        if let [default] = quoted(&row[1])[..] {
            let value = value.split("   #").next().unwrap().trim();
            let field = name.rsplit('.').next().unwrap();
            assert!(text.contains(&format!("# {field} = {value}")), "{name} has no default");
            assert_eq!(value, default, "{name}");
        }
    }
    assert!(settings.is_empty(), "the page does not list {settings:?}");
}
