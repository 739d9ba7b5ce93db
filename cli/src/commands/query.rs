// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate query CONTRACT.function ARGS…`: any view of any contract, at one block.

use alloy::{
    dyn_abi::{DynSolType, DynSolValue, FunctionExt, JsonAbiExt, Specifier},
    json_abi::{Function, JsonAbi, Param, StateMutability},
    primitives::Address,
    providers::Provider,
    rpc::types::TransactionRequest,
};
use mandate_model::{abi, deployment::Deployment};
use serde_json::{Map, Value, json};

use crate::{
    args::QueryArgs,
    context::Context,
    error::{CliError, Result},
};

pub(crate) async fn run(context: &Context<'_>, args: &QueryArgs) -> Result<()> {
    // What can be checked without a connection is checked first.
    let (contract, function_name) = args.view.split_once('.').ok_or_else(|| {
        CliError::data(format!("{:?} is not CONTRACT.function; {}", args.view, known_contracts()))
    })?;
    let abi = abi::of(contract)
        .ok_or_else(|| CliError::data(format!("no contract {contract:?}; {}", known_contracts())))?;
    let function = select(&abi, contract, function_name, args.arguments.len())?;
    let data = encode(function, &args.arguments)?;

    let (provider, deployment) = context.reader().await?;
    let to = address(contract, args.at, &deployment)?;
    let request = TransactionRequest::default().to(to).input(data.into());
    let output =
        provider.call(request).block(args.block.into()).await.map_err(|e| match e.as_error_resp() {
            Some(response) => CliError::refused(format!("{} at {to}: {response}", args.view)),
            None => CliError::unavailable(e),
        })?;
    if output.is_empty() && !function.outputs.is_empty() {
        return Err(CliError::data(format!("{to} answers nothing: is a {contract} there at that block?")));
    }
    let values = function
        .abi_decode_output(&output)
        .map_err(|e| CliError::data(format!("{to} does not answer as {contract}: {e}")))?;
    context.print(&decoded(&function.outputs, &values))
}

fn known_contracts() -> String {
    format!("contracts are {}", abi::NAMES.join(", "))
}

fn select<'a>(abi: &'a JsonAbi, contract: &str, name: &str, arguments: usize) -> Result<&'a Function> {
    let views = || {
        abi.functions()
            .filter(|f| matches!(f.state_mutability, StateMutability::View | StateMutability::Pure))
    };
    let mut found =
        views().filter(|f| f.name == name && f.inputs.len() == arguments || f.signature() == name);
    match (found.next(), found.next()) {
        (Some(function), None) => Ok(function),
        (Some(_), Some(_)) => {
            Err(CliError::data(format!("{contract}.{name} is overloaded: give its full signature")))
        }
        (None, _) => {
            let same_name: Vec<_> = views().filter(|f| f.name == name).map(Function::signature).collect();
            let hint = if same_name.is_empty() {
                let names: Vec<_> = views().map(|f| f.name.as_str()).collect();
                format!("its views are {}", names.join(", "))
            } else {
                format!("it takes {}", same_name.join(" or "))
            };
            Err(CliError::data(format!("{contract} has no view {name} with {arguments} arguments; {hint}")))
        }
    }
}

fn encode(function: &Function, arguments: &[String]) -> Result<Vec<u8>> {
    let values = function
        .inputs
        .iter()
        .zip(arguments)
        .map(|(param, text)| coerce(param, text))
        .collect::<Result<Vec<_>>>()?;
    function.abi_encode_input(&values).map_err(|e| CliError::data(format!("{}: {e}", function.signature())))
}

fn coerce(param: &Param, text: &str) -> Result<DynSolValue> {
    let malformed = |e: alloy::dyn_abi::Error| CliError::data(format!("{} ({}): {e}", param.name, param.ty));
    let kind: DynSolType = param.resolve().map_err(malformed)?;
    kind.coerce_str(text).map_err(malformed)
}

fn address(contract: &str, at: Option<Address>, deployment: &Deployment) -> Result<Address> {
    let configured = match contract {
        "KmsAuth" => Some(deployment.kms_auth),
        "KmsCommittee" => Some(deployment.committee),
        "DomainRegistry" => Some(deployment.domain_registry),
        "RoleCouncil" => Some(deployment.role_council),
        _ => None,
    };
    at.or(configured).ok_or_else(|| CliError::data(format!("which {contract}? give --at ADDRESS")))
}

/// One output stands alone; several are an object by name, or by position where they have none.
fn decoded(params: &[Param], values: &[DynSolValue]) -> Value {
    match (params, values) {
        ([param], [value]) => render(param, value),
        _ => Value::Object(named(params, values)),
    }
}

fn named(params: &[Param], values: &[DynSolValue]) -> Map<String, Value> {
    let name = |i: usize, p: &Param| if p.name.is_empty() { i.to_string() } else { p.name.clone() };
    params.iter().zip(values).enumerate().map(|(i, (p, v))| (name(i, p), render(p, v))).collect()
}

fn render(param: &Param, value: &DynSolValue) -> Value {
    match value {
        DynSolValue::Bool(b) => json!(b),
        DynSolValue::Uint(n, _) => u64::try_from(*n).map_or_else(|_| json!(n.to_string()), |n| json!(n)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_is_found_by_name_and_argument_count() {
        let abi = abi::of("AppAuth").unwrap();
        assert_eq!(select(&abi, "AppAuth", "codeState", 1).unwrap().name, "codeState");
        let error = select(&abi, "AppAuth", "codeState", 0).unwrap_err().to_string();
        assert!(error.contains("codeState(bytes32)"), "{error}");
        let error = select(&abi, "AppAuth", "scheduleCode", 4).unwrap_err().to_string();
        assert!(error.contains("no view scheduleCode"), "{error}");
    }

    #[test]
    fn argument_is_refused_when_it_is_of_another_type() {
        let abi = abi::of("AppAuth").unwrap();
        let function = select(&abi, "AppAuth", "codeState", 1).unwrap();
        let error = encode(function, &["0x12".into()]).unwrap_err();
        assert_eq!(error.code, crate::error::Code::Data);
    }
}
