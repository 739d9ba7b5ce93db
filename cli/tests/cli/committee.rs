// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the committee's owner does from a shell. The owner is a council, so most of it is calls for its motions.

use std::net::Ipv4Addr;

use alloy::{
    hex,
    primitives::{Address, B256},
    sol_types::SolCall,
};
use axum::{Json, Router, routing::get};
use mandate_model::{bindings::KmsCommittee, wire::kms::NodeStatus};

use crate::shell::{Ran, Shell};

/// The call that a successful run printed, for the committee.
fn call<C: SolCall>(ran: &Ran, committee: &str) -> C {
    assert_eq!(ran.code, 0, "{ran:?}");
    let (target, data) = ran.stdout.trim().split_once(':').unwrap();
    assert_eq!(target.to_lowercase(), committee.to_lowercase());
    C::abi_decode(&hex::decode(data).unwrap()).unwrap()
}

async fn node(status: NodeStatus) -> String {
    let router = Router::new().route("/v1/node", get(move || async move { Json(status) }));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_gets_calls_for_a_motion_and_nobody_else_is_let_through() {
    let shell = Shell::deployed().await;
    let shown = shell.json(1, "committee show").await;
    let committee = shown["committee"].as_str().unwrap().to_owned();
    assert_eq!((&shown["attestationPeriod"], &shown["replicatedFrom"]), (&0.into(), &0.into()), "{shown}");

    let status = NodeStatus {
        node: Address::repeat_byte(7),
        dealing_key: B256::repeat_byte(8),
        sealing_key: B256::repeat_byte(9),
        ..NodeStatus::default()
    };
    let url = node(status).await;
    let operator = shell.chain.accounts()[4];
    let ran =
        shell.run(1, &format!("committee admit {url}/ --operator {operator} --for 1year --calldata")).await;
    let admitted = call::<KmsCommittee::admitNodeCall>(&ran, &committee).node_;
    assert_eq!((admitted.nodeKey, admitted.operator, admitted.url), (Address::repeat_byte(7), operator, url));
    assert_eq!((admitted.dealingKey, admitted.sealingKey), (B256::repeat_byte(8), B256::repeat_byte(9)));
    assert!(ran.stderr.contains("mandate-kms --keys"), "{ran:?}");

    let ran = shell.run(1, "committee open reshare --deal 1h --confirm 2h --calldata").await;
    let opened = call::<KmsCommittee::openCeremonyCall>(&ran, &committee);
    assert_eq!(
        (opened.kind, opened.dealWindow.to::<u64>(), opened.confirmWindow.to::<u64>()),
        (3, 3_600, 7_200)
    );
    let ran = shell.run(1, "committee demand-attestation --grace 10m --calldata").await;
    assert_eq!(call::<KmsCommittee::demandAttestationCall>(&ran, &committee).grace.to::<u64>(), 600);
    let ran = shell.run(1, "committee replicate on --calldata").await;
    assert!(call::<KmsCommittee::setReplicationCall>(&ran, &committee).replicated);
    assert!(ran.stderr.contains("knows every app's secret"), "{ran:?}");
    let ran = shell.run(1, "committee replicate off --calldata").await;
    assert!(!call::<KmsCommittee::setReplicationCall>(&ran, &committee).replicated);
    assert_eq!(ran.stderr, "");

    let refused = shell.run(1, "committee open genesis").await;
    assert!(refused.error(1).contains("NotAuthorized"), "{refused:?}");
    let refused = shell.run(1, &format!("committee evict {}", Address::repeat_byte(7))).await;
    assert!(refused.error(1).contains("UnknownNode"), "{refused:?}");
    let refused = shell.run(1, &format!("committee admit http://127.0.0.1:1 --operator {operator}")).await;
    refused.error(69);
}
