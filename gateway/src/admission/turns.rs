// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who obtains a domain's first certificate, of several instances that end its TLS themselves. One certificate does for all of
//! them, and authorities issue few for the same names in a week: instances that start together must not order one each.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::Address;
use mandate_acme::name::DomainName;

/// A little more than an order takes. Who has shown no certificate by then leaves it to whoever asks next.
const TURN: Duration = Duration::from_secs(150);

/// Whose turn it is. A turn is a hint between instances of one app: who does not keep to it orders for itself.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<(Address, DomainName), Turn>>);

#[derive(Debug)]
struct Turn {
    instance: Address,
    until: Duration,
}

impl Turns {
    /// Of the domains of `app` that want a certificate, those whose turn another instance has. Of the rest `instance` has it
    /// from now on.
    pub(super) fn elsewhere(
        &self,
        app: Address,
        instance: Address,
        wanting: impl IntoIterator<Item = DomainName>,
        now: Duration,
    ) -> Vec<String> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| now < turn.until);
        let mut elsewhere = Vec::new();
        for name in wanting {
            let text = name.to_string();
            let turn = turns.entry((app, name));
            if turn.or_insert(Turn { instance, until: now.saturating_add(TURN) }).instance != instance {
                elsewhere.push(text);
            }
        }
        elsewhere
    }
}
