// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice What upstream dstack's KMS asks about one boot. The field order and types are upstream's ABI.
struct AppBootInfo {
    address appId;
    bytes32 composeHash;
    address instanceId;
    bytes32 deviceId;
    bytes32 mrAggregated;
    bytes32 mrSystem;
    bytes32 osImageHash;
    string tcbStatus;
    string[] advisoryIds;
}

/// @notice What the suite's own services ask: upstream's facts, and those that upstream leaves out.
/// @param info the attested facts of the boot
/// @param tee the kind of TEE whose evidence was verified
/// @param generation the key generation that is asked for; 0 stands for the current one
/// @param ticket hash of the launch ticket that the boot carries; 0 stands for none
struct BootRequest {
    AppBootInfo info;
    TeeKind tee;
    uint64 generation;
    bytes32 ticket;
}

/// @notice The kinds of TEE. `None` is never allowed.
enum TeeKind {
    None,
    Tdx,
    Snp,
    Nitro
}

/// @notice TCB status from best to worst, as in Intel's TCB info. `None` stands for a text that is not known,
/// `Revoked` and unknown texts are never allowed.
enum TcbStatus {
    None,
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded
}

/// @notice Denied is zero, so that whatever is left unset denies.
enum Verdict {
    Denied,
    Allowed
}

/// @notice Why a decision came out as it did. New reasons are appended, numbers are never reused.
enum Reason {
    Allowed,
    AppNotRegistered,
    AppSuspended,
    AppPaused,
    OsImageUnknown,
    OsImageScheduled,
    OsImageRetired,
    OsImageRevoked,
    CodeUnknown,
    CodeScheduled,
    CodeRetired,
    CodeRevoked,
    DeviceUnknown,
    DeviceDenied,
    TeeNotAllowed,
    TcbTooLow,
    GenerationRetired,
    ForeignAppRefused,
    NotSystemApp,
    ConditionNotMet,
    AdvisoryDenied,
    TicketNotAllowed,
    AppSunset
}

/// @notice The lifecycle of a code hash or an OS image.
///
///   None --schedule--> Scheduled --time--> Active --supersede/retire/lapse--> Retiring --time--> Retired
///     any state --revoke--> Revoked (for good)
enum VersionState {
    None,
    Scheduled,
    Active,
    Retiring,
    Retired,
    Revoked
}

/// @notice One code hash or OS image: seconds since the epoch; `retireAt` 0 stands for "not retiring", and 1 for "retired
/// by an upgrade long ago", whose time is in the events.
struct Version {
    uint40 activeFrom;
    uint40 retireAt;
    bool revoked;
}
