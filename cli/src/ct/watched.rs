// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The names that are watched, so that an entry is compared with all of them at once: a log's entry has many names and the
//! registry has many more.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
};

use aho_corasick::{AhoCorasick, BuildError};

/// An index of names, which are in lower case.
pub struct Watched {
    names: HashSet<String>,
    /// By what follows the first label: whom a wildcard covers.
    by_parent: HashMap<String, Vec<String>>,
    /// The names and the wildcards over them, to be found in what cannot be read.
    text: AhoCorasick,
    /// Which names each pattern of `text` stands for.
    meant: Vec<Vec<String>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({} names)", self.names.len())
    }
}

impl Watched {
    /// An index of `names`.
    ///
    /// # Errors
    /// When they are too many for it: gigabytes of them.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, BuildError> {
        let names: HashSet<String> = names.into_iter().collect();
        let mut by_parent: HashMap<String, Vec<String>> = HashMap::new();
        for name in &names {
            if let Some((_, parent)) = name.split_once('.') {
                by_parent.entry(parent.to_owned()).or_default().push(name.clone());
            }
        }
        let (mut patterns, mut meant) = (Vec::new(), Vec::new());
        for name in &names {
            patterns.push(name.clone());
            meant.push(vec![name.clone()]);
        }
        for (parent, covered) in &by_parent {
            patterns.push(format!("*.{parent}"));
            meant.push(covered.clone());
        }
        let text = AhoCorasick::new(patterns)?;
        Ok(Self { names, by_parent, text, meant })
    }

    /// The names that a certificate for `pattern` is for: the same, or those with one label where the wildcard is.
    pub fn covered<'a>(&'a self, pattern: &str) -> impl Iterator<Item = &'a String> {
        let pattern = pattern.strip_suffix('.').unwrap_or(pattern).to_ascii_lowercase();
        let below = pattern.strip_prefix("*.").and_then(|parent| self.by_parent.get(parent));
        self.names.get(&pattern).into_iter().chain(below.into_iter().flatten())
    }

    /// The names that stand anywhere in `der`, or could be meant by a wildcard in it.
    pub fn mentioned(&self, der: &[u8]) -> BTreeSet<String> {
        let text = der.to_ascii_lowercase();
        let mut found: HashSet<usize> = HashSet::new();
        found.extend(self.text.find_overlapping_iter(&text).map(|hit| hit.pattern().as_usize()));
        found.into_iter().filter_map(|pattern| self.meant.get(pattern)).flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether a certificate for `pattern` is one for `name`, one by one.
    fn covers(pattern: &str, name: &str) -> bool {
        let pattern = pattern.strip_suffix('.').unwrap_or(pattern).to_ascii_lowercase();
        match pattern.strip_prefix("*.") {
            Some(parent) => pattern == name || name.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => pattern == name,
        }
    }

    fn mentioned(der: &[u8], watched: &BTreeSet<String>) -> BTreeSet<String> {
        let text = der.to_ascii_lowercase();
        let has = |needle: &str| text.windows(needle.len()).any(|window| window == needle.as_bytes());
        let wildcard =
            |name: &str| name.split_once('.').is_some_and(|(_, parent)| has(&format!("*.{parent}")));
        watched.iter().filter(|name| has(name) || wildcard(name)).cloned().collect()
    }

    /// Few labels, so that names meet.
    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec("[ab]{1,2}", 2..5).prop_map(|labels| labels.join("."))
    }

    fn pattern() -> impl Strategy<Value = String> {
        prop_oneof![
            name(),
            name().prop_map(|name| format!("*.{name}")),
            name().prop_map(|name| format!("*.{}.", name.to_uppercase())),
            "[aAbB.*]{0,12}",
        ]
    }

    proptest! {
        #[test]
        fn index_finds_what_comparing_each_name_finds(
            watched in prop::collection::btree_set(name(), 0..20),
            pattern in pattern(),
        ) {
            let index = Watched::new(watched.clone()).unwrap();
            let found: BTreeSet<String> = index.covered(&pattern).cloned().collect();
            let expected = watched.iter().filter(|name| covers(&pattern, name)).cloned().collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn index_finds_in_a_text_what_looking_for_each_name_finds(
            watched in prop::collection::btree_set(name(), 0..20),
            text in "[abAB.*x]{0,60}",
        ) {
            let index = Watched::new(watched.clone()).unwrap();
            prop_assert_eq!(index.mentioned(text.as_bytes()), mentioned(text.as_bytes(), &watched));
        }

        #[test]
        fn wildcard_covers_one_label(label in "[a-z]{1,8}", deeper in "[a-z]{1,8}") {
            let (one, two) = (format!("{label}.example.org"), format!("{deeper}.{label}.example.org"));
            let index = Watched::new([one.clone(), two, "example.org".to_owned()]).unwrap();
            prop_assert_eq!(index.covered("*.EXAMPLE.org.").collect::<Vec<_>>(), vec![&one]);
        }
    }
}
