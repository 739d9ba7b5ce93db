// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names that certificates are for.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use thiserror::Error;

/// The longest name that DNS and the registry know.
pub const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Why a name is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Empty, or longer than [`MAX_NAME`].
    #[error("a name has 1 to 253 bytes")]
    Length,
    /// A label is empty, longer than 63 bytes, or starts or ends with a hyphen.
    #[error("a label has 1 to 63 bytes and no hyphen at its ends")]
    Label,
    /// Something other than letters, digits, hyphens and dots.
    #[error("a name consists of lower-case letters, digits, hyphens and dots")]
    Character,
    /// A single label, or an IP address.
    #[error("a name has at least two labels and is no IP address")]
    NotADomain,
}

/// A DNS name in lower case, as `DomainRegistry` accepts it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct DomainName(String);

impl DomainName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `self` is `base` or lies anywhere under it.
    pub fn is_within(&self, base: &Self) -> bool {
        match self.0.strip_suffix(base.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DomainName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_from(text)
    }
}

impl TryFrom<String> for DomainName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::try_from(text.as_str())
    }
}

impl TryFrom<&str> for DomainName {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > MAX_NAME {
            return Err(NameError::Length);
        }
        let mut labels = 0;
        for label in text.split('.') {
            check_label(label)?;
            labels += 1;
        }
        let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if labels < 2 || numeric {
            return Err(NameError::NotADomain);
        }
        Ok(Self(text.to_owned()))
    }
}

fn check_label(label: &str) -> Result<(), NameError> {
    if label.is_empty() || label.len() > MAX_LABEL || label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::Label);
    }
    match label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        true => Ok(()),
        false => Err(NameError::Character),
    }
}

/// What one certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One domain and nothing else.
    Domain(DomainName),
    /// A domain and every name of one more label under it: `example.org` and `*.example.org`.
    Wildcard(DomainName),
}

impl Subject {
    /// The domain, without its wildcard.
    pub fn domain(&self) -> &DomainName {
        let (Self::Domain(name) | Self::Wildcard(name)) = self;
        name
    }

    /// The DNS names of the certificate, as RFC 8555 (section 7.1.3) and X.509 spell them.
    pub fn dns_names(&self) -> Vec<String> {
        match self {
            Self::Domain(name) => vec![name.to_string()],
            Self::Wildcard(name) => vec![name.to_string(), format!("*.{name}")],
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => write!(f, "{name}"),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_domains_are_refused() {
        let long = format!("{}.org", "a.".repeat(130));
        let long_label = format!("{}.org", "a".repeat(64));
        for (text, error) in [
            ("", NameError::Length),
            (long.as_str(), NameError::Length),
            ("a..b", NameError::Label),
            (long_label.as_str(), NameError::Label),
            (".a.b", NameError::Label),
            ("a.b.", NameError::Label),
            ("-a.b", NameError::Label),
            ("a-.b", NameError::Label),
            ("a_b.c", NameError::Character),
            ("A.b", NameError::Character),
            ("*.b.c", NameError::Character),
            ("a.b\0.c", NameError::Character),
            ("../../etc", NameError::Label),
            ("localhost", NameError::NotADomain),
            ("127.0.0.1", NameError::NotADomain),
        ] {
            assert_eq!(DomainName::try_from(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn name_lies_within_a_domain_and_not_within_its_ending() {
        let name = |text: &str| DomainName::try_from(text).unwrap();
        let base = name("gw.example.org");
        assert!(base.is_within(&base) && name("a.b.gw.example.org").is_within(&base));
        for other in ["evilgw.example.org", "example.org", "gw.example.org.evil.net"] {
            assert!(!name(other).is_within(&base), "{other}");
        }
    }
}
