// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate query CONTRACT.function ARGS…`: any view of any contract, at one block.

use alloy::{
    dyn_abi::{DynSolType, DynSolValue, FunctionExt, JsonAbiExt, Specifier},
    json_abi::{Function, JsonAbi, Param, StateMutability},
    primitives::{Address, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
    transports::TransportError,
};
use mandate_model::{abi, deployment::Deployment};

use crate::{
    args::QueryArgs,
    connection,
    context::Context,
    error::{CliError, Result},
    names, revert, value,
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
    let output = provider.call(request).block(args.block.into()).await.map_err(|e| refusal(contract, &e))?;
    if output.is_empty() && !function.outputs.is_empty() {
        let text = format!(
            "{to} answers nothing: no {contract} there at block {}; another block may have it, e.g. --block latest",
            args.block
        );
        return Err(CliError::data(text));
    }
    let values = function
        .abi_decode_output(&output)
        .map_err(|e| CliError::data(format!("{to} does not answer as {contract}: {e}")))?;
    context.print_named(&provider, &function.name, &value::outputs(&function.outputs, &values)).await
}

fn refusal(contract: &str, error: &TransportError) -> CliError {
    let data = error.as_error_resp().and_then(|response| response.as_revert_data());
    match data {
        Some(data) => CliError::refused(format!("the contract refuses: {}", revert::reason(contract, &data))),
        None => connection::failed(error),
    }
}

fn known_contracts() -> String {
    format!("contracts are {}", abi::NAMES.join(", "))
}

fn select<'a>(abi: &'a JsonAbi, contract: &str, name: &str, arguments: usize) -> Result<&'a Function> {
    let views = || {
        abi.functions()
            .filter(|f| matches!(f.state_mutability, StateMutability::View | StateMutability::Pure))
    };
    let fits = |f: &&Function| f.inputs.len() == arguments && (f.name == name || f.signature() == name);
    let mut found = views().filter(fits);
    match (found.next(), found.next()) {
        (Some(function), None) => Ok(function),
        (Some(one), Some(other)) => Err(CliError::data(format!(
            "{contract}.{name} is overloaded: give its full signature, {} or {}",
            one.signature(),
            other.signature()
        ))),
        (None, _) => {
            let same_name: Vec<_> =
                views().filter(|f| f.name == name || f.signature() == name).map(described).collect();
            let hint = if same_name.is_empty() {
                let names: Vec<_> = views().map(|f| f.name.as_str()).collect();
                format!("its views are {}", names.join(", "))
            } else {
                format!("it is {}", same_name.join(" or "))
            };
            Err(CliError::data(format!("{contract} has no view {name} with {arguments} arguments; {hint}")))
        }
    }
}

/// The signature with the names of its arguments, where it has some.
fn described(function: &Function) -> String {
    let inputs: Vec<_> = function
        .inputs
        .iter()
        .map(|p| format!("{} {}", p.selector_type(), p.name).trim().to_owned())
        .collect();
    format!("{}({})", function.name, inputs.join(", "))
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

/// `text` as `param`'s type; an enum may be given by name.
fn coerce(param: &Param, text: &str) -> Result<DynSolValue> {
    if let Some(number) = names::enum_of(param).and_then(|kind| names::number(kind, text)) {
        return Ok(DynSolValue::Uint(U256::from(number), 8));
    }
    let name = if param.name.is_empty() { "argument" } else { &param.name };
    let kind: DynSolType = param
        .resolve()
        .map_err(|e| CliError::data(format!("{name}: type {} is not understood: {e}", param.ty)))?;
    kind.coerce_str(text).map_err(|_| {
        let choices = names::enum_of(param).and_then(names::variants);
        let choices = choices.map(|c| format!(": one of {}", c.join(", "))).unwrap_or_default();
        CliError::data(format!("{name}: {text:?} is no {}{choices}", param.selector_type()))
    })
}

fn address(contract: &str, at: Option<Address>, deployment: &Deployment) -> Result<Address> {
    let configured = match contract {
        "KmsAuth" => Some(deployment.kms_auth),
        "KmsCommittee" => Some(deployment.committee),
        "DomainRegistry" => Some(deployment.domain_registry),
        "RoleCouncil" => Some(deployment.role_council),
        _ => None,
    };
    let missing =
        || CliError::data(format!("which {contract}? the config file names none: give --at ADDRESS"));
    at.or(configured).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_is_found_by_name_and_argument_count() {
        let abi = abi::of("AppAuth").unwrap();
        assert_eq!(select(&abi, "AppAuth", "codeState", 1).unwrap().name, "codeState");
        let error = select(&abi, "AppAuth", "codeState", 0).unwrap_err().to_string();
        assert!(error.contains("codeState(bytes32 codeHash)"), "{error}");
        let error = select(&abi, "AppAuth", "scheduleCode", 4).unwrap_err().to_string();
        assert!(error.contains("no view scheduleCode"), "{error}");
    }

    #[test]
    fn overload_is_chosen_by_signature() {
        let abi = JsonAbi::parse(["function f(uint256) view", "function f(address) view"]).unwrap();
        let error = select(&abi, "X", "f", 1).unwrap_err().to_string();
        assert!(
            error.contains("f(uint256) or f(address)") || error.contains("f(address) or f(uint256)"),
            "{error}"
        );
        assert_eq!(select(&abi, "X", "f(address)", 1).unwrap().signature(), "f(address)");
        assert!(select(&abi, "X", "f(address)", 2).is_err());
    }

    #[test]
    fn argument_is_refused_when_it_is_of_another_type() {
        let abi = abi::of("AppAuth").unwrap();
        let function = select(&abi, "AppAuth", "codeState", 1).unwrap();
        let error = encode(function, &["0x12".into()]).unwrap_err();
        assert_eq!(error.code, crate::error::Code::Data);
        assert_eq!(error.message, "codeHash: \"0x12\" is no bytes32");
    }

    #[test]
    fn enum_argument_is_taken_by_name() {
        let abi = abi::of("AppAuth").unwrap();
        let function = select(&abi, "AppAuth", "isTeeAllowed", 1).unwrap();
        assert_eq!(encode(function, &["tdx".into()]).unwrap(), encode(function, &["1".into()]).unwrap());
        let error = encode(function, &["sgx".into()]).unwrap_err().to_string();
        assert!(error.contains("one of None, Tdx, Snp, Nitro"), "{error}");
    }
}
