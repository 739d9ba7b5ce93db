// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A name server that shows what was published through [`super::cloudflare_api`].

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::future::BoxFuture;
use hickory_proto::{
    op::Message,
    rr::{
        Name, RData, Record,
        rdata::{A, CAA, NS, TXT},
    },
};
use mandate_runtime::{
    Ambient, Net,
    net::{Listener, Stream, free_port},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::{
    ZONE,
    cloudflare_api::{Row, Shared},
};

/// Answers over TCP and UDP.
pub(crate) async fn start(book: Shared) -> SocketAddr {
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let listener = TcpListener::bind(addr).await.unwrap();
    let socket = UdpSocket::bind(addr).await.unwrap();
    let same = Arc::clone(&book);
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut question).await {
            let _ = socket.send_to(&answer(&question[..n], &same), from).await;
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = converse(&mut stream, &book).await;
        }
    });
    addr
}

async fn converse(stream: &mut TcpStream, book: &Shared) -> io::Result<()> {
    let mut question = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut question).await?;
    let answer = answer(&question, book);
    let framed = [u16::try_from(answer.len()).unwrap().to_be_bytes().as_slice(), &answer].concat();
    stream.write_all(&framed).await
}

fn answer(question: &[u8], book: &Shared) -> Vec<u8> {
    let message = Message::from_vec(question).unwrap();
    let asked = message.queries[0].clone();
    let mut answer = Message::response(message.id, message.op_code);
    answer.metadata.authoritative = true;
    answer.add_query(asked.clone());
    let name = asked.name().to_ascii().trim_end_matches('.').to_owned();
    let rows: Vec<Row> = book.lock().unwrap().rows.iter().filter(|row| row.name == name).cloned().collect();
    let mut data: Vec<RData> = rows.iter().map(data_of).collect();
    match name.as_str() {
        ZONE => data.push(RData::NS(NS(Name::from_ascii("ns.tee.test.").unwrap()))),
        "ns.tee.test" => data.push(RData::A(A::new(127, 0, 0, 1))),
        _ => {}
    }
    for data in data.into_iter().filter(|data| data.record_type() == asked.query_type()) {
        answer.add_answer(Record::from_rdata(asked.name().clone(), 1, data));
    }
    answer.to_vec().unwrap()
}

fn data_of(row: &Row) -> RData {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    match row.kind.as_str() {
        "CAA" => {
            let data = &row.body["data"];
            let mut caa = CAA::new_issue(data["flags"] == 128, None, Vec::new());
            caa.tag = text(&data["tag"]);
            caa.value = text(&data["value"]).into_bytes();
            RData::CAA(caa)
        }
        "TXT" => RData::TXT(TXT::new(vec![text(&row.body["content"]).trim_matches('"').to_owned()])),
        other => panic!("{other}"),
    }
}

/// The system's network, on which port 53 of this machine is where the name server is.
#[derive(Debug)]
struct Redirected(Arc<dyn Net>, u16);

pub(crate) fn with_port_53(server: SocketAddr) -> Ambient {
    let ambient = Ambient::system();
    Ambient { net: Arc::new(Redirected(Arc::clone(&ambient.net), server.port())), ..ambient }
}

impl Net for Redirected {
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Listener>> {
        self.0.listen(addr)
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        self.0.connect(host, if port == 53 { self.1 } else { port })
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.0.resolve(host, port)
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        self.0.is_own(ip)
    }
}
