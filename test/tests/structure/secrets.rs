// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How types that hold secrets are compared.

/// Names of the types in `source` that hold what is zeroized and whose equality is derived, which stops at the first byte that
/// differs and so tells by its time how far a guess was right.
pub(crate) fn with_derived_equality(source: &str) -> Vec<String> {
    source.split("#[derive(").skip(1).filter_map(offender).collect()
}

fn offender(item: &str) -> Option<String> {
    let (derives, rest) = item.split_once(")]")?;
    let equality = derives.split(',').any(|name| name.trim() == "PartialEq");
    let body = rest.get(..rest.find("\n}").into_iter().chain(rest.find(");")).min().unwrap_or(rest.len()))?;
    let name = body.split_once("struct ").or_else(|| body.split_once("enum "))?.1;
    let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
    (equality && body.contains("Zeroizing<")).then_some(name)
}

#[test]
fn derived_equality_of_secrets_is_found() {
    let source = "#[derive(Clone, PartialEq)]\npub struct A(Zeroizing<Vec<u8>>);\n\
        #[derive(Debug, PartialEq, Eq)]\nstruct B {\n    public: u8,\n}\n\
        #[derive(Clone)]\nstruct C {\n    key: Zeroizing<[u8; 32]>,\n}\n\
        #[derive(PartialEq)]\nenum D {\n    Key(Zeroizing<[u8; 32]>),\n}\n";
    assert_eq!(with_derived_equality(source), ["A", "D"]);
}
