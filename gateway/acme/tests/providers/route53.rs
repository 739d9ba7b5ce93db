// SPDX-License-Identifier: Apache-2.0 OR MIT
//! CAA and challenges in a hosted zone of moto, a mock of Amazon's services that we did not write, where it is installed.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use mandate_acme::dns::{AccessKey, Change, DnsError, Endpoint, HostedZone, Route53, Zone};
use mandate_runtime::Ambient;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{ZONE, name, property};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/moto/bin/moto_server");
const CREATE: &str = "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
    <Name>tee.test</Name><CallerReference>1</CallerReference></CreateHostedZoneRequest>";

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
        if !Path::new(PROGRAM).is_file() {
            eprintln!("moto is not installed: script/test does it");
            return None;
        }
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(PROGRAM);
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
        let endpoint = Some(Endpoint::try_from(format!("http://{}", self.addr)).unwrap());
        let propagation = Duration::from_secs(20);
        let hosted = HostedZone { id, region: "us-east-1".to_owned(), endpoint, propagation };
        let key = AccessKey::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap();
        Route53::new(name(origin), Vec::new(), key, hosted, &Ambient::system()).unwrap()
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
