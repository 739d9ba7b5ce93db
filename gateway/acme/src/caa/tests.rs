// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::name::DomainName;

const ACCOUNT_URI: &str = "https://ca.example/acct/1";
const OURS: &str = "ca.example; accounturi=https://ca.example/acct/1; validationmethods=dns-01";

fn permission() -> Permission {
    Permission::new("ca.example", ACCOUNT_URI, Method::Dns01).unwrap()
}

fn domain() -> Subject {
    Subject::Domain(DomainName::try_from("app.example.org").unwrap())
}

fn wildcard() -> Subject {
    Subject::Wildcard(DomainName::try_from("gw.example.org").unwrap())
}

fn record(flags: u8, tag: &str, value: &str) -> Property {
    Property { flags, tag: tag.to_owned(), value: value.as_bytes().to_vec() }
}

#[test]
fn wanted_records_pin_authority_account_and_method() {
    let shown = |subject| permission().records(&subject).iter().map(ToString::to_string).collect::<Vec<_>>();
    let issue = format!("CAA 128 issue \"{OURS}\"");
    assert_eq!(shown(domain()), [issue.clone(), "CAA 128 issuewild \";\"".to_owned()]);
    assert_eq!(shown(wildcard()), [issue, format!("CAA 128 issuewild \"{OURS}\"")]);
}

#[test]
fn published_set_is_compared_by_what_it_means() {
    let spelt = "CA.example;validationmethods=dns-01 ;\taccounturi=https://ca.example/acct/1";
    let set = [record(128, "ISSUE", spelt), record(128, "issuewild", ""), record(0, "iodef", "mailto:a@b.c")];
    assert_eq!(permission().differences(&set, &domain()), []);
    assert_eq!(permission().objections(&set, &domain()), []);
    // What nobody can read means nothing.
    for unreadable in ["", "a b; c", "ca.example; =", &OURS.replace("dns-01", "dns 01")] {
        let set = [record(128, "issue", unreadable), record(128, "issuewild", ";")];
        assert_eq!(permission().differences(&set, &domain()).len(), 2, "{unreadable}");
    }
    let not_critical = [record(0, "issue", OURS), record(128, "issuewild", ";")];
    assert_eq!(permission().differences(&not_critical, &domain()).len(), 2);
}

#[test]
fn nothing_published_lets_everybody_issue() {
    assert_eq!(permission().objections(&[], &domain()).len(), 1);
    assert_eq!(permission().differences(&[], &domain()).len(), 2);
}

/// Each record beside ours gives somebody else a certificate, or may be read that way by some authority.
#[test]
fn g9_set_that_permits_more_than_this_account_is_objected_to() {
    let account = format!("accounturi={ACCOUNT_URI}");
    for (flags, tag, value, why) in [
        (0, "issue", "other.example".to_owned(), Judgement::OtherIssuer),
        (0, "IssueWild", "other.example".to_owned(), Judgement::OtherIssuer),
        (128, "issue", "other.example".to_owned(), Judgement::OtherIssuer),
        (128, "issuewild", "other.example".to_owned(), Judgement::OtherIssuer),
        (0, "issue", "ca.example".to_owned(), Judgement::AnyAccount),
        (0, "issue", "ca.example; validationmethods=dns-01".to_owned(), Judgement::AnyAccount),
        (0, "issue", format!("{OURS}2").replace("acct/1", "acct/2"), Judgement::OtherAccount),
        (0, "issue", OURS.replace("acct/1", "acct/11"), Judgement::OtherAccount),
        (0, "issue", OURS.replace("accounturi", "AccountURI"), Judgement::AnyAccount),
        (0, "issue", format!("ca.example; {account}"), Judgement::AnyMethod),
        (0, "issue", format!("{OURS},http-01"), Judgement::OtherMethods),
        (0, "issue", OURS.replace("dns-01", "http-01"), Judgement::OtherMethods),
        (0, "issue", format!("{OURS}; cansignhttpexchanges=yes"), Judgement::MoreParameters),
        (0, "issue", format!("{OURS}; {account}"), Judgement::Malformed(ValueError::Twice)),
        (0, "issue", "%%%".to_owned(), Judgement::Malformed(ValueError::Issuer)),
        (128, "tbs", "Unknown".to_owned(), Judgement::Unknown),
        // Without a say, but not for an authority that does not know it.
        (128, "issuemail", ";".to_owned(), Judgement::Unknown),
    ] {
        let set = [record(128, "issue", OURS), record(flags, tag, &value)];
        for subject in [domain(), wildcard()] {
            let found = permission().objections(&set, &subject);
            let expected = Difference::Extra { property: set[1].clone(), why };
            assert!(found.contains(&expected), "{value}: {found:?}");
            assert!(permission().differences(&set, &subject).contains(&expected), "{value}");
        }
    }
}

#[test]
fn records_without_a_say_are_not_objected_to() {
    for (flags, tag) in [(0, "tbs"), (0, "iodef"), (128, "iodef"), (0, "issuemail"), (0, "contactemail")] {
        let set = [record(128, "issue", OURS), record(flags, tag, "x")];
        assert_eq!(permission().objections(&set, &domain()), [], "{tag}");
    }
    assert_eq!(permission().objections(&[record(0, "issue", ";"), record(0, "issue", OURS)], &domain()), []);
}

#[test]
fn wildcard_needs_issuewild_of_its_own_when_there_is_any() {
    let denied = [record(128, "issue", OURS), record(128, "issuewild", ";")];
    let missing = Difference::Missing(record(128, "issuewild", OURS));
    assert_eq!(permission().objections(&denied, &wildcard()), [missing]);
    assert_eq!(permission().objections(&denied, &domain()), []);
    assert_eq!(
        permission().differences(&denied[..1], &wildcard()),
        [Difference::Missing(record(128, "issuewild", OURS))]
    );
    // Section 4.3: without one, `issue` speaks for wildcards too.
    assert_eq!(permission().objections(&denied[..1], &wildcard()), []);
    // And only `issue` speaks for the name itself.
    let wild_alone = [record(128, "issuewild", OURS)];
    assert_eq!(
        permission().objections(&wild_alone, &domain()),
        [Difference::Missing(record(128, "issue", OURS))]
    );
}

#[test]
fn what_a_record_cannot_say_is_refused() {
    for account in [
        "",
        "https://ca.example/a;b",
        "https://ca.example/a;b=c",
        "https://ca.example/a b",
        "https://ca.example/\u{e9}",
    ] {
        let refused = Permission::new("ca.example", account, Method::Dns01);
        assert_eq!(refused, Err(PermissionError::Account(account.to_owned())));
    }
    assert_eq!(Permission::new("CA.Example", ACCOUNT_URI, Method::Dns01), Ok(permission()));
    for issuer in ["", "ca.example; accounturi=x", "ca_example", "ca.example;"] {
        assert_eq!(
            Permission::new(issuer, ACCOUNT_URI, Method::Dns01),
            Err(PermissionError::Issuer(issuer.to_owned()))
        );
    }
}

#[test]
fn shown_record_cannot_forge_log_lines() {
    let shown = record(0, "is\nsue", "a\nb\"\u{1b}").to_string();
    assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown:?}");
    let long = record(0, &"t".repeat(1_000), &"v".repeat(60_000)).to_string();
    assert!(long.len() < 600, "{}", long.len());
}
