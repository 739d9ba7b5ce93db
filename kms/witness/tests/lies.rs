// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A provider that lies in any one place of any one answer: nothing comes of it, or the very same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{collections::HashMap, sync::Mutex};

use alloy::primitives::{Bytes, U256};
use common::{CHAIN_ID, Node, World, call, contract, state_among};
use mandate_witness::{
    ChainSpec, Endpoint, HeaderSource, Quorum, QuorumTimes, ViewCall, Witness, build, execute,
};
use serde_json::{Value, json};

/// Where in a JSON value.
type Path = Vec<Step>;

#[derive(Debug, Clone)]
enum Step {
    Field(String),
    Item(usize),
}

/// Every value in `value`, itself included.
fn paths(value: &Value) -> Vec<Path> {
    let mut all = vec![Vec::new()];
    let below: Vec<(Step, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| (Step::Field(k.clone()), v)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (Step::Item(i), v)).collect(),
        _ => Vec::new(),
    };
    for (step, inner) in below {
        all.extend(paths(inner).into_iter().map(|path| [vec![step.clone()], path].concat()));
    }
    all
}

fn at<'a>(value: &'a mut Value, path: &[Step]) -> &'a mut Value {
    path.iter().fold(value, |value, step| match step {
        Step::Field(name) => &mut value[name],
        Step::Item(index) => &mut value[index],
    })
}

/// What a liar could say instead.
fn lies(truth: &Value) -> Vec<Value> {
    let mut lies = vec![Value::Null, json!("0x"), json!("0x1"), json!([]), json!({}), json!(7)];
    match truth {
        Value::String(text) if text.starts_with("0x") && text.len() > 2 => {
            for place in [2, text.len() / 2, text.len() - 1] {
                let mut digits: Vec<char> = text.chars().collect();
                digits[place] = if digits[place] == '1' { '2' } else { '1' };
                lies.push(json!(digits.into_iter().collect::<String>()));
            }
            lies.push(json!(format!("{text}00")));
            lies.push(json!(text[..text.len() - 1]));
            lies.push(json!(format!("0x{}", "0".repeat(text.len() - 2))));
        }
        Value::Array(items) if !items.is_empty() => {
            lies.push(json!(items[1..]));
            lies.push(json!(items[..items.len() - 1]));
            lies.push(Value::Array([items.clone(), items.clone()].concat()));
            lies.push(Value::Array(items.iter().rev().cloned().collect()));
        }
        Value::Object(map) => {
            for name in map.keys() {
                let mut less = map.clone();
                less.remove(name);
                lies.push(Value::Object(less));
            }
        }
        _ => {}
    }
    lies.retain(|lie| lie != truth);
    lies
}

/// One answer of many: the n-th to a method.
type Place = (String, usize);

/// Has `node` change its n-th answer to a method.
fn lie_at(node: &Node, place: &Place, path: &Path, lie: &Value) {
    let (place, path, lie) = (place.clone(), path.clone(), lie.clone());
    let counts: Mutex<HashMap<String, usize>> = Mutex::default();
    node.lie(move |method, answer| {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(method.to_owned()).or_default();
        if (method, *count) == (place.0.as_str(), place.1) {
            *at(answer, &path) = lie.clone();
        }
        *count += 1;
    });
}

/// The honest answers of what `run` asks, by their place.
fn answers(node: &Node, run: impl FnOnce()) -> Vec<(Place, Value)> {
    let told: std::sync::Arc<Mutex<Vec<(Place, Value)>>> = Default::default();
    let (tells, counts): (_, Mutex<HashMap<String, usize>>) = (told.clone(), Mutex::default());
    node.lie(move |method, answer| {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(method.to_owned()).or_default();
        tells.lock().unwrap().push(((method.to_owned(), *count), answer.clone()));
        *count += 1;
    });
    run();
    let told = told.lock().unwrap();
    told.clone()
}

fn attempt(node: &Node, call: &ViewCall) -> Option<Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (spec, mut block) = (ChainSpec::dev(CHAIN_ID), None);
    node.update(|world| block = Some(world.head().at()));
    let block = block.unwrap();
    let witness = runtime.block_on(build(&node.provider(), &spec, block.hash, call)).ok()?;
    let witness = Witness::decode(&witness.encode()).ok()?;
    execute(&witness, block, &spec, call).ok()
}

#[test]
fn g5_no_lie_in_any_field_of_any_answer_changes_a_decision() {
    let node = Node::new(World::new(state_among(20)));
    let mut tried = 0;
    for call in [call(contract(3), U256::from(5)), call(contract(2), U256::from(9))] {
        let honest = attempt(&node, &call).unwrap();
        let told = answers(&node, || assert!(attempt(&node, &call).is_some()));
        assert!(told.iter().any(|((method, _), _)| method == "eth_getProof"));
        for (place, answer) in &told {
            for path in paths(answer) {
                for lie in lies(at(&mut answer.clone(), &path)) {
                    lie_at(&node, place, &path, &lie);
                    let got = attempt(&node, &call);
                    assert!(
                        got.is_none() || got.as_ref() == Some(&honest),
                        "{place:?} {path:?} {lie}: {got:?}"
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1000, "only {tried} lies");
}

#[test]
fn g5_no_lie_in_any_field_of_a_header_moves_a_quorum_elsewhere() {
    let mut world = World::new(state_among(3));
    world.grow(5);
    let node = Node::new(world);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let ask = |node: &Node| {
        let endpoint = Endpoint { name: "rpc".into(), provider: node.provider() };
        let quorum = Quorum::new(CHAIN_ID, 1, vec![endpoint]).unwrap().with_times(QuorumTimes::default());
        runtime.block_on(quorum.finalized()).ok()
    };
    let honest = ask(&node).unwrap();
    let told = answers(&node, || assert!(ask(&node).is_some()));
    for (place, answer) in &told {
        for path in paths(answer) {
            for lie in lies(at(&mut answer.clone(), &path)) {
                lie_at(&node, place, &path, &lie);
                let got = ask(&node);
                assert!(got.is_none_or(|got| got == honest), "{place:?} {path:?} {lie}: {got:?}");
            }
        }
    }
}
