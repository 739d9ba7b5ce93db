// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What of ingress mode does not work at the moment: one part of the agent's health, of which each domain and each gateway has
//! its own say.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use mandate_runtime::http::Health;

/// The health of this part of the agent.
const INGRESS: &str = "ingress";
/// What is missing when nothing works.
pub(super) const SECRET: &str = "secret";

/// The problems that are open.
#[derive(Debug)]
pub(super) struct Problems {
    health: Health,
    open: Mutex<BTreeMap<String, String>>,
}

impl Problems {
    pub(super) fn new(health: Health) -> Self {
        Self { health, open: Mutex::default() }
    }

    /// `what` does not work, because of `why`.
    pub(super) fn set(&self, what: impl ToString, why: impl ToString) {
        self.change(|open| drop(open.insert(what.to_string(), why.to_string())));
    }

    /// `what` works (again).
    pub(super) fn clear(&self, what: impl ToString) {
        self.change(|open| drop(open.remove(&what.to_string())));
    }

    /// Nothing works, because of `why`.
    pub(super) fn all(&self, why: impl ToString) {
        self.change(|open| {
            open.clear();
            open.insert(SECRET.to_owned(), why.to_string());
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut open);
        let texts: Vec<_> = open.iter().map(|(what, why)| format!("{what}: {why}")).collect();
        match texts.is_empty() {
            true => self.health.ok(INGRESS),
            false => self.health.fail(INGRESS, texts.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_domain_that_works_hides_no_other_that_does_not() {
        let health = Health::new();
        let problems = Problems::new(health.clone());
        problems.all("none yet");
        problems.set("a.example", "refused");
        problems.set("b.example", "refused");
        problems.clear(SECRET);
        problems.clear("a.example");
        assert_eq!(health.problems(), ["ingress: b.example: refused"]);
        problems.clear("b.example");
        assert!(health.problems().is_empty());
    }
}
