// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any text as what a client calls a server and as where an instance says it is: refused, or something with one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_acme::name::DomainName;
use mandate_gateway::{
    name::{Mode, Target},
    upstream::Upstream,
};

fuzz_target!(|input: (&str, &str)| {
    let (name, label) = input;
    let base = DomainName::try_from("gw.example.org").expect("a name");
    for name in [name, label, &format!("{label}.gw.example.org"), &format!("{label}.example.org")] {
        let Ok(target) = Target::parse(name, &base) else { continue };
        let lower = name.to_ascii_lowercase();
        assert_eq!(Target::parse(&lower, &base).as_ref(), Ok(&target));
        match &target {
            Target::Own => assert_eq!(lower, base.as_str()),
            Target::Custom(domain) => {
                assert_eq!(domain.as_str(), lower);
                assert!(lower != base.as_str() && !lower.ends_with(".gw.example.org"));
            }
            Target::Id(id) => {
                let full = id.under(&base);
                let port = match id.mode {
                    Mode::Passthrough => "-443",
                    Mode::Terminate | Mode::TerminateH2 => "-80",
                };
                assert!(lower == full || lower == full.replacen(port, "", 1), "{lower} {full}");
                assert_eq!(Target::parse(&full, &base), Ok(target));
            }
        }
    }
    if let Ok(upstream) = Upstream::try_from(label) {
        assert_eq!(Upstream::try_from(upstream.to_string().as_str()), Ok(upstream));
    }
});
