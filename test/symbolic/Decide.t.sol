// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BootRequest, Reason, TcbStatus, TeeKind, Verdict} from "../../contracts/types/Boot.sol";
import {vm} from "../unit/support/Vm.sol";
import {AppAuthState} from "./support/AppAuthState.sol";

/// @notice A decision allows a boot exactly if each of the parts does of which `AppAuthProofs` and `AppCodeProofs` speak: any storage without
/// conditions (those have `RequirementsProofs` and `ConditionProofs`), any time, a boot with one advisory.
contract DecideProofs is AppAuthState {
    struct Boot {
        address appId;
        bytes32 code;
        bytes32 device;
        TeeKind tee;
        TcbStatus status;
        uint64 generation;
        bytes32 ticket;
        bytes32 advisory;
        uint40 time;
    }

    /// @notice Whatever part says no: the decision does as well.
    function check_decide_AnotherAppIsDenied(Boot calldata boot) external {
        vm.assume(boot.appId != address(app));
        (Verdict verdict, Reason reason) = _decide(boot);
        assert(verdict == Verdict.Denied && reason == Reason.AppNotRegistered);
    }

    function check_decide_NeedsTheAppOpen(Boot calldata boot) external {
        _checkNeeds(Part.Open, 0, boot);
    }

    function check_decide_NeedsNoPause(Boot calldata boot) external {
        _checkNeeds(Part.NoPause, 0, boot);
    }

    function check_decide_NeedsTheCode(Boot calldata boot) external {
        _checkNeeds(Part.Code, boot.code, boot);
    }

    function check_decide_NeedsTheDevice(Boot calldata boot) external {
        _checkNeeds(Part.Device, boot.device, boot);
    }

    function check_decide_NeedsTheTee(Boot calldata boot) external {
        _checkNeeds(Part.Tee, bytes32(uint256(boot.tee)), boot);
    }

    function check_decide_NeedsTheTcb(Boot calldata boot) external {
        _checkNeeds(Part.Tcb, bytes32(uint256(boot.status)), boot);
    }

    function check_decide_NeedsTheGeneration(Boot calldata boot) external {
        _checkNeeds(Part.Generation, bytes32(uint256(boot.generation)), boot);
    }

    function check_decide_NeedsTheTicket(Boot calldata boot) external {
        _checkNeeds(Part.Ticket, boot.ticket, boot);
    }

    function check_decide_NeedsNoDeniedAdvisory(Boot calldata boot) external {
        _checkNeeds(Part.Advisory, boot.advisory, boot);
    }

    /// @notice The other way round: where the decision is no, the part that it names says no.
    function check_decide_NamesThePartThatSaysNo(Boot calldata boot) external {
        (Verdict verdict, Reason reason) = _decide(boot);
        vm.assume(verdict == Verdict.Denied);
        if (reason == Reason.AppNotRegistered) {
            assert(boot.appId != address(app));
        } else {
            (Part part, bytes32 what) = _partOf(reason, boot);
            assert(!_isAllowed(part, what, boot.time));
        }
    }

    function _checkNeeds(Part part, bytes32 what, Boot calldata boot) private {
        vm.assume(boot.time < END_OF_TIME && !_isAllowed(part, what, boot.time));
        (Verdict verdict,) = _decide(boot);
        assert(verdict == Verdict.Denied);
    }

    function _decide(Boot calldata boot) private returns (Verdict verdict, Reason reason) {
        BootRequest memory request;
        request.info.appId = boot.appId;
        request.info.composeHash = boot.code;
        request.info.deviceId = boot.device;
        request.info.tcbStatus = _textOf(boot.status);
        request.info.advisoryIds = new string[](1);
        request.info.advisoryIds[0] = _advisory(boot.advisory);
        (request.tee, request.generation, request.ticket) = (boot.tee, boot.generation, boot.ticket);
        vm.warp(boot.time);
        (verdict, reason,) = app.decide(request);
    }

    function _partOf(Reason reason, Boot calldata boot) private pure returns (Part, bytes32) {
        if (reason == Reason.AppSunset) return (Part.Open, 0);
        if (reason == Reason.AppPaused) return (Part.NoPause, 0);
        if (Reason.CodeUnknown <= reason && reason <= Reason.CodeRevoked) return (Part.Code, boot.code);
        if (reason == Reason.DeviceUnknown || reason == Reason.DeviceDenied) return (Part.Device, boot.device);
        if (reason == Reason.TeeNotAllowed) return (Part.Tee, bytes32(uint256(boot.tee)));
        if (reason == Reason.TcbTooLow) return (Part.Tcb, bytes32(uint256(boot.status)));
        if (reason == Reason.GenerationRetired) return (Part.Generation, bytes32(uint256(boot.generation)));
        if (reason == Reason.TicketNotAllowed) return (Part.Ticket, boot.ticket);
        assert(reason == Reason.AdvisoryDenied);
        return (Part.Advisory, boot.advisory);
    }

    function _textOf(TcbStatus status) private pure returns (string memory) {
        if (status == TcbStatus.UpToDate) return "UpToDate";
        if (status == TcbStatus.SWHardeningNeeded) return "SWHardeningNeeded";
        if (status == TcbStatus.ConfigurationNeeded) return "ConfigurationNeeded";
        if (status == TcbStatus.ConfigurationAndSWHardeningNeeded) return "ConfigurationAndSWHardeningNeeded";
        if (status == TcbStatus.OutOfDate) return "OutOfDate";
        if (status == TcbStatus.OutOfDateConfigurationNeeded) return "OutOfDateConfigurationNeeded";
        return "Revoked";
    }
}
