// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The steps about what everybody can see: DNS, the logs, and the registry's incidents.

use mandate_acme::{
    caa::{Difference, Method, Permission, Property},
    name::DomainName,
};

use super::{Step, Twice, step};
use crate::ct::sct::{SctError, Vouched};

/// CAA records as a resolver tells them.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) properties: Vec<Property>,
    /// Whether it says that DNSSEC vouches for them.
    pub(crate) authenticated: bool,
}

/// The CAA records that govern the name; `None` when there are none up to the root.
pub(crate) type Relevant = Result<Option<Published>, String>;

/// Whether DNS lets exactly this account of this issuer order, validated in one way, and nobody else.
pub(crate) fn caa(name: &DomainName, issuer: &str, account: &str, relevant: &Relevant) -> Step {
    let Published { properties, authenticated } = match relevant {
        Err(why) => return Step::undecided(step::CAA, why),
        Ok(None) => {
            return Step::failed(
                step::CAA,
                format!("{name} has no CAA records: any authority may issue for anybody"),
            );
        }
        Ok(Some(published)) => published,
    };
    if issuer.is_empty() || account.is_empty() {
        return Step::undecided(step::CAA, "no account is known that the records would have to name");
    }
    let subject = mandate_acme::name::Subject::Domain(name.clone());
    let mut objections: Option<Vec<Difference>> = None;
    for method in [Method::TlsAlpn01, Method::Dns01] {
        let permission = match Permission::new(issuer, account, method) {
            Ok(permission) => permission,
            Err(e) => return Step::failed(step::CAA, e),
        };
        let found = permission.objections(properties, &subject);
        if found.is_empty() {
            let (method, dnssec) = (method.as_str(), dnssec(*authenticated));
            return Step::ok(
                step::CAA,
                format!("CAA lets only {account} of {issuer} order, validated by {method}; {dnssec}"),
            );
        }
        if objections.as_ref().is_none_or(|fewest| found.len() < fewest.len()) {
            objections = Some(found);
        }
    }
    let texts: Vec<_> = objections.unwrap_or_default().iter().map(ToString::to_string).collect();
    Step::failed(step::CAA, format!("CAA does not keep others out: {}", texts.join("; ")))
}

fn dnssec(authenticated: bool) -> &'static str {
    match authenticated {
        true => "the resolver says that DNSSEC vouches for it",
        false => {
            "without DNSSEC: whoever is between the zone's servers and an authority can hide that from it"
        }
    }
}

/// Whether logs say that they have the certificate: what is in no log nobody sees who watches them.
pub(crate) fn logged(vouched: &Result<Vouched, SctError>) -> Step {
    let vouched = match vouched {
        Ok(vouched) => vouched,
        Err(SctError::NoIssuer) => return Step::undecided(step::LOGGED, SctError::NoIssuer),
        Err(e) => return Step::failed(step::LOGGED, e),
    };
    let (known, unknown) = (vouched.by.len(), vouched.unknown);
    let names = vouched.by.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match (known, unknown) {
        (0, 0) => Step::undecided(
            step::LOGGED,
            "the certificate carries no timestamp of a log: it may be in none, where nobody would see another one like it",
        ),
        (0, _) => Step::undecided(
            step::LOGGED,
            format!("the certificate's {unknown} timestamps are of logs that the list does not have"),
        ),
        _ => Step::ok(
            step::LOGGED,
            format!(
                "logged by {known} logs of the list ({names}) and {unknown} that it does not have, by their signed word"
            ),
        ),
    }
}

/// Whether somebody has reported a certificate that nobody recorded. One that a block shows counts, final or not (G-7).
pub(crate) fn incidents(name: &DomainName, open: &Twice<u64>) -> Step {
    match open {
        Err(why) => Step::undecided(step::CT, why),
        Ok((0, 0)) => Step::ok(
            step::CT,
            format!(
                "no incident is open for {name}: nobody has shown the registry a certificate that is not recorded"
            ),
        ),
        Ok((finalized, head)) => Step::failed(
            step::CT,
            format!(
                "{} incidents are open for {name}: certificates that nobody recorded; who reported them and where \
                 they were seen shows `mandate domain incidents {name}`",
                finalized.max(head)
            ),
        ),
    }
}
