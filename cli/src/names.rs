// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The contracts' enums by name. The ABI knows which enum a number is of, but not what its variants are called.

use alloy::{
    json_abi::{InternalType, Param},
    primitives::U256,
};

/// Enum name → variants in their order, as `contracts/types/Boot.sol` and the interfaces declare them.
const ENUMS: [(&str, &[&str]); 11] = [
    ("Verdict", &["Denied", "Allowed"]),
    ("VersionState", &["None", "Scheduled", "Active", "Retiring", "Retired", "Revoked"]),
    ("TeeKind", &["None", "Tdx", "Snp", "Nitro"]),
    (
        "TcbStatus",
        &[
            "None",
            "UpToDate",
            "SWHardeningNeeded",
            "ConfigurationNeeded",
            "ConfigurationAndSWHardeningNeeded",
            "OutOfDate",
            "OutOfDateConfigurationNeeded",
        ],
    ),
    (
        "Reason",
        &[
            "Allowed",
            "AppNotRegistered",
            "AppSuspended",
            "AppPaused",
            "OsImageUnknown",
            "OsImageScheduled",
            "OsImageRetired",
            "OsImageRevoked",
            "CodeUnknown",
            "CodeScheduled",
            "CodeRetired",
            "CodeRevoked",
            "DeviceUnknown",
            "DeviceDenied",
            "TeeNotAllowed",
            "TcbTooLow",
            "GenerationRetired",
            "ForeignAppRefused",
            "NotSystemApp",
            "ConditionNotMet",
            "AdvisoryDenied",
            "TicketNotAllowed",
            "AppSunset",
        ],
    ),
    (
        "ProposalState",
        &["Pending", "Active", "Canceled", "Defeated", "Succeeded", "Queued", "Expired", "Executed"],
    ),
    ("CeremonyKind", &["None", "Genesis", "Refresh", "Reshare", "Rotate"]),
    ("CeremonyState", &["None", "Dealing", "Confirming", "Finished", "Aborted"]),
    ("MotionState", &["None", "Open", "Passed", "Executed", "Expired"]),
    ("Preset", &["Demo", "Standard", "Cautious"]),
    ("IncidentState", &["None", "Open", "Closed"]),
];

/// The variants of the enum called `kind`.
pub(crate) fn variants(kind: &str) -> Option<&'static [&'static str]> {
    ENUMS.iter().find(|(name, _)| *name == kind).map(|(_, variants)| *variants)
}

/// The name of variant `number` of the enum called `kind`; newer contracts may have more than this build knows.
pub(crate) fn variant(kind: &str, number: u8) -> String {
    let known = variants(kind).and_then(|names| names.get(usize::from(number)));
    known.map_or_else(|| format!("unknown ({number})"), |name| (*name).to_owned())
}

/// The enum that `param`, or each element of it, is of.
pub(crate) fn enum_of(param: &Param) -> Option<&str> {
    match param.internal_type.as_ref()? {
        InternalType::Enum { ty, .. } => Some(ty.split('[').next().unwrap_or(ty)),
        _ => None,
    }
}

/// The name of `number` when `param` is of an enum.
pub(crate) fn enum_name(param: &Param, number: U256) -> Option<String> {
    let kind = enum_of(param)?;
    Some(u8::try_from(number).map_or_else(|_| format!("unknown ({number})"), |n| variant(kind, n)))
}

/// The number of the variant that `text` names, whatever its case and hyphens (`up-to-date`, `UpToDate`).
pub(crate) fn number(kind: &str, text: &str) -> Option<usize> {
    let plain = |s: &str| s.replace('-', "").to_lowercase();
    variants(kind)?.iter().position(|name| plain(name) == plain(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::json_abi::Function;
    use mandate_model::abi;

    /// Every enum that an ABI mentions has its names here.
    #[test]
    fn every_enum_of_the_contracts_is_known() {
        for contract in abi::NAMES {
            let abi = abi::of(contract).unwrap();
            let params = |f: &Function| f.inputs.iter().chain(&f.outputs).cloned().collect::<Vec<_>>();
            for param in abi.functions().flat_map(params) {
                if let Some(kind) = enum_of(&param) {
                    assert!(variants(kind).is_some(), "{contract}: {kind}");
                }
            }
        }
    }

    /// The names are those of the Solidity source, in its order.
    #[test]
    fn names_are_those_of_the_source() {
        let sources = [
            include_str!("../../contracts/types/Boot.sol"),
            include_str!("../../contracts/interfaces/IKmsCommittee.sol"),
            include_str!("../../contracts/interfaces/IRoleCouncil.sol"),
            include_str!("../../contracts/interfaces/IGovernanceFactory.sol"),
            include_str!("../../contracts/interfaces/IDomainRegistry.sol"),
        ]
        .concat();
        for (kind, names) in ENUMS.iter().filter(|(kind, _)| *kind != "ProposalState") {
            let (_, body) = sources.split_once(&format!("enum {kind} {{")).unwrap();
            let (body, _) = body.split_once('}').unwrap();
            let declared: Vec<_> = body.split(',').map(str::trim).collect();
            assert_eq!(&declared, names, "{kind}");
        }
    }

    #[test]
    fn variant_is_found_by_flag_or_source_name() {
        assert_eq!(number("TcbStatus", "sw-hardening-needed"), Some(2));
        assert_eq!(number("TeeKind", "Tdx"), Some(1));
        assert_eq!(number("TeeKind", "sgx"), None);
        assert_eq!(variant("TeeKind", 9), "unknown (9)");
    }
}
