// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said to Route 53, and what it says (API 2013-04-01).

use std::fmt;

use quick_xml::{DeError, SeError};
use serde::{Deserialize, Serialize};

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// `ListHostedZonesByNameResponse`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Zones {
    #[serde(default)]
    hosted_zones: HostedZones,
}

#[derive(Debug, Default, Deserialize)]
struct HostedZones {
    #[serde(rename = "HostedZone", default)]
    all: Vec<HostedZone>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostedZone {
    id: String,
    name: String,
    #[serde(default)]
    config: Config,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    private_zone: bool,
}

impl Zones {
    /// The ids of the public zones of exactly this name.
    pub(super) fn public(&self, name: &str) -> Vec<&str> {
        let ours = |zone: &&HostedZone| same(&zone.name, name) && !zone.config.private_zone;
        self.hosted_zones.all.iter().filter(ours).map(|zone| last(&zone.id)).collect()
    }
}

/// `ListResourceRecordSetsResponse`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sets {
    #[serde(default)]
    resource_record_sets: RecordSets,
}

#[derive(Debug, Default, Deserialize)]
struct RecordSets {
    #[serde(rename = "ResourceRecordSet", default)]
    all: Vec<Set>,
}

impl Sets {
    /// The set of this name and type. The list begins there, and goes on with others.
    pub(super) fn of(self, name: &str, kind: &str) -> Option<Set> {
        self.resource_record_sets.all.into_iter().find(|set| same(&set.name, name) && set.kind == kind)
    }
}

/// `ResourceRecordSet`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Set {
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set_identifier: Option<String>,
    #[serde(rename = "TTL", default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource_records: Option<Records>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Records {
    #[serde(rename = "ResourceRecord", default)]
    all: Vec<One>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct One {
    value: String,
}

impl Set {
    pub(super) fn new(name: &str, kind: &str, ttl: u32, values: Vec<String>) -> Self {
        let all = values.into_iter().map(|value| One { value }).collect();
        let (name, kind) = (format!("{name}."), kind.to_owned());
        Self { name, kind, set_identifier: None, ttl: Some(ttl), resource_records: Some(Records { all }) }
    }

    pub(super) fn values(&self) -> Vec<String> {
        let all = self.resource_records.iter().flat_map(|records| &records.all);
        all.map(|one| one.value.clone()).collect()
    }

    /// Neither an alias nor one of several that Amazon chooses from.
    pub(super) fn is_simple(&self) -> bool {
        self.set_identifier.is_none() && self.ttl.is_some() && self.resource_records.is_some()
    }
}

/// `Change`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetChange {
    action: &'static str,
    resource_record_set: Set,
}

impl SetChange {
    pub(super) fn upsert(set: Set) -> Self {
        Self { action: "UPSERT", resource_record_set: set }
    }

    pub(super) fn delete(set: Set) -> Self {
        Self { action: "DELETE", resource_record_set: set }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeRequest {
    #[serde(rename = "@xmlns")]
    namespace: &'static str,
    change_batch: ChangeBatch,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeBatch {
    changes: Changes,
}

#[derive(Debug, Serialize)]
struct Changes {
    #[serde(rename = "Change")]
    all: Vec<SetChange>,
}

/// The body of a `ChangeResourceRecordSets`.
pub(super) fn batch(all: Vec<SetChange>) -> Result<String, SeError> {
    let change_batch = ChangeBatch { changes: Changes { all } };
    let request = ChangeRequest { namespace: NAMESPACE, change_batch };
    quick_xml::se::to_string_with_root("ChangeResourceRecordSetsRequest", &request)
}

/// `ChangeResourceRecordSetsResponse` and `GetChangeResponse`.
#[derive(Debug, Deserialize)]
pub(super) struct Changed {
    #[serde(rename = "ChangeInfo")]
    pub(super) info: Answered,
}

/// `ChangeInfo`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Answered {
    id: String,
    status: String,
}

impl Answered {
    pub(super) fn is_in_sync(&self) -> bool {
        self.status == "INSYNC"
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.rsplit('/').next()
    }
}

/// What the API says when it says no.
#[derive(Debug, Default)]
pub(super) struct Failure {
    code: String,
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorResponse {
    #[serde(default)]
    error: Option<Told>,
    #[serde(default)]
    messages: Option<Messages>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Messages {
    #[serde(rename = "Message", default)]
    all: Vec<String>,
}

impl Failure {
    /// Whatever can be made of it: why a request was refused does not change that it was.
    pub(super) fn read(text: &str) -> Self {
        let read: Result<ErrorResponse, DeError> = quick_xml::de::from_str(text);
        match read {
            Ok(ErrorResponse { error: Some(Told { code, message }), .. }) => Self { code, message },
            Ok(ErrorResponse { messages: Some(messages), .. }) => {
                Self { code: "InvalidChangeBatch".to_owned(), message: messages.all.join("; ") }
            }
            _ => Self::default(),
        }
    }

    pub(super) fn is_throttling(&self) -> bool {
        matches!(self.code.as_str(), "Throttling" | "ThrottlingException" | "PriorRequestNotComplete")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.is_empty() {
            true => f.write_str("not in the API's own words"),
            false => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

/// Reads what the client reads, out of any text: for the fuzzer.
pub(in crate::dns) fn parse_records(text: &str) -> Option<usize> {
    let _ = Failure::read(text).to_string();
    let _ = quick_xml::de::from_str::<Zones>(text).map(|zones| zones.public("example.org").len());
    let _ = quick_xml::de::from_str::<Changed>(text).map(|changed| changed.info.is_in_sync());
    let sets: Sets = quick_xml::de::from_str(text).ok()?;
    Some(sets.of("example.org", "CAA")?.values().len())
}

/// Names end with a dot there.
fn same(theirs: &str, ours: &str) -> bool {
    theirs.trim_end_matches('.').eq_ignore_ascii_case(ours)
}

/// `/hostedzone/ID` or `ID`.
fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_is_written_as_the_api_has_it() {
        let set = Set::new("example.org", "CAA", 300, vec!["128 issue \"a<b\"".to_owned()]);
        assert_eq!(
            batch(vec![SetChange::upsert(set)]).unwrap(),
            "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch>\
             <Changes><Change><Action>UPSERT</Action><ResourceRecordSet><Name>example.org.</Name><Type>CAA</Type>\
             <TTL>300</TTL><ResourceRecords><ResourceRecord><Value>128 issue \"a&lt;b\"</Value></ResourceRecord>\
             </ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
    }

    #[test]
    fn attack_set_of_another_name_is_not_taken_for_ours() {
        let text = "<R><ResourceRecordSets><ResourceRecordSet><Name>evil.example.</Name><Type>CAA</Type><TTL>1</TTL>\
                    <ResourceRecords><ResourceRecord><Value>0 issue \"x\"</Value></ResourceRecord></ResourceRecords>\
                    </ResourceRecordSet></ResourceRecordSets></R>";
        let sets = || quick_xml::de::from_str::<Sets>(text).unwrap();
        assert!(sets().of("example.org", "CAA").is_none() && sets().of("evil.example", "TXT").is_none());
        assert_eq!(sets().of("evil.example", "CAA").unwrap().values(), ["0 issue \"x\""]);
    }

    #[test]
    fn private_zone_is_not_taken_for_the_public_one() {
        let zone = |id: &str, private: bool| {
            format!(
                "<HostedZone><Id>/hostedzone/{id}</Id><Name>example.org.</Name><Config><PrivateZone>{private}\
                 </PrivateZone></Config></HostedZone>"
            )
        };
        let text = format!("<R><HostedZones>{}{}</HostedZones></R>", zone("Z1", true), zone("Z2", false));
        let zones: Zones = quick_xml::de::from_str(&text).unwrap();
        assert_eq!((zones.public("example.org"), zones.public("example.com")), (vec!["Z2"], vec![]));
    }

    #[test]
    fn failure_is_told_in_both_of_its_forms() {
        let told = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message>\
                    </Error></ErrorResponse>";
        assert!(Failure::read(told).is_throttling());
        let listed = "<InvalidChangeBatch><Messages><Message>no</Message></Messages></InvalidChangeBatch>";
        assert_eq!(Failure::read(listed).to_string(), "InvalidChangeBatch: no");
        assert_eq!(Failure::read("<html>").to_string(), "not in the API's own words");
    }
}
