// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bindings of the contracts, generated from the committed artifacts. Enums are `u8` here.
//!
//! The generator gives every contract its own copy of the structs that it mentions. [`BootRequest`], [`AppBootInfo`],
//! [`AppInit`] and [`Version`] (those of `KmsAuth`) are the canonical ones; the copies of `AppAuth` convert with `From`.

// The generated code has no documentation of its own; `contracts/interfaces` has it.
macro_rules! bindings {
    ($($module:ident: $contract:ident = $file:literal;)*) => {
        $(
            #[allow(missing_docs, unreachable_pub, clippy::all, clippy::indexing_slicing, clippy::unwrap_used)]
            mod $module {
                alloy::sol!(
                    #[sol(rpc, all_derives)]
                    $contract,
                    concat!(env!("OUT_DIR"), $file)
                );
            }
            pub use $module::$contract;
        )*
    };
}

bindings! {
    kms_auth: KmsAuth = "/KmsAuth.json";
    app_auth: AppAuth = "/AppAuth.json";
    kms_committee: KmsCommittee = "/KmsCommittee.json";
    domain_registry: DomainRegistry = "/DomainRegistry.json";
    app_governor: AppGovernor = "/AppGovernor.json";
    role_council: RoleCouncil = "/RoleCouncil.json";
    governance_token: GovernanceToken = "/GovernanceToken.json";
    governance_nft: GovernanceNft = "/GovernanceNft.json";
    governance_factory: GovernanceFactory = "/GovernanceFactory.json";
    rebuild_condition: RebuildCondition = "/RebuildCondition.json";
    receipt_anchor: ReceiptAnchor = "/ReceiptAnchor.json";
}

pub use app_governor::IAppGovernor::Settings as GovernorSettings;
pub use domain_registry::IDomainRegistry::Domain;
pub use kms_auth::{
    IAppPolicy::Init as AppInit,
    KmsAuth::{AppBootInfo, BootRequest, Version},
};
pub use kms_committee::IKmsCommittee::{Ceremony, Epoch, Node, Vouch};
pub use role_council::IRoleCouncil::{Call, Role};

impl From<AppBootInfo> for AppAuth::AppBootInfo {
    fn from(info: AppBootInfo) -> Self {
        Self {
            appId: info.appId,
            composeHash: info.composeHash,
            instanceId: info.instanceId,
            deviceId: info.deviceId,
            mrAggregated: info.mrAggregated,
            mrSystem: info.mrSystem,
            osImageHash: info.osImageHash,
            tcbStatus: info.tcbStatus,
            advisoryIds: info.advisoryIds,
        }
    }
}

impl From<BootRequest> for AppAuth::BootRequest {
    fn from(request: BootRequest) -> Self {
        Self {
            info: request.info.into(),
            tee: request.tee,
            generation: request.generation,
            ticket: request.ticket,
        }
    }
}

impl From<AppInit> for app_auth::IAppPolicy::Init {
    fn from(init: AppInit) -> Self {
        Self {
            owner: init.owner,
            guardian: init.guardian,
            notice: init.notice,
            codeHashes: init.codeHashes,
            devices: init.devices,
            anyDevice: init.anyDevice,
            teeKinds: init.teeKinds,
            tcbFloor: init.tcbFloor,
            conditions: init.conditions,
            ticketNeeded: init.ticketNeeded,
            tickets: init.tickets,
        }
    }
}

impl From<AppAuth::Version> for Version {
    fn from(version: AppAuth::Version) -> Self {
        Self { activeFrom: version.activeFrom, retireAt: version.retireAt, revoked: version.revoked }
    }
}
