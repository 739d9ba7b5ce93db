// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a server name asks for: `<app or instance id>[-<port>][s|g].<base>`, or a domain of an app's own.
//!
//! Matching is exact: 40 lower-case hex digits and nothing shorter, the whole base domain and no suffix of it.

use alloy::primitives::Address;
use mandate_acme::name::{DomainName, NameError};
use thiserror::Error;

const ID_DIGITS: usize = 40;
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// Why a server name leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetError {
    /// No name at all.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Under the base domain there are only ids.
    #[error("under the base domain, a name is 40 hex digits, optionally -port, optionally s or g")]
    NotAnId,
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
    /// The base domain itself: the gateway's own pages.
    Own,
    /// An app or instance by id.
    Id(IdName),
    /// An app's own domain, which only the registry can tie to an app.
    Custom(DomainName),
}

impl Target {
    /// Reads a server name as sent by a client; letter case does not matter.
    pub fn parse(server_name: &str, base: &DomainName) -> Result<Self, TargetError> {
        let name = DomainName::try_from(server_name.to_ascii_lowercase().as_str())?;
        if !name.is_within(base) {
            return Ok(Self::Custom(name));
        }
        if name == *base {
            return Ok(Self::Own);
        }
        let label = name.as_str().strip_suffix(base.as_str()).and_then(|rest| rest.strip_suffix('.'));
        label.and_then(parse_id).map(Self::Id).ok_or(TargetError::NotAnId)
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

/// One spelling per port: no leading zero, and no plus sign, which no name has.
fn parse_port(text: &str) -> Option<u16> {
    if text.starts_with('0') { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff00112233";

    fn base() -> DomainName {
        DomainName::try_from("gw.example.org").unwrap()
    }

    fn parse(label: &str) -> Result<Target, TargetError> {
        Target::parse(&format!("{label}.gw.example.org"), &base())
    }

    fn id(port: u16, mode: Mode) -> Result<Target, TargetError> {
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
        assert_eq!(Target::parse("x.gw.example.org", &base()), Err(TargetError::NotAnId));
        assert_eq!(Target::parse("GW.example.org", &base()), Ok(Target::Own));
    }

    #[test]
    fn base_domain_is_matched_whole_and_not_as_a_suffix() {
        let other = format!("{ID}.evilgw.example.org");
        assert!(matches!(Target::parse(&other, &base()), Ok(Target::Custom(_))));
        let longer = format!("{ID}.gw.example.org.evil.net");
        assert!(matches!(Target::parse(&longer, &base()), Ok(Target::Custom(_))));
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
