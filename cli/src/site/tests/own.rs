// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names that no registry has.

use super::*;
use crate::site::own::{gateways_own, is_gateways_own};

fn nobodys() -> Twice<Recorded> {
    recorded(|domain| domain.app = Address::ZERO, |domain| domain.app = Address::ZERO)
}

fn own() -> DomainStatement {
    DomainStatement { app: GATEWAY, ..statement() }
}

#[test]
fn gateways_own_name_is_no_unapproved_domain() {
    let verified = verified(GATEWAY);
    assert!(is_gateways_own(true, &own(), Some(&verified), &nobodys()));
    let step = gateways_own(&name(), Some(&SHOWN), &own());
    assert!(step.standing == Standing::Ok && step.found.contains("gateway's own name"), "{step:?}");
}

#[test]
fn attack_name_is_not_the_gateways_because_somebody_else_says_so() {
    // Any app's evidence, of a name that nobody holds.
    let theirs = verified(APP);
    assert!(!is_gateways_own(false, &statement(), Some(&theirs), &nobodys()));
    // The gateway's evidence, of a domain of an app.
    let gateway = verified(GATEWAY);
    assert!(!is_gateways_own(true, &statement(), Some(&gateway), &nobodys()));
    let mut held = nobodys().unwrap();
    held.0.domain.app = APP;
    assert!(!is_gateways_own(true, &own(), Some(&gateway), &Ok(held)));
    assert!(!is_gateways_own(true, &own(), None, &nobodys()));
    assert!(!is_gateways_own(true, &own(), Some(&gateway), &Err("no proof".to_owned())));
    // And another key than the one that was shown.
    let other = DomainStatement { spki_hash: B256::repeat_byte(9), ..own() };
    fails(&gateways_own(&name(), Some(&SHOWN), &other), "another key");
    fails(&gateways_own(&name(), None, &own()), "another key");
}
