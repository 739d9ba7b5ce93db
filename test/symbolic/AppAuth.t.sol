// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {TcbStatus, TeeKind} from "../../contracts/types/Boot.sol";
import {vm} from "../unit/support/Vm.sol";
import {AppAuthState} from "./support/AppAuthState.sol";

/// @notice G-2 and G-3 of one app's rules: any storage, any call with any arguments by anyone, any boot, any time.
///
/// Proved of each thing that a decision asks for; `DecisionProofs` has that a decision is exactly all of them.
contract AppAuthProofs is AppAuthState {
    function check_G2_code(address caller, uint40 time, uint40 probeTime, bytes32 codeHash) external {
        _assumeWithinTheNotice(time, probeTime);
        if (_isCodeInForce(codeHash, probeTime)) return;
        _callAt(time, caller);
        assert(!_isCodeInForce(codeHash, probeTime));
    }

    function check_G2_device(address caller, uint40 time, uint40 probeTime, bytes32 deviceId) external {
        _assumeWithinTheNotice(time, probeTime);
        if (_isDeviceAllowed(deviceId, probeTime)) return;
        _callAt(time, caller);
        assert(!_isDeviceAllowed(deviceId, probeTime));
    }

    function check_G2_tee(address caller, uint40 time, uint40 probeTime, TeeKind tee) external {
        _assumeWithinTheNotice(time, probeTime);
        if (_isTeeAllowed(tee, probeTime)) return;
        _callAt(time, caller);
        assert(!_isTeeAllowed(tee, probeTime));
    }

    function check_G2_tcb(address caller, uint40 time, uint40 probeTime, TcbStatus status) external {
        _assumeWithinTheNotice(time, probeTime);
        if (_isTcbAllowed(status, probeTime)) return;
        _callAt(time, caller);
        assert(!_isTcbAllowed(status, probeTime));
    }

    /// @notice No call ends a pause early, and none makes one that does not end.
    function check_G2_G3_pause(address caller, uint40 time, uint40 probeTime) external {
        _assumeWellFormed(time, probeTime);
        bool isPaused = _isPaused(probeTime);
        vm.assume(app.pausedUntil() <= uint256(time) + app.MAX_PAUSE());
        _callAt(time, caller);
        assert(_isPaused(probeTime) || !isPaused);
        assert(app.pausedUntil() <= uint256(time) + app.MAX_PAUSE());
    }

    /// @notice The generation is no part of the set that G-2 speaks of: a rotation opens a new one at once, whose keys nobody
    /// has. Of those that there were, no call prolongs one.
    function check_G2_generation(address caller, uint40 time, uint40 probeTime, uint64 asked) external {
        _assumeWellFormed(time, probeTime);
        (uint64 current,) = app.generation();
        vm.assume(asked <= current);
        if (_isGenerationInForce(asked, probeTime)) return;
        _callAt(time, caller);
        assert(!_isGenerationInForce(asked, probeTime));
    }

    function check_G3_code(address caller, uint40 time, uint40 probeTime, bytes32 codeHash) external {
        _assumeNotTheOwner(time, probeTime, caller);
        if (_isCodeInForce(codeHash, probeTime)) return;
        _callAt(time, caller);
        assert(!_isCodeInForce(codeHash, probeTime));
    }

    function check_G3_device(address caller, uint40 time, uint40 probeTime, bytes32 deviceId) external {
        _assumeNotTheOwner(time, probeTime, caller);
        if (_isDeviceAllowed(deviceId, probeTime)) return;
        _callAt(time, caller);
        assert(!_isDeviceAllowed(deviceId, probeTime));
    }

    function check_G3_tee(address caller, uint40 time, uint40 probeTime, TeeKind tee) external {
        _assumeNotTheOwner(time, probeTime, caller);
        if (_isTeeAllowed(tee, probeTime)) return;
        _callAt(time, caller);
        assert(!_isTeeAllowed(tee, probeTime));
    }

    function check_G3_tcb(address caller, uint40 time, uint40 probeTime, TcbStatus status) external {
        _assumeNotTheOwner(time, probeTime, caller);
        if (_isTcbAllowed(status, probeTime)) return;
        _callAt(time, caller);
        assert(!_isTcbAllowed(status, probeTime));
    }

    /// @notice The guardian neither changes the generation nor how long the previous one lasts.
    function check_G3_generation(address caller, uint40 time) external {
        _assumeNotTheOwner(time, time, caller);
        (uint64 current, uint40 previousUntil) = app.generation();
        _callAt(time, caller);
        (uint64 currentAfter, uint40 previousUntilAfter) = app.generation();
        assert(current == currentAfter && previousUntil == previousUntilAfter);
    }

    /// @notice The guardian can take powers from nobody and give none: owner, guardian and notice stay, at any time to come.
    function check_G3_powers(address caller, uint40 time, uint40 probeTime) external {
        _assumeNotTheOwner(time, probeTime, caller);
        address owner = app.owner();
        (address pending, uint40 acceptableFrom) = app.pendingOwner();
        vm.warp(probeTime);
        (address guardian, uint40 notice) = (app.guardian(), app.notice());
        _callAt(time, caller);
        (address pendingAfter, uint40 acceptableFromAfter) = app.pendingOwner();
        assert(app.owner() == owner && pendingAfter == pending && acceptableFromAfter == acceptableFrom);
        vm.warp(probeTime);
        assert(app.guardian() == guardian && app.notice() == notice);
    }

    /// @notice Nothing that a stranger calls takes effect, so it changes no decision.
    function check_strangersChangeNothing(address caller, uint40 time) external {
        _assumeNotTheOwner(time, time, caller);
        vm.warp(time);
        vm.assume(caller != app.guardian());
        _callAt(time, caller);
        assert(false);
    }

    /// @notice What the other proofs assume of storage holds after any call as well.
    function check_wellFormed_IsKept(address caller, uint40 time, uint40 later) external {
        _assumeWellFormed(time, later);
        _callAt(time, caller);
        assert(app.kmsAuth() != address(0));
        assert(_isFloorLoosening(time, later));
    }
}
