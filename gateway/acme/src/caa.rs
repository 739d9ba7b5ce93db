// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may issue for a name by its CAA records (RFC 8659): exactly one authority, for exactly one account, validated in
//! exactly one way (RFC 8657). Pure; [`guard`] looks them up and mends them.

use std::fmt;

use thiserror::Error;

use crate::name::Subject;

pub mod guard;
pub mod value;

pub use value::{IssueValue, ValueError};

/// The flag that makes an authority refuse when it does not know the tag.
const CRITICAL: u8 = 0x80;
const ISSUE: &str = "issue";
const ISSUE_WILD: &str = "issuewild";
const ACCOUNT: &str = "accounturi";
const METHODS: &str = "validationmethods";
/// Tags that say nothing about certificates for TLS, and that authorities know.
const WITHOUT_EFFECT: [&str; 5] = ["iodef", "issuemail", "issuevmc", "contactemail", "contactphone"];

/// One CAA record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Property {
    /// As they are, though one bit alone means something.
    pub flags: u8,
    /// `issue`, `issuewild`, …
    pub tag: String,
    /// Whatever the tag makes of it.
    pub value: Vec<u8>,
}

impl Property {
    fn critical(tag: &str, value: &str) -> Self {
        Self { flags: CRITICAL, tag: tag.to_owned(), value: value.as_bytes().to_vec() }
    }

    /// Whether an authority that does not know the tag must refuse.
    pub fn is_critical(&self) -> bool {
        self.flags & CRITICAL != 0
    }

    fn is(&self, tag: &str) -> bool {
        self.tag.eq_ignore_ascii_case(tag)
    }

    /// Whether it has a say in who may issue. What has none stays when a set is mended.
    pub fn governs(&self) -> bool {
        self.is_critical() && !self.is("iodef") || !WITHOUT_EFFECT.iter().any(|tag| self.is(tag))
    }

    /// Whether both say the same, however they write it.
    fn means(&self, other: &Self) -> bool {
        let same = self.is_critical() == other.is_critical() && self.tag.eq_ignore_ascii_case(&other.tag);
        same && match (IssueValue::parse(&self.value), IssueValue::parse(&other.value)) {
            (Ok(one), Ok(two)) => one == two,
            _ => self.value == other.value,
        }
    }
}

impl fmt::Display for Property {
    /// As a zone file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String =
            self.value.iter().take(512).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
        let tag: String = self.tag.chars().take(64).flat_map(char::escape_default).collect();
        write!(f, "CAA {} {tag} \"{shown}\"", self.flags)
    }
}

/// How an authority convinces itself, by the name that RFC 8657 takes from RFC 8555's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A TXT record.
    Dns01,
    /// A TLS handshake.
    TlsAlpn01,
}

impl Method {
    /// Its registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// What cannot be said in CAA.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PermissionError {
    /// Not a domain name.
    #[error("{0:?} is no authority's domain name")]
    Issuer(String),
    /// Holds a character that a parameter cannot hold.
    #[error("the account's URI {0:?} cannot be written into a CAA record")]
    Account(String),
}

/// The one permission that a name is to give: to this authority, for this account, validated in this way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    issuer: String,
    account: String,
    method: Method,
}

impl Permission {
    /// For one account.
    ///
    /// # Errors
    /// When a CAA record cannot say it.
    pub fn new(issuer: &str, account: &str, method: Method) -> Result<Self, PermissionError> {
        let made = Self { issuer: issuer.to_ascii_lowercase(), account: account.to_owned(), method };
        // What is written must read as what was meant: an issuer that brings parameters along does not.
        let of_issuer = IssueValue::parse(made.issuer.as_bytes());
        if !of_issuer.is_ok_and(|value| value.issuer.as_ref() == Some(&made.issuer)) {
            return Err(PermissionError::Issuer(issuer.to_owned()));
        }
        let whole = IssueValue::parse(made.value().as_bytes());
        match whole.is_ok_and(|value| !account.is_empty() && value.parameter(ACCOUNT) == Some(account)) {
            true => Ok(made),
            false => Err(PermissionError::Account(account.to_owned())),
        }
    }

    fn value(&self) -> String {
        let Self { issuer, account, method } = self;
        format!("{issuer}; {ACCOUNT}={account}; {METHODS}={}", method.as_str())
    }

    /// The records that say it for `subject`. A domain without a wildcard lets nobody have one.
    pub fn records(&self, subject: &Subject) -> Vec<Property> {
        let value = self.value();
        let wild = match subject {
            Subject::Domain(_) => ";",
            Subject::Wildcard(_) => &value,
        };
        vec![Property::critical(ISSUE, &value), Property::critical(ISSUE_WILD, wild)]
    }

    /// How a name's own records differ from [`Permission::records`]. Nothing, when they are those.
    pub fn differences(&self, published: &[Property], subject: &Subject) -> Vec<Difference> {
        let wanted = self.records(subject);
        let missing = wanted.iter().filter(|wanted| !published.iter().any(|p| p.means(wanted)));
        let missing = missing.cloned().map(Difference::Missing);
        let extra = published.iter().filter(|p| p.governs() && !wanted.iter().any(|wanted| p.means(wanted)));
        missing.chain(extra.map(|p| Difference::Extra { property: p.clone(), why: self.judge(p) })).collect()
    }

    /// What in the relevant record set (RFC 8659, section 3) keeps it from permitting this and nothing else. Nothing, when
    /// the authority may issue `subject` for this account by this method and nobody may issue otherwise.
    pub fn objections(&self, relevant: &[Property], subject: &Subject) -> Vec<Difference> {
        let judged = relevant.iter().filter(|p| p.governs()).map(|p| (p, self.judge(p)));
        let wrong = judged.filter(|(_, judgement)| !judgement.is_harmless());
        let mut found: Vec<_> =
            wrong.map(|(p, why)| Difference::Extra { property: p.clone(), why }).collect();
        for (tag, wanted) in [ISSUE, ISSUE_WILD].into_iter().zip(self.records(subject)) {
            let mut of_tag = relevant.iter().filter(|p| p.is(tag)).peekable();
            // Without `issuewild`, `issue` governs wildcards as well (section 4.3).
            let optional = tag == ISSUE_WILD && of_tag.peek().is_none();
            let needed = matches!((tag, subject), (ISSUE, _) | (_, Subject::Wildcard(_)));
            if needed && !optional && !of_tag.any(|p| self.judge(p) == Judgement::Ours) {
                found.push(Difference::Missing(wanted));
            }
        }
        found
    }

    fn judge(&self, property: &Property) -> Judgement {
        if !property.is(ISSUE) && !property.is(ISSUE_WILD) {
            return if property.is_critical() { Judgement::Unknown } else { Judgement::WithoutEffect };
        }
        let value = match IssueValue::parse(&property.value) {
            Ok(value) => value,
            Err(error) => return Judgement::Malformed(error),
        };
        let Some(issuer) = value.issuer.as_deref() else { return Judgement::Nobody };
        if issuer != self.issuer {
            return Judgement::OtherIssuer;
        }
        match value.parameter(ACCOUNT) {
            None => return Judgement::AnyAccount,
            Some(account) if account != self.account => return Judgement::OtherAccount,
            Some(_) => {}
        }
        match value.parameter(METHODS) {
            None => return Judgement::AnyMethod,
            Some(methods) if methods != self.method.as_str() => return Judgement::OtherMethods,
            Some(_) => {}
        }
        let known = |(tag, _): &(String, String)| tag == ACCOUNT || tag == METHODS;
        if value.parameters.iter().all(known) { Judgement::Ours } else { Judgement::MoreParameters }
    }
}

/// What a record means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is the permission.
    Ours,
    /// It lets nobody issue, which takes nothing from what other records permit.
    Nobody,
    /// It has no say in this.
    WithoutEffect,
    /// It lets another authority issue.
    OtherIssuer,
    /// It lets every account of the authority order.
    AnyAccount,
    /// It lets another account order.
    OtherAccount,
    /// It lets the authority validate in any way.
    AnyMethod,
    /// It names other ways to validate, or more of them.
    OtherMethods,
    /// It has parameters whose meaning is the authority's own.
    MoreParameters,
    /// Every authority has to refuse because of it.
    Unknown,
    /// Authorities may read it differently.
    Malformed(ValueError),
}

impl Judgement {
    fn is_harmless(self) -> bool {
        matches!(self, Self::Ours | Self::Nobody | Self::WithoutEffect)
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "is in another form than wanted",
            Self::Nobody => "lets nobody issue",
            Self::WithoutEffect => "has no place in the set",
            Self::OtherIssuer => "lets another authority issue",
            Self::AnyAccount => "lets every account of the authority order",
            Self::OtherAccount => "lets another account order",
            Self::AnyMethod => "lets the authority validate in any way",
            Self::OtherMethods => "names other ways to validate",
            Self::MoreParameters => "has parameters whose meaning is not known here",
            Self::Unknown => "is critical and unknown, so every authority must refuse",
            Self::Malformed(error) => return write!(f, "is malformed: {error}"),
        })
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A record is not there.
    Missing(Property),
    /// A record should not be there, or not like this.
    Extra {
        /// Which.
        property: Property,
        /// What it does.
        why: Judgement,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(property) => write!(f, "missing: {property}"),
            Self::Extra { property, why } => write!(f, "{property} {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
