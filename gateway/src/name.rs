// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a server name asks for: `<app or instance id>[-<port>][s|g].<base>`, or a domain of an app's own.
//!
//! Matching is exact: 40 lower-case hex digits and nothing shorter, the whole base domain and no suffix of it.

use std::{fmt, str::FromStr};

use alloy::primitives::Address;
use serde::Deserialize;
use thiserror::Error;

/// The longest name that DNS and the registry know.
pub const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;
const ID_DIGITS: usize = 40;
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

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
    /// Under the base domain there are only ids.
    #[error("under the base domain, a name is 40 hex digits, optionally -port, optionally s or g")]
    NotAnId,
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

/// What the gateway does with the TLS of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Suffix `s`: bytes go through untouched, the instance ends TLS.
    Passthrough,
    /// No suffix: the gateway ends TLS and speaks HTTP/1.1.
    Terminate,
    /// Suffix `g`: the gateway ends TLS and speaks HTTP/2.
    TerminateH2,
}

/// The first label of a name under the base domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdName {
    /// App id or instance id.
    pub id: Address,
    /// The instance's port.
    pub port: u16,
    /// Who ends TLS.
    pub mode: Mode,
}

impl IdName {
    /// The name under `base`.
    pub fn under(&self, base: &DomainName) -> String {
        let suffix = match self.mode {
            Mode::Passthrough => "s",
            Mode::Terminate => "",
            Mode::TerminateH2 => "g",
        };
        format!("{}-{}{suffix}.{base}", hex::encode(self.id), self.port)
    }
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An app or instance by id.
    Id(IdName),
    /// An app's own domain, which only the registry can tie to an app.
    Custom(DomainName),
}

impl Target {
    /// Reads a server name as sent by a client; letter case does not matter.
    pub fn parse(server_name: &str, base: &DomainName) -> Result<Self, NameError> {
        let name = DomainName::try_from(server_name.to_ascii_lowercase().as_str())?;
        if !name.is_within(base) {
            return Ok(Self::Custom(name));
        }
        let label = name.0.strip_suffix(base.as_str()).and_then(|rest| rest.strip_suffix('.'));
        label.and_then(parse_id).map(Self::Id).ok_or(NameError::NotAnId)
    }
}

fn parse_id(label: &str) -> Option<IdName> {
    let (digits, rest) = label.split_at_checked(ID_DIGITS)?;
    let id = Address::new(hex::decode(digits).ok()?.try_into().ok()?);
    // Neither suffix is a hex digit or a decimal one, so it can be taken off first.
    let (rest, mode) = match rest.strip_suffix('s') {
        Some(rest) => (rest, Mode::Passthrough),
        None => match rest.strip_suffix('g') {
            Some(rest) => (rest, Mode::TerminateH2),
            None => (rest, Mode::Terminate),
        },
    };
    let port = match rest.strip_prefix('-') {
        Some(port) => parse_port(port)?,
        None if rest.is_empty() && mode == Mode::Passthrough => HTTPS,
        None if rest.is_empty() => HTTP,
        None => return None,
    };
    Some(IdName { id, port, mode })
}

/// One spelling per port: no sign, no leading zero.
fn parse_port(text: &str) -> Option<u16> {
    if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff00112233";

    fn base() -> DomainName {
        DomainName::try_from("gw.example.org").unwrap()
    }

    fn parse(label: &str) -> Result<Target, NameError> {
        Target::parse(&format!("{label}.gw.example.org"), &base())
    }

    fn id(port: u16, mode: Mode) -> Result<Target, NameError> {
        let id = Address::new(hex::decode(ID).unwrap().try_into().unwrap());
        Ok(Target::Id(IdName { id, port, mode }))
    }

    #[test]
    fn id_names_are_read_with_their_defaults() {
        assert_eq!(parse(ID), id(80, Mode::Terminate));
        assert_eq!(parse(&format!("{ID}s")), id(443, Mode::Passthrough));
        assert_eq!(parse(&format!("{ID}g")), id(80, Mode::TerminateH2));
        assert_eq!(parse(&format!("{ID}-8443s")), id(8443, Mode::Passthrough));
        assert_eq!(parse(&format!("{ID}-8080")), id(8080, Mode::Terminate));
        assert_eq!(parse(&ID.to_uppercase()), id(80, Mode::Terminate));
    }

    #[test]
    fn what_merely_resembles_an_id_is_refused() {
        for label in [
            &ID[1..],
            &format!("{ID}0"),
            &format!("x{ID}"),
            &format!("0x{ID}"),
            &format!("{ID}-"),
            &format!("{ID}-s"),
            &format!("{ID}-0s"),
            &format!("{ID}-0443s"),
            &format!("{ID}-65536s"),
            &format!("{ID}-+443s"),
            &format!("{ID}-443x"),
            &format!("{ID}-443sg"),
            &format!("{ID}-443-443s"),
            &format!("{ID}.{ID}"),
            "g",
        ] {
            assert!(parse(label).is_err(), "{label}");
        }
        assert_eq!(Target::parse("gw.example.org", &base()), Err(NameError::NotAnId));
    }

    #[test]
    fn base_domain_is_matched_whole_and_not_as_a_suffix() {
        let other = format!("{ID}.evilgw.example.org");
        assert!(matches!(Target::parse(&other, &base()), Ok(Target::Custom(_))));
        let longer = format!("{ID}.gw.example.org.evil.net");
        assert!(matches!(Target::parse(&longer, &base()), Ok(Target::Custom(_))));
    }

    #[test]
    fn malformed_domains_are_refused() {
        let long = format!("{}.org", "a.".repeat(130));
        for (text, error) in [
            ("", NameError::Length),
            (long.as_str(), NameError::Length),
            ("a..b", NameError::Label),
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

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,300}") {
            let _ = Target::parse(&text, &base());
            let _ = parse(&text);
        }

        #[test]
        fn id_names_survive_a_round_trip(id: [u8; 20], port in 1u16.., mode in 0..3) {
            let mode = [Mode::Passthrough, Mode::Terminate, Mode::TerminateH2][usize::try_from(mode).unwrap()];
            let name = IdName { id: Address::new(id), port, mode };
            prop_assert_eq!(Target::parse(&name.under(&base()), &base()), Ok(Target::Id(name)));
        }

        #[test]
        fn a_name_has_one_spelling(label in "[0-9a-f]{38,42}(-[0-9]{0,6})?[sg]?") {
            if let Ok(Target::Id(name)) = parse(&label) {
                let full = name.under(&base());
                let short = full.replace("-443s.", "s.").replace("-80.", ".").replace("-80g.", "g.");
                let given = format!("{label}.gw.example.org");
                prop_assert!(given == full || given == short);
            }
        }
    }
}
