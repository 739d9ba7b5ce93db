// SPDX-License-Identifier: Apache-2.0 OR MIT
//! CAA values and DNS answers out of any bytes: read or refused, never a panic; and only the permission itself, however it is
//! written, is taken for it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_acme::{
    caa::{IssueValue, Method, Permission, Property},
    dns::parse_answer,
    name::{DomainName, Subject},
};

const ACCOUNT: &str = "https://ca.example/acct/1";

fuzz_target!(|input: (u8, &str, &[u8])| {
    let (flags, tag, value) = input;
    let permission = Permission::new("ca.example", ACCOUNT, Method::Dns01).expect("a permission");
    let subject = Subject::Domain(DomainName::try_from("app.example.org").expect("a name"));
    let property = Property { flags, tag: tag.to_owned(), value: value.to_vec() };
    let shown = property.to_string();
    assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{shown:?}");
    if permission.objections(std::slice::from_ref(&property), &subject).is_empty() {
        let read = IssueValue::parse(value).expect("what permits follows the grammar");
        assert_eq!(read.issuer.as_deref(), Some("ca.example"));
        assert_eq!(read.parameter("accounturi"), Some(ACCOUNT));
        assert_eq!(read.parameter("validationmethods"), Some("dns-01"));
    }
    let _ = parse_answer("app.example.org", value);
});
