// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BootRequest, Reason, TcbStatus, TeeKind, Verdict} from "../../contracts/types/Boot.sol";
import {vm} from "../unit/support/Vm.sol";
import {AppAuthState} from "./support/AppAuthState.sol";

/// @notice A decision is Allowed exactly when the app is not paused and code, device, TEE, TCB status and generation are
/// each allowed. With `AppAuthProofs`, G-2 and G-3 follow for the decision.
contract DecisionProofs is AppAuthState {
    function check_decide_IsAllOfItsParts(
        uint40 time,
        bytes32 codeHash,
        bytes32 deviceId,
        TeeKind tee,
        uint64 generation
    ) external {
        _assumeWellFormed(time, time);
        vm.warp(time);
        BootRequest memory request;
        request.info.appId = address(app);
        request.info.composeHash = codeHash;
        request.info.deviceId = deviceId;
        request.info.tcbStatus = "SWHardeningNeeded";
        request.tee = tee;
        request.generation = generation;
        (Verdict verdict, Reason reason, uint64 validUntil) = app.decide(request);
        bool isAllowed = verdict == Verdict.Allowed;
        assert(isAllowed == (reason == Reason.Allowed));
        assert(isAllowed == (validUntil > time));
        assert(
            isAllowed
                == (!_isPaused(time) && _isCodeInForce(codeHash, time) && _isDeviceAllowed(deviceId, time)
                    && _isTeeAllowed(tee, time) && _isTcbAllowed(TcbStatus.SWHardeningNeeded, time)
                    && _isGenerationInForce(generation, time))
        );
    }
}
