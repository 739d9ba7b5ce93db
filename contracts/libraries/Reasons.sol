// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Reason, VersionState} from "../types/Boot.sol";

/// @notice Reasons of a decision: from the state of a version, and in words.
library Reasons {
    /// @notice Why a code hash in `state` may or may not run.
    function ofCode(VersionState state) internal pure returns (Reason) {
        if (state == VersionState.None) return Reason.CodeUnknown;
        if (state == VersionState.Scheduled) return Reason.CodeScheduled;
        if (state == VersionState.Retired) return Reason.CodeRetired;
        if (state == VersionState.Revoked) return Reason.CodeRevoked;
        return Reason.Allowed;
    }

    /// @notice Why an OS image in `state` may or may not run.
    function ofOsImage(VersionState state) internal pure returns (Reason) {
        if (state == VersionState.None) return Reason.OsImageUnknown;
        if (state == VersionState.Scheduled) return Reason.OsImageScheduled;
        if (state == VersionState.Retired) return Reason.OsImageRetired;
        if (state == VersionState.Revoked) return Reason.OsImageRevoked;
        return Reason.Allowed;
    }

    /// @notice The words that upstream's callers get; empty when allowed.
    function text(Reason reason) internal pure returns (string memory) {
        if (reason == Reason.Allowed) return "";
        if (reason == Reason.AppNotRegistered) return "app is not registered";
        if (reason == Reason.AppSuspended) return "app is suspended";
        if (reason == Reason.AppPaused) return "app is paused";
        if (reason == Reason.OsImageUnknown) return "OS image is not known";
        if (reason == Reason.OsImageScheduled) return "OS image is not active yet";
        if (reason == Reason.OsImageRetired) return "OS image has retired";
        if (reason == Reason.OsImageRevoked) return "OS image was revoked";
        if (reason == Reason.CodeUnknown) return "code is not known";
        if (reason == Reason.CodeScheduled) return "code is not active yet";
        if (reason == Reason.CodeRetired) return "code has retired";
        if (reason == Reason.CodeRevoked) return "code was revoked";
        if (reason == Reason.DeviceUnknown) return "device is not known";
        if (reason == Reason.DeviceDenied) return "device is denied";
        if (reason == Reason.TeeNotAllowed) return "kind of TEE is not allowed";
        if (reason == Reason.TcbTooLow) return "TCB status is too low";
        if (reason == Reason.GenerationRetired) return "key generation is not in force";
        if (reason == Reason.ForeignAppRefused) return "app's own contract refuses";
        if (reason == Reason.NotSystemApp) return "app is not the system app";
        if (reason == Reason.ConditionNotMet) return "a condition of the app is not met";
        if (reason == Reason.AdvisoryDenied) return "a security advisory is denied";
        if (reason == Reason.TicketNotAllowed) return "launch ticket is not allowed";
        return "app is closed for good";
    }
}
