// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The value of an `issue` or `issuewild` property (RFC 8659, section 4.2).

use thiserror::Error;

/// The longest value that is read. A CAA record may hold 64 KiB, and no authority's own ones come near this.
const MAX_VALUE: usize = 4 << 10;

/// Why a value authorizes nobody (RFC 8659, section 4.2: the same as one without an issuer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ValueError {
    /// Longer than is read.
    #[error("it is longer than {MAX_VALUE} bytes")]
    TooLong,
    /// Not the text of the grammar.
    #[error("it holds something other than printable ASCII")]
    Character,
    /// Not a domain name.
    #[error("the issuer is no domain name")]
    Issuer,
    /// Not `tag=value`.
    #[error("a parameter is not of the form tag=value")]
    Parameter,
    /// More than one of a name, of which nobody can tell which one counts.
    #[error("a parameter is there twice")]
    Twice,
}

/// Whom a property lets issue, under which conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueValue {
    /// The authority's domain name in lower case. None: nobody may issue.
    pub issuer: Option<String>,
    /// Parameters as they are written, sorted. Their names are taken as written too: whether an authority that looks for
    /// `accounturi` heeds `AccountURI` is not known.
    pub parameters: Vec<(String, String)>,
}

impl IssueValue {
    /// Reads a value.
    ///
    /// # Errors
    /// When it does not follow the grammar.
    pub fn parse(value: &[u8]) -> Result<Self, ValueError> {
        if value.len() > MAX_VALUE {
            return Err(ValueError::TooLong);
        }
        if value.iter().any(|byte| !matches!(byte, b'\t' | b' '..=b'~')) {
            return Err(ValueError::Character);
        }
        let text = std::str::from_utf8(value).map_err(|_| ValueError::Character)?;
        let (issuer, rest) = text.split_once(';').unwrap_or((text, ""));
        Ok(Self { issuer: issuer_name(trim(issuer))?, parameters: parameters(trim(rest))? })
    }

    /// The value of the parameter `tag`.
    pub fn parameter(&self, tag: &str) -> Option<&str> {
        self.parameters.iter().find(|(name, _)| name == tag).map(|(_, value)| value.as_str())
    }
}

/// The grammar's white space: blanks and tabs.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn issuer_name(text: &str) -> Result<Option<String>, ValueError> {
    match text {
        "" => Ok(None),
        name if name.split('.').all(is_label) => Ok(Some(name.to_ascii_lowercase())),
        _ => Err(ValueError::Issuer),
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn parameters(text: &str) -> Result<Vec<(String, String)>, ValueError> {
    let mut found = Vec::new();
    // A last one may be empty: `ca.example; a=b;` is seen in the wild, and the grammar's reading differs by authority.
    let text = text.strip_suffix(';').map(trim).unwrap_or(text);
    for part in text.split(';').filter(|_| !text.is_empty()) {
        let (tag, value) = trim(part).split_once('=').ok_or(ValueError::Parameter)?;
        let (tag, value) = (trim(tag), trim(value));
        if !is_label(tag) || value.contains([' ', '\t']) {
            return Err(ValueError::Parameter);
        }
        found.push((tag.to_owned(), value.to_owned()));
    }
    found.sort();
    let twice = found.iter().zip(found.iter().skip(1)).any(|((a, _), (b, _))| a.eq_ignore_ascii_case(b));
    if twice { Err(ValueError::Twice) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<IssueValue, ValueError> {
        IssueValue::parse(text.as_bytes())
    }

    #[test]
    fn value_is_read_as_rfc_8659_writes_it() {
        let value = read("  CA1.example.net\t;account=230123 ; policy = ev").unwrap();
        assert_eq!(value.issuer.as_deref(), Some("ca1.example.net"));
        assert_eq!((value.parameter("account"), value.parameter("policy")), (Some("230123"), Some("ev")));
        assert_eq!(read("ca.example; a=b ; "), read("ca.example;a=b"));
        for nobody in ["", ";", " ; ", "\t"] {
            assert_eq!(read(nobody).unwrap(), IssueValue { issuer: None, parameters: vec![] }, "{nobody:?}");
        }
    }

    #[test]
    fn parameter_names_keep_their_case_since_authorities_may_heed_it() {
        let value = read("ca.example; AccountURI=https://ca.example/1").unwrap();
        assert_eq!(value.parameter("accounturi"), None);
    }

    #[test]
    fn what_does_not_follow_the_grammar_authorizes_nobody() {
        for (text, error) in [
            ("%%%%%", ValueError::Issuer),
            ("ca..example", ValueError::Issuer),
            ("-ca.example", ValueError::Issuer),
            ("ca-.example", ValueError::Issuer),
            ("ca.example.", ValueError::Issuer),
            ("ca.example account=1", ValueError::Issuer),
            ("ca.example; account", ValueError::Parameter),
            ("ca.example; =1", ValueError::Parameter),
            ("ca.example; a=1 2", ValueError::Parameter),
            ("ca.example; a_b=1", ValueError::Parameter),
            ("ca.example;; a=1", ValueError::Parameter),
            ("ca.example; a=1; a=2", ValueError::Twice),
            ("ca.example; accounturi=1; AccountUri=2", ValueError::Twice),
            ("ca.example; a=\u{e9}", ValueError::Character),
            ("ca.example\0", ValueError::Character),
        ] {
            assert_eq!(read(text), Err(error), "{text:?}");
        }
        assert_eq!(IssueValue::parse(&[b'a'; MAX_VALUE + 1]), Err(ValueError::TooLong));
        assert!(IssueValue::parse(&[b'a'; MAX_VALUE]).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(value) = IssueValue::parse(&bytes) {
                // What was read is ASCII of the value's own.
                prop_assert!(value.parameters.iter().all(|(tag, value)| tag.is_ascii() && value.is_ascii()));
            }
        }

        #[test]
        fn what_is_written_is_read_again(issuer in "[a-z]{1,9}\\.[a-z]{1,9}", uri in "[!-:<-~]{1,64}") {
            let value = read(&format!("{issuer}; accounturi={uri}")).unwrap();
            prop_assert_eq!(value.parameter("accounturi"), Some(uri.as_str()));
            prop_assert_eq!(value.issuer, Some(issuer));
        }
    }
}
