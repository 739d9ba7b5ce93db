// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Against name servers that say what a test has them say.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt, ready};
use hickory_proto::{
    op::{Message, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{CAA, CNAME, TXT},
    },
};
use mandate_runtime::Ambient;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::name::DomainName;

const ACCOUNT: &str = "https://ca.example/acct/1";
const NAME: &str = "app.example.org";

type Edit = Box<dyn Fn(&mut Message) + Send>;

/// Records that are seen after so many more questions.
type Late = (usize, Vec<(Name, RData)>);

/// What one name server says.
#[derive(Default)]
struct Script {
    records: Mutex<Vec<(Name, RData)>>,
    edit: Mutex<Option<Edit>>,
    asked: AtomicUsize,
    late: Mutex<Option<Late>>,
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn caa(tag: &str, value: &str) -> RData {
    let mut record = CAA::new_issue(true, None, Vec::new());
    (record.tag, record.value) = (tag.to_owned(), value.as_bytes().to_vec());
    RData::CAA(record)
}

fn alias(to: &str) -> RData {
    RData::CNAME(CNAME(name(to)))
}

fn ours() -> RData {
    caa("issue", &format!("ca.example; accounturi={ACCOUNT}; validationmethods=dns-01"))
}

impl Script {
    async fn serve(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, script) = (listener.local_addr().unwrap(), Arc::clone(self));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut question).await.unwrap();
                let answer = script.answer(&Message::from_vec(&question).unwrap()).to_vec().unwrap();
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                stream.write_all(&[length.as_slice(), &answer].concat()).await.unwrap();
            }
        });
        address
    }

    fn answer(&self, question: &Message) -> Message {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut late = self.late.lock().unwrap();
        match late.take() {
            Some((0, records)) => *self.records.lock().unwrap() = records,
            Some((more, records)) => *late = Some((more - 1, records)),
            None => {}
        }
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.authoritative = true;
        let (query, records) = (question.queries[0].clone(), self.records.lock().unwrap());
        let mut at = query.name().clone();
        for _ in 0..20 {
            let of_name = || records.iter().filter(|(owner, _)| *owner == at);
            let kinds = [RecordType::CNAME, query.query_type()];
            let found = of_name().filter(|(_, data)| kinds.contains(&data.record_type()));
            answer
                .add_answers(found.map(|(owner, data)| Record::from_rdata(owner.clone(), 60, data.clone())));
            let target = of_name().find_map(|(_, data)| match data {
                RData::CNAME(target) => Some(target.0.clone()),
                _ => None,
            });
            let Some(target) = target else { break };
            at = target;
        }
        answer.add_query(query);
        if let Some(edit) = self.edit.lock().unwrap().as_ref() {
            edit(&mut answer);
        }
        answer
    }

    fn says(&self, records: &[(&str, RData)]) {
        *self.records.lock().unwrap() =
            records.iter().map(|(owner, data)| (name(owner), data.clone())).collect();
    }

    fn edits(&self, edit: impl Fn(&mut Message) + Send + 'static) {
        *self.edit.lock().unwrap() = Some(Box::new(edit));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A zone on such servers, of which the first takes changes and shows them after a few more questions.
struct OurZone {
    origin: DomainName,
    servers: Vec<SocketAddr>,
    script: Arc<Script>,
    applied: AtomicUsize,
}

impl std::fmt::Debug for OurZone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OurZone")
    }
}

impl Zone for OurZone {
    fn origin(&self) -> &DomainName {
        &self.origin
    }

    fn nameservers(&self) -> &[SocketAddr] {
        &self.servers
    }

    fn apply<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<(), DnsError>> {
        self.applied.fetch_add(1, Ordering::SeqCst);
        let [Change::ReplaceCaa(owner, wanted)] = changes else { panic!("{changes:?}") };
        let mut after = self.script.records.lock().unwrap().clone();
        after.retain(|(at, data)| *at != name(owner.as_str()) || data.record_type() != RecordType::CAA);
        after.extend(wanted.iter().map(|property| {
            let mut record = CAA::new_issue(property.is_critical(), None, Vec::new());
            (record.tag, record.value) = (property.tag.clone(), property.value.clone());
            (name(owner.as_str()), RData::CAA(record))
        }));
        *self.script.late.lock().unwrap() = Some((2, after));
        ready(Ok(())).boxed()
    }
}

struct Rig {
    script: Arc<Script>,
    zone: Option<Arc<OurZone>>,
    dns: Arc<Dns>,
}

/// With one resolver that says what is scripted.
async fn resolver() -> Rig {
    let script = Arc::new(Script::default());
    script.edits(|answer| {
        (answer.metadata.authoritative, answer.metadata.recursion_available) = (false, true);
    });
    let dns = Dns::new(Vec::new(), vec![script.serve().await], Duration::ZERO, &Ambient::system());
    Rig { script, zone: None, dns: Arc::new(dns) }
}

/// With a zone of ours on one server, and a resolver for everything else.
async fn zone(propagation: Duration, resolvers: Vec<SocketAddr>) -> Rig {
    let script = Arc::new(Script::default());
    let zone = Arc::new(OurZone {
        origin: "example.org".parse().unwrap(),
        servers: vec![script.serve().await],
        script: Arc::clone(&script),
        applied: AtomicUsize::new(0),
    });
    let dns = Dns::new(vec![Arc::clone(&zone) as _], resolvers, propagation, &Ambient::system());
    Rig { script, zone: Some(zone), dns: Arc::new(dns) }
}

impl Rig {
    async fn relevant(&self) -> Result<Option<crate::dns::Relevant>, DnsError> {
        self.dns.relevant_caa(&NAME.parse().unwrap()).await
    }

    async fn ensure(&self, mode: CaaMode) -> Result<(), IssueError> {
        let guard = Guard::new(mode, "ca.example".to_owned(), Arc::clone(&self.dns));
        guard.ensure(&Subject::Domain(NAME.parse().unwrap()), ACCOUNT, Method::Dns01).await
    }

    fn applied(&self) -> usize {
        self.zone.as_ref().unwrap().applied.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn closest_name_with_records_governs() {
    let rig = resolver().await;
    assert_eq!(rig.relevant().await.unwrap(), None);
    assert_eq!(rig.script.asked(), 3);
    rig.script.says(&[("example.org", ours()), ("org", caa("issue", ";"))]);
    assert_eq!(rig.relevant().await.unwrap().unwrap().at, "example.org");
    // An alias has those of its target, and nobody else's.
    rig.script.says(&[(NAME, alias("a.example.net")), ("a.example.net", ours()), ("example.org", ours())]);
    let relevant = rig.relevant().await.unwrap().unwrap();
    assert_eq!((relevant.at.as_str(), relevant.properties.len()), (NAME, 1));
    // A resolver that has looked at the target is not asked about it again.
    let before = rig.script.asked();
    rig.script.says(&[(NAME, alias("a.example.net"))]);
    assert_eq!((rig.relevant().await.unwrap(), rig.script.asked() - before), (None, 3));
}

#[tokio::test]
async fn attack_answer_that_is_none_is_not_taken_for_nothing_there() {
    let recursive = |answer: &mut Message| {
        (answer.metadata.authoritative, answer.metadata.recursion_available) = (false, true);
    };
    type Breaks = fn(&mut Message);
    let breaks: [(&str, Breaks); 7] = [
        ("failure", |answer| answer.metadata.response_code = ResponseCode::ServFail),
        ("no question", |answer| answer.queries.clear()),
        ("other name", |answer| answer.queries = vec![Query::query(name("x.org"), RecordType::CAA)]),
        ("other type", |answer| {
            let asked = answer.queries[0].name().clone();
            answer.queries = vec![Query::query(asked, RecordType::TXT)];
        }),
        ("cut off", |answer| answer.metadata.truncation = true),
        ("referral", |answer| answer.metadata.recursion_available = false),
        ("endless", |answer| {
            let record = Record::from_rdata(name(NAME), 60, caa("issue", ";"));
            answer.answers = vec![record; 513];
        }),
    ];
    for (what, broken) in breaks {
        let rig = resolver().await;
        rig.script.edits(move |answer| {
            recursive(answer);
            broken(answer);
        });
        assert!(rig.relevant().await.is_err(), "{what}");
        let refused = rig.ensure(CaaMode::Require).await;
        assert!(matches!(refused, Err(IssueError::Dns { .. })), "{what}: {refused:?}");
    }
    let rig = resolver().await;
    rig.script.edits(move |answer| {
        recursive(answer);
        answer.metadata.response_code = ResponseCode::NXDomain;
        // Nobody asked about this one.
        answer.add_answer(Record::from_rdata(name("x.org"), 60, ours()));
    });
    assert_eq!(rig.relevant().await.unwrap(), None);
}

#[tokio::test]
async fn attack_aliases_without_an_end_are_given_up() {
    let rig = resolver().await;
    rig.script.says(&[(NAME, alias("b.example.org")), ("b.example.org", alias(NAME))]);
    assert!(matches!(rig.relevant().await, Err(DnsError::Answer { .. })));
    // The same, one answer after the other.
    let rig = zone(Duration::ZERO, Vec::new()).await;
    rig.script.says(&[(NAME, alias("b.example.org")), ("b.example.org", alias(NAME))]);
    rig.script.edits(|answer| answer.answers.truncate(1));
    assert!(matches!(rig.relevant().await, Err(DnsError::Aliases { .. })));
    assert_eq!(rig.script.asked(), 8);
}

#[tokio::test]
async fn alias_out_of_our_zone_is_followed() {
    let elsewhere = resolver().await;
    elsewhere.script.says(&[("a.example.net", caa("issue", "other.example"))]);
    let rig = zone(Duration::ZERO, vec![elsewhere.script.serve().await]).await;
    rig.script.says(&[(NAME, alias("a.example.net")), ("example.org", ours())]);
    assert!(matches!(rig.ensure(CaaMode::Require).await, Err(IssueError::Caa { .. })));
}

#[tokio::test]
async fn servers_of_a_zone_that_do_not_agree_say_nothing() {
    let (one, other) = (Arc::new(Script::default()), Arc::new(Script::default()));
    one.says(&[(NAME, ours())]);
    let zone = Arc::new(OurZone {
        origin: "example.org".parse().unwrap(),
        servers: vec![one.serve().await, other.serve().await],
        script: Arc::clone(&one),
        applied: AtomicUsize::new(0),
    });
    let dns = Arc::new(Dns::new(vec![zone as _], Vec::new(), Duration::ZERO, &Ambient::system()));
    let rig = Rig { script: one, zone: None, dns };
    assert!(matches!(rig.relevant().await, Err(DnsError::Disagreement { .. })));
    other.says(&[(NAME, ours())]);
    assert_eq!(rig.relevant().await.unwrap().unwrap().at, NAME);
}

#[tokio::test]
async fn challenges_count_once_every_value_is_shown() {
    let rig = zone(Duration::ZERO, Vec::new()).await;
    let (zone, values) = (rig.zone.clone().unwrap(), ["one".to_owned(), "two".to_owned()]);
    let owner: DomainName = NAME.parse().unwrap();
    let record =
        |value: &str| ("_acme-challenge.app.example.org", RData::TXT(TXT::new(vec![value.to_owned()])));
    rig.script.says(&[record("one")]);
    let shown = rig.dns.until_challenges(zone.as_ref(), &owner, &values).await;
    assert!(matches!(shown, Err(DnsError::NotShown { .. })));
    rig.script.says(&[record("one"), record("two"), record("another order's")]);
    rig.dns.until_challenges(zone.as_ref(), &owner, &values).await.unwrap();
}

#[tokio::test]
async fn g9_nothing_is_ordered_that_caa_does_not_pin() {
    let rig = resolver().await;
    for mode in [CaaMode::Require, CaaMode::Reconcile] {
        rig.script.says(&[]);
        assert!(matches!(rig.ensure(mode).await, Err(IssueError::Caa { .. })));
        rig.script.says(&[(NAME, ours()), (NAME, caa("issue", "other.example"))]);
        assert!(matches!(rig.ensure(mode).await, Err(IssueError::Caa { .. })));
        rig.script.says(&[(NAME, ours())]);
        rig.ensure(mode).await.unwrap();
    }
    let before = rig.script.asked();
    rig.script.says(&[]);
    rig.ensure(CaaMode::Off).await.unwrap();
    assert_eq!(rig.script.asked(), before);
}

#[tokio::test]
async fn set_is_published_once_where_the_zone_is_ours_and_only_when_it_may_be() {
    let rig = zone(Duration::from_secs(20), Vec::new()).await;
    let kept = caa("iodef", "mailto:a@example.org");
    rig.script.says(&[(NAME, kept), (NAME, caa("issue", "other.example"))]);
    assert!(matches!(rig.ensure(CaaMode::Require).await, Err(IssueError::Caa { .. })));
    assert_eq!(rig.applied(), 0);
    // It takes a while until it is shown, and it is waited for.
    rig.ensure(CaaMode::Reconcile).await.unwrap();
    let relevant = rig.relevant().await.unwrap().unwrap();
    let shown: Vec<_> = relevant.properties.iter().map(|property| property.tag.as_str()).collect();
    assert_eq!((relevant.at.as_str(), shown), (NAME, vec!["iodef", "issue", "issuewild"]));
    rig.ensure(CaaMode::Reconcile).await.unwrap();
    assert_eq!(rig.applied(), 1);
}
