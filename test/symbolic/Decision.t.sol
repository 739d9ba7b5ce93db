// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BootRequest, Reason, TcbStatus, TeeKind, Verdict} from "../../contracts/types/Boot.sol";
import {vm} from "../unit/support/Vm.sol";
import {AppAuthState} from "./support/AppAuthState.sol";

/// @notice A decision is Allowed exactly when the app is neither closed nor paused and code, device, TEE, TCB status,
/// generation and ticket are each allowed: of an app without conditions, and a boot without advisories. With
/// `AppAuthProofs`, G-2 and G-3 follow for the decision.
contract DecisionProofs is AppAuthState {
    function check_decide_IsAllOfItsParts(
        uint40 time,
        bytes32 codeHash,
        bytes32 deviceId,
        TeeKind tee,
        uint64 generation,
        bytes32 ticket
    ) external {
        vm.assume(0 < time && time < END_OF_TIME);
        vm.warp(time);
        BootRequest memory request;
        request.info.appId = address(app);
        request.info.composeHash = codeHash;
        request.info.deviceId = deviceId;
        request.info.tcbStatus = "SWHardeningNeeded";
        request.tee = tee;
        request.generation = generation;
        request.ticket = ticket;
        (Verdict verdict, Reason reason, uint64 validUntil) = app.decide(request);
        bool isAllowed = verdict == Verdict.Allowed;
        assert(isAllowed == (reason == Reason.Allowed));
        assert(isAllowed == (validUntil > time));
        bool areAllAllowed = _isAllowed(Part.Open, 0, time) && _isAllowed(Part.Ticket, ticket, time)
            && _areAllAllowed(time, codeHash, deviceId, tee, generation);
        assert(isAllowed == areAllAllowed);
    }

    function _areAllAllowed(uint40 time, bytes32 codeHash, bytes32 deviceId, TeeKind tee, uint64 generation)
        private
        returns (bool)
    {
        bytes32 status = bytes32(uint256(TcbStatus.SWHardeningNeeded));
        return _isAllowed(Part.NoPause, 0, time) && _isAllowed(Part.Code, codeHash, time)
            && _isAllowed(Part.Device, deviceId, time) && _isAllowed(Part.Tee, bytes32(uint256(tee)), time)
            && _isAllowed(Part.Tcb, status, time) && _isAllowed(Part.Generation, bytes32(uint256(generation)), time);
    }
}
