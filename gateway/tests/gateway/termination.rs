// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names under the base domain whose TLS the gateway ends, and its own pages.

use std::sync::Arc;

use rustls::{AlertDescription, ClientConfig, RootCertStore, version::TLS12};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    instance::Instance,
    world::{APP, BASE, DOMAIN, OTHER_APP, World, alert, greeting},
};

fn id() -> String {
    hex::encode(APP)
}

#[tokio::test]
async fn id_without_suffix_stands_for_http_1_and_g_for_http_2() {
    let world = World::start_whole(|_, _| {}).await;
    let instance = Instance::start_with("one", &[b"h2", b"http/1.1"]).await;
    world.register(APP, &instance).await;
    let (plain, grpc) = (format!("{}.{BASE}", id()), format!("{}g.{BASE}", id()));
    for (name, offered, chosen) in [
        (&plain, vec![b"h2".as_slice(), b"http/1.1"], Some(b"http/1.1".as_slice())),
        (&plain, vec![], None),
        (&grpc, vec![b"h2"], Some(b"h2")),
    ] {
        let mut stream = world.browse(name, &offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        assert_eq!(greeting(&mut stream).await, "one");
    }
    for (name, offered) in [
        (&plain, vec![b"h2".as_slice()]),
        (&grpc, vec![b"http/1.1"]),
        (&grpc, vec![]),
        // What browsers offer, who would use the connection for other apps' names.
        (&grpc, vec![b"h2", b"http/1.1"]),
    ] {
        let refused = alert(world.browse(name, &offered).await);
        assert_eq!(refused, AlertDescription::NoApplicationProtocol, "{name} {offered:?}");
    }
}

/// A browser would use an HTTP/2 connection to the gateway's pages for every app below its name.
#[tokio::test]
async fn gateways_own_pages_are_not_for_http_2() {
    let world = World::start_whole(|_, _| {}).await;
    let stream = world.browse(BASE, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert_eq!(alert(world.browse(BASE, &[b"h2"]).await), AlertDescription::NoApplicationProtocol);
}

/// Anybody may offer what no app speaks; an instance that refuses that is as good as before.
#[tokio::test]
async fn attack_client_that_offers_unknown_protocols_does_not_make_an_instance_look_failing() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    let refused = alert(world.browse(DOMAIN, &[b"unheard-of"]).await);
    assert_eq!(refused, AlertDescription::NoApplicationProtocol);
    assert!(world.routes().await.iter().all(|route| !route.failing));
}

#[tokio::test]
async fn g1_id_whose_tls_the_gateway_ends_leads_to_registered_instances_and_ports_alone() {
    let (world, instance) = (World::start_whole(|_, _| {}).await, Instance::start("one").await);
    world.register(APP, &instance).await;
    let port = instance.addr.port();
    let mut stream = world.browse(&format!("{}-{port}.{BASE}", id()), &[]).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "one");
    for nowhere in [format!("{}-22.{BASE}", id()), format!("{}.{BASE}", hex::encode(OTHER_APP))] {
        assert_eq!(alert(world.browse(&nowhere, &[]).await), AlertDescription::UnrecognisedName);
    }
}

#[tokio::test]
async fn attack_upstream_with_another_key_is_refused_for_ids_too() {
    let world = World::start_whole(|_, _| {}).await;
    let (genuine, impostor) = (Instance::start("genuine").await, Instance::start("impostor").await);
    world.send(&world.request(APP, &genuine.spki, &impostor.upstream())).await.unwrap();
    let refused = alert(world.browse(&format!("{}.{BASE}", id()), &[]).await);
    assert_eq!(refused, AlertDescription::InternalError);
}

#[tokio::test]
async fn connections_that_resume_a_session_with_an_instance_still_reach_it() {
    let (world, instance) = (World::start_whole(|_, _| {}).await, Instance::start("one").await);
    world.register(APP, &instance).await;
    for _ in 0..3 {
        let mut stream = world.browse(&format!("{}.{BASE}", id()), &[]).await.unwrap();
        assert_eq!(greeting(&mut stream).await, "one");
        stream.write_all(b"ping").await.unwrap();
        let mut pong = [0; 4];
        stream.read_exact(&mut pong).await.unwrap();
    }
    assert!(instance.resumed() > 0, "no session was resumed");
}

#[tokio::test]
async fn clients_with_tls_1_2_are_served() {
    let (world, instance) = (World::start_whole(|_, _| {}).await, Instance::start("one").await);
    world.register(APP, &instance).await;
    let mut roots = RootCertStore::empty();
    roots.add(world.ca.root()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS12]).unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(world.gateway.tls_addr).await.unwrap();
    let name = ServerName::try_from(format!("{}.{BASE}", id())).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "one");
}

async fn get(world: &World, name: &str, path: &str) -> String {
    let mut stream = world.browse(name, &[b"http/1.1"]).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let n = stream.read(&mut answer).await.unwrap();
    String::from_utf8(answer[..n].to_vec()).unwrap()
}

#[tokio::test]
async fn two_paths_of_every_name_are_the_gateways_own_and_the_rest_is_the_apps() {
    let (world, app) = (World::start_whole(|_, _| {}).await, Instance::echo().await);
    world.register(APP, &app).await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    let answer = get(&world, DOMAIN, "/.well-known/mandate/nothing").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = get(&world, BASE, "/.dstack/nothing").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    for path in ["/", "/.well-known/mandat", "/x/.well-known/mandate/nothing"] {
        assert!(get(&world, DOMAIN, path).await.starts_with(&format!("GET {path} ")), "{path}");
    }
}
