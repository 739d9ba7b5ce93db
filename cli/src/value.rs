// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What contracts answer, as JSON: structs as objects by field name, enums by name.

use alloy::{dyn_abi::DynSolValue, json_abi::Param};
use serde_json::{Map, Value, json};

use crate::names;

/// One output stands alone; several are an object by name, or by position where they have none.
pub(crate) fn outputs(params: &[Param], values: &[DynSolValue]) -> Value {
    match (params, values) {
        ([param], [value]) => render(param, value),
        _ => Value::Object(named(params, values)),
    }
}

/// `values` by the names of `params`.
pub(crate) fn named(params: &[Param], values: &[DynSolValue]) -> Map<String, Value> {
    let name = |i: usize, p: &Param| if p.name.is_empty() { i.to_string() } else { p.name.clone() };
    params.iter().zip(values).enumerate().map(|(i, (p, v))| (name(i, p), render(p, v))).collect()
}

fn render(param: &Param, value: &DynSolValue) -> Value {
    match value {
        DynSolValue::Bool(b) => json!(b),
        DynSolValue::Uint(n, _) => names::enum_name(param, *n).map_or_else(|| number(*n), Value::from),
        DynSolValue::Int(n, _) => json!(n.to_string()),
        DynSolValue::Address(a) => json!(a),
        DynSolValue::FixedBytes(word, size) => {
            json!(format!("0x{}", hex::encode(word.get(..*size).unwrap_or_default())))
        }
        DynSolValue::Bytes(bytes) => json!(format!("0x{}", hex::encode(bytes))),
        DynSolValue::String(s) => json!(s),
        DynSolValue::Array(items) | DynSolValue::FixedArray(items) => {
            items.iter().map(|v| render(param, v)).collect()
        }
        DynSolValue::Tuple(items) => Value::Object(named(&param.components, items)),
        other => json!(format!("{other:?}")),
    }
}

/// A JSON number where every reader can hold it, decimal text beyond.
pub(crate) fn number(n: alloy::primitives::U256) -> Value {
    u64::try_from(n).map_or_else(|_| json!(n.to_string()), |n| json!(n))
}
