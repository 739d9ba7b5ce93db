// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {TcbStatus, TeeKind, VersionState} from "../../../contracts/types/Boot.sol";
import {vm} from "../../unit/support/Vm.sol";
import {storageVm, svm} from "./Svm.sol";

/// @notice An AppAuth whose storage is arbitrary, and an arbitrary call at an arbitrary time.
///
/// Whatever holds for one call from every storage holds for the last call of every sequence. What is assumed of storage
/// (`_assumeWellFormed`) is what every call keeps, as `check_wellFormed_IsKept` proves.
abstract contract AppAuthState {
    uint256 internal constant SLOTS = 24;
    /// @dev How many versions are live: symbolic execution wants to know how often loops turn.
    uint256 internal constant LIVE = 1;
    uint256 internal constant END_OF_TIME = 1 << 39;

    AppAuth internal app;

    function setUp() public virtual {
        uint256 liveSlot = _findLiveSlot(new AppAuth());
        app = new AppAuth();
        svm.enableSymbolicStorage(address(app));
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            storageVm.store(address(app), bytes32(slot), svm.createBytes32("slot"));
        }
        storageVm.store(address(app), bytes32(liveSlot), bytes32(LIVE));
    }

    /// @dev By trial, so that the proofs do not depend on the layout.
    function _findLiveSlot(AppAuth trial) private returns (uint256) {
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            storageVm.store(address(trial), bytes32(slot), bytes32(uint256(7)));
            if (trial.liveCodes().length == 7) return slot;
            storageVm.store(address(trial), bytes32(slot), bytes32(0));
        }
        revert("no slot holds the number of live versions");
    }

    /// @dev Calls something at `time`; goes on only when that took effect.
    function _callAt(uint40 time, address caller) internal {
        bytes memory data = svm.createCalldata("AppAuth");
        vm.warp(time);
        vm.prank(caller);
        (bool success,) = address(app).call(data);
        vm.assume(success);
    }

    /// @dev The future must not be stricter by time alone: what is stricter is taken at once. And the app belongs to a
    /// KmsAuth: until then it is nobody's.
    function _assumeWellFormed(uint40 time, uint40 probeTime) internal {
        vm.assume(0 < time && time <= probeTime && probeTime < END_OF_TIME);
        vm.assume(app.kmsAuth() != address(0));
        vm.assume(_isFloorLoosening(time, probeTime));
    }

    function _isFloorLoosening(uint40 time, uint40 later) internal returns (bool) {
        vm.warp(time);
        uint256 present = uint256(app.tcbFloor());
        vm.warp(later);
        return present <= uint256(app.tcbFloor());
    }

    /// @dev The owner may be the caller: what is allowed within the notice must not grow.
    function _assumeWithinTheNotice(uint40 time, uint40 probeTime) internal {
        _assumeWellFormed(time, probeTime);
        vm.warp(time);
        vm.assume(probeTime < uint256(time) + app.notice());
    }

    /// @dev The guardian may be the caller, or anyone else who neither is nor becomes the owner.
    function _assumeNotTheOwner(uint40 time, uint40 probeTime, address caller) internal {
        _assumeWellFormed(time, probeTime);
        (address pending,) = app.pendingOwner();
        vm.assume(caller != app.owner() && caller != pending);
    }

    function _isCodeInForce(bytes32 codeHash, uint40 time) internal returns (bool) {
        vm.warp(time);
        (VersionState state,) = app.codeState(codeHash);
        return state == VersionState.Active || state == VersionState.Retiring;
    }

    function _isDeviceAllowed(bytes32 deviceId, uint40 time) internal returns (bool) {
        vm.warp(time);
        return app.isDeviceAllowed(deviceId);
    }

    function _isTeeAllowed(TeeKind tee, uint40 time) internal returns (bool) {
        vm.warp(time);
        return app.isTeeAllowed(tee);
    }

    function _isTcbAllowed(TcbStatus status, uint40 time) internal returns (bool) {
        vm.warp(time);
        return status != TcbStatus.None && status <= app.tcbFloor();
    }

    function _isPaused(uint40 time) internal view returns (bool) {
        return time < app.pausedUntil();
    }

    function _isGenerationInForce(uint64 asked, uint40 time) internal view returns (bool) {
        (uint64 current, uint40 previousUntil) = app.generation();
        return asked == 0 || asked == current || (uint256(asked) + 1 == current && time < previousUntil);
    }
}
