// SPDX-License-Identifier: Apache-2.0 OR MIT
//! CAA and challenges in a hosted zone of moto, a mock of Amazon's services that we did not write, where it is installed. It
//! looks at no signatures: those are compared with what Amazon's own library for Python, which it brings, makes of the requests.

use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderMap, Method, StatusCode, Uri},
};

use mandate_acme::dns::{AccessKey, Change, DnsError, Endpoint, HostedZone, Route53, Zone};
use mandate_runtime::{Ambient, net::free_port};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{ZONE, name, property};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/moto/bin");
const KEY: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
const CREATE: &str = "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
    <Name>tee.test</Name><CallerReference>1</CallerReference></CreateHostedZoneRequest>";

fn program(name: &str) -> Option<Command> {
    let path = Path::new(PROGRAMS).join(name);
    if !path.is_file() {
        eprintln!("moto is not installed: script/test does it");
        return None;
    }
    Some(Command::new(path))
}

fn zone_at(addr: SocketAddr, origin: &str, id: Option<String>) -> Route53 {
    let endpoint = Some(Endpoint::try_from(format!("http://{addr}")).unwrap());
    let propagation = Duration::from_secs(20);
    let hosted = HostedZone { id, region: "us-east-1".to_owned(), endpoint, propagation };
    let key = AccessKey::new(KEY.0, KEY.1).unwrap();
    Route53::new(name(origin), Vec::new(), key, hosted, &Ambient::system()).unwrap()
}

/// Ends when dropped.
struct Moto {
    addr: SocketAddr,
    child: Child,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// With the zone in it, or nothing where it is not installed.
    async fn start() -> Option<(Self, String)> {
        let mut command = program("moto_server")?;
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        command.args(["-H", "127.0.0.1", "-p", &addr.port().to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let moto = Self { addr, child };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(addr).await.is_err() {
            assert!(Instant::now() < until, "moto does not come up");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let made = moto.raw("POST", "/2013-04-01/hostedzone", CREATE).await;
        let id = made.split("<Id>/hostedzone/").nth(1).unwrap().split('<').next().unwrap().to_owned();
        Some((moto, id))
    }

    /// Past our own client. Moto looks at no signature, but wants to see whose service is meant.
    async fn raw(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let credential = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/route53/aws4_request, SignedHeaders=host, Signature=0";
        let request = format!(
            "{method} {path} HTTP/1.0\r\nhost: route53.amazonaws.com\r\nauthorization: {credential}\r\n\
             content-type: application/xml\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn zone(&self, origin: &str, id: Option<String>) -> Route53 {
        zone_at(self.addr, origin, id)
    }

    /// The values of all sets of a type in the zone, as the service writes them.
    async fn values(&self, id: &str, kind: &str) -> Vec<String> {
        let answer = self.raw("GET", &format!("/2013-04-01/hostedzone/{id}/rrset"), "").await;
        let sets = answer.split("<ResourceRecordSet>").skip(1);
        let of_kind = sets.filter(|set| set.contains(&format!("<Type>{kind}</Type>")));
        let values = of_kind.flat_map(|set| set.split("<Value>").skip(1));
        let mut all: Vec<_> = values.map(|v| v.split('<').next().unwrap().replace("&quot;", "\"")).collect();
        all.sort();
        all
    }
}

#[tokio::test]
async fn caa_is_replaced_as_a_whole_and_challenges_come_and_go() {
    let Some((moto, id)) = Moto::start().await else { return };
    // The zone is found from a name in it.
    let zone = moto.zone("app.tee.test", None);
    let old = vec![property(0, "issue", "old.test"), property(0, "iodef", "mailto:a@tee.test")];
    zone.apply(&[Change::ReplaceCaa(name("app.tee.test"), old)]).await.unwrap();
    assert_eq!(moto.values(&id, "CAA").await, ["0 iodef \"mailto:a@tee.test\"", "0 issue \"old.test\""]);
    let new = vec![
        property(128, "issue", "ca.test; accounturi=https://ca.test/1"),
        property(128, "issuewild", ";"),
    ];
    let wanted =
        ["128 issue \"ca.test; accounturi=https://ca.test/1\"".to_owned(), "128 issuewild \";\"".to_owned()];
    zone.apply(&[Change::AddCaa(name("app.tee.test"), new.clone())]).await.unwrap();
    assert_eq!(moto.values(&id, "CAA").await.len(), 4);
    zone.apply(&[Change::ReplaceCaa(name("app.tee.test"), new)]).await.unwrap();
    assert_eq!(moto.values(&id, "CAA").await, wanted);

    let add = |value: &str| Change::AddChallenge(name("app.tee.test"), value.to_owned());
    let remove = |value: &str| Change::RemoveChallenge(name("app.tee.test"), value.to_owned());
    zone.apply(&[add("one"), add("two"), add("one")]).await.unwrap();
    zone.apply(&[add("three")]).await.unwrap();
    assert_eq!(moto.values(&id, "TXT").await, ["\"one\"", "\"three\"", "\"two\""]);
    zone.apply(&[remove("one"), remove("two"), remove("four")]).await.unwrap();
    assert_eq!(moto.values(&id, "TXT").await, ["\"three\""]);
    zone.apply(&[remove("three")]).await.unwrap();
    zone.apply(&[remove("three")]).await.unwrap();
    assert!(moto.values(&id, "TXT").await.is_empty());
    assert_eq!(moto.values(&id, "CAA").await, wanted);
}

#[tokio::test]
async fn zone_is_the_one_that_is_named_and_no_other() {
    let Some((moto, id)) = Moto::start().await else { return };
    let change = [Change::AddChallenge(name(ZONE), "one".to_owned())];
    let refused = moto.zone("tee.example", None).apply(&change).await.unwrap_err();
    assert!(matches!(refused, DnsError::NoZone { .. }), "{refused}");
    let refused = moto.zone(ZONE, Some("Z0NOTTHERE".to_owned())).apply(&change).await.unwrap_err();
    assert!(refused.to_string().contains("NoSuchHostedZone"), "{refused}");
    moto.zone(ZONE, Some(id.clone())).apply(&change).await.unwrap();
    assert_eq!(moto.values(&id, "TXT").await, ["\"one\""]);
    let outside = [Change::AddChallenge(name("tee.example"), "one".to_owned())];
    let refused = moto.zone(ZONE, Some(id)).apply(&outside).await.unwrap_err();
    assert!(refused.to_string().contains("InvalidChangeBatch"), "{refused}");
}

/// Signs what it reads as botocore does, with the headers that were signed and at the time that was signed.
const BOTOCORE: &str = r#"
import json, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

for line in sys.stdin:
    asked = json.loads(line)
    signer = SigV4Auth(Credentials(*asked["key"]), "route53", "us-east-1")
    request = AWSRequest(asked["method"], asked["url"], headers=asked["headers"], data=asked["body"])
    request.context["timestamp"] = asked["headers"]["x-amz-date"]
    wanted = signer.string_to_sign(request, signer.canonical_request(request))
    print(signer.signature(wanted, request))
"#;

/// A request as it arrived, for botocore, and the signature that it bore.
fn signed(addr: SocketAddr, method: &Method, uri: &Uri, headers: &HeaderMap, body: &str) -> (Value, String) {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let authorization = text("authorization");
    let part = |name: &str| authorization.split(name).nth(1).unwrap().split(',').next().unwrap().to_owned();
    let date = text("x-amz-date");
    let scope = format!("{}/{}/us-east-1/route53/aws4_request", KEY.0, &date[..8]);
    assert_eq!(part("Credential="), scope);
    let covered: serde_json::Map<_, _> =
        part("SignedHeaders=").split(';').map(|name| (name.to_owned(), text(name).into())).collect();
    assert!(covered.contains_key("host") && covered.contains_key("x-amz-date"), "{covered:?}");
    let asked = json!({
        "key": [KEY.0, KEY.1], "method": method.as_str(), "url": format!("http://{addr}{uri}"),
        "headers": covered, "body": body,
    });
    (asked, part("Signature="))
}

#[tokio::test]
async fn signatures_are_those_of_amazons_own_library() {
    let Some(mut python) = program("python") else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<Vec<(Value, String)>>>::default();
    let sees = Arc::clone(&seen);
    let router = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: String| {
        sees.lock().unwrap().push(signed(addr, &method, &uri, &headers, &body));
        std::future::ready(match uri.path() {
            _ if method == Method::POST => (StatusCode::BAD_REQUEST, ""),
            path if path.ends_with("hostedzonesbyname") => (
                StatusCode::OK,
                "<R><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>tee.test.</Name></HostedZone></HostedZones></R>",
            ),
            _ => (StatusCode::OK, "<R><ResourceRecordSets></ResourceRecordSets></R>"),
        })
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    // The value has what XML and a canonical request each write in their own way.
    let caa = vec![property(128, "issue", "ca.test; accounturi=https://ca.test/1?a=b&c=%20+ \"<>")];
    let changes =
        [Change::AddCaa(name(ZONE), caa), Change::AddChallenge(name("app.tee.test"), "one".to_owned())];
    zone_at(addr, ZONE, None).apply(&changes).await.unwrap_err();

    let mut child = python
        .args(["-c", BOTOCORE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let (asked, borne): (Vec<_>, Vec<_>) = seen.lock().unwrap().drain(..).unzip();
    let mut input = child.stdin.take().unwrap();
    for request in &asked {
        writeln!(input, "{request}").unwrap();
    }
    drop(input);
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(said.lines().collect::<Vec<_>>(), borne);
    let methods: Vec<_> = asked.iter().map(|request| request["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["GET", "GET", "GET", "POST"]);
}
