// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What readers of the contracts rely on: every error and event is expected by a unit test, by its full name, and whatever
//! can be called says in its interface what it does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{fs, path::Path};

use mandate_contracts_build as contracts;

/// Solidity files below `directory`, with their text.
fn sources(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "sol") {
            found.push((path.to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

/// The word after `keyword`, up to its parameters, if the line begins with it.
fn declared<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix(keyword)?.strip_prefix(' ')?;
    rest.split_once('(').map(|(name, _)| name)
}

/// `Container.NAME` of all that `keyword` declares in `text`.
fn declarations(text: &str, keyword: &str) -> Vec<String> {
    let mut container = "";
    let mut found = Vec::new();
    for line in text.lines() {
        let start = line.strip_prefix("abstract ").unwrap_or(line);
        if let Some((kind, rest)) = start.split_once(' ')
            && ["contract", "interface", "library"].contains(&kind)
        {
            container = rest.split_once(' ').map_or(rest, |(name, _)| name);
        }
        found.extend(declared(line, keyword).map(|name| format!("{container}.{name}")));
    }
    found
}

/// Those of all declarations that no unit test mentions in one of the ways of `mentions`.
fn unmentioned(keyword: &str, mentions: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let root = contracts::root();
    let tests: String = sources(&root.join("test/unit")).into_iter().map(|(_, text)| text).collect();
    let texts = sources(&root.join("contracts"));
    let all: Vec<_> = texts.iter().flat_map(|(_, text)| declarations(text, keyword)).collect();
    assert!(all.len() > 50, "only {} declarations of {keyword} were found", all.len());
    all.into_iter().filter(|name| !mentions(name).iter().any(|text| tests.contains(text))).collect()
}

#[test]
fn every_error_is_expected_by_a_unit_test() {
    let missing = unmentioned("error", |name| vec![format!("{name}.selector")]);
    assert!(missing.is_empty(), "no unit test expects {missing:#?}");
}

/// By `expectEmit`, which compares all of it, or by the recorded logs.
#[test]
fn every_event_is_expected_in_full_by_a_unit_test() {
    let missing = unmentioned("event", |name| vec![format!("emit {name}("), format!("{name}.selector")]);
    assert!(missing.is_empty(), "no unit test expects {missing:#?}");
}

#[test]
fn whatever_can_be_called_says_what_it_does() {
    let mut silent = Vec::new();
    for (path, text) in sources(&contracts::root().join("contracts")) {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(name) = declared(line, "function") else { continue };
            let rest = lines[index..].join(" ");
            let head = rest.split([';', '{']).next().unwrap();
            let callable = path.contains("/interfaces/")
                || [" external", " public"].iter().any(|word| head.contains(word));
            // Between a function and its text, a linter may have been told something.
            let mut above = lines[..index].iter().rev().skip_while(|line| line.trim().starts_with("// "));
            let documented = above.next().is_some_and(|line| line.trim().starts_with("///"));
            if callable && !documented {
                silent.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(silent.is_empty(), "no NatSpec above {silent:#?}");
}
