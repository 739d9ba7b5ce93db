// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of the gateway's own, `<id>.<base>`: no registry has them, and the gateway's evidence vouches for their key.

use mandate_acme::name::DomainName;
use mandate_attestation::Verified;
use mandate_model::wire::provenance::DomainStatement;

use super::{Recorded, Shown, Step, Twice, step};

/// Whether the gateway says of a name that it is its own: `<id>.<base>`, which no app is approved for. It counts only when the
/// evidence is of the gateway's app (`by_gateway`): any other app could say so of a name that nobody holds.
pub(crate) fn is_gateways_own(
    by_gateway: bool,
    statement: &DomainStatement,
    verified: Option<&Verified>,
    recorded: &Twice<Recorded>,
) -> bool {
    let nobodys = recorded
        .as_ref()
        .is_ok_and(|(finalized, head)| finalized.domain.app.is_zero() && head.domain.app.is_zero());
    by_gateway && nobodys && verified.is_some_and(|verified| verified.app_id() == statement.app)
}

/// A name of the gateway's own is in no registry: what vouches for its key is the gateway's evidence.
pub(crate) fn gateways_own(name: &DomainName, shown: Option<&Shown>, statement: &DomainStatement) -> Step {
    match shown {
        Some(shown) if shown.spki_hash == statement.spki_hash => Step::ok(
            step::REGISTRY,
            format!(
                "{name} is the gateway's own name, which no registry records: the gateway, whose code is judged above, ends \
                 its TLS and leads it to the app or instance whose id it begins with"
            ),
        ),
        _ => Step::failed(step::REGISTRY, "the gateway says that another key than the one shown is its own"),
    }
}
