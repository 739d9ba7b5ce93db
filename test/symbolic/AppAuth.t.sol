// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {TcbStatus, TeeKind} from "../../contracts/types/Boot.sol";
import {vm} from "../unit/support/Vm.sol";
import {AppAuthState} from "./support/AppAuthState.sol";
import {svm} from "./support/Svm.sol";

/// @notice G-2 and G-3 of one app's rules but those of its code, which `AppCode.t.sol` has: any storage, any boot, any time.
/// G-3: any call with any arguments by anyone but the owner. G-2: each of the owner's calls that can touch what is asked
/// for, with any arguments.
///
/// Proved of each thing that a decision asks for; that a decision is exactly all of them is not proven, but read. What is
/// proved of callers other than the owner (G-3) is for all times to come, and so within the notice as well.
contract AppAuthProofs is AppAuthState {
    function setUp() public override {
        super.setUp();
        app.enterFirstEra();
    }

    /// @notice Of the owner: every call that can touch a device.
    function check_G2_device_allowDevice(uint40 time, uint40 probeTime, bytes32 probed, bytes32 deviceId) external {
        _checkNotice(abi.encodeCall(app.allowDevice, (deviceId)), time, Part.Device, probed, probeTime);
    }

    function check_G2_device_addDevice(uint40 time, uint40 probeTime, bytes32 probed, bytes32 deviceId) external {
        _checkNotice(abi.encodeCall(app.addDevice, (deviceId)), time, Part.Device, probed, probeTime);
    }

    function check_G2_device_denyDevice(uint40 time, uint40 probeTime, bytes32 probed, bytes32 deviceId) external {
        _checkNotice(abi.encodeCall(app.denyDevice, (deviceId)), time, Part.Device, probed, probeTime);
    }

    function check_G2_device_removeDevice(uint40 time, uint40 probeTime, bytes32 probed, bytes32 deviceId) external {
        _checkNotice(abi.encodeCall(app.removeDevice, (deviceId)), time, Part.Device, probed, probeTime);
    }

    function check_G2_device_allowAnyDevice(uint40 time, uint40 probeTime, bytes32 probed) external {
        _checkNotice(abi.encodeCall(app.allowAnyDevice, ()), time, Part.Device, probed, probeTime);
    }

    function check_G2_device_removeAnyDevice(uint40 time, uint40 probeTime, bytes32 probed) external {
        _checkNotice(abi.encodeCall(app.removeAnyDevice, ()), time, Part.Device, probed, probeTime);
    }

    function check_G2_tee_allowTee(uint40 time, uint40 probeTime, TeeKind probed, TeeKind tee) external {
        bytes memory data = abi.encodeCall(app.allowTee, (tee));
        _checkNotice(data, time, Part.Tee, bytes32(uint256(probed)), probeTime);
    }

    function check_G2_tee_removeTee(uint40 time, uint40 probeTime, TeeKind probed, TeeKind tee) external {
        bytes memory data = abi.encodeCall(app.removeTee, (tee));
        _checkNotice(data, time, Part.Tee, bytes32(uint256(probed)), probeTime);
    }

    function check_G2_tcb_setTcbFloor(uint40 time, uint40 probeTime, TcbStatus probed, TcbStatus floor) external {
        bytes memory data = abi.encodeCall(app.setTcbFloor, (floor));
        _checkNotice(data, time, Part.Tcb, bytes32(uint256(probed)), probeTime);
    }

    /// @notice Of the owner: every call that can touch a ticket, or whether one is needed.
    function check_G2_ticket_requireTicket(uint40 time, uint40 probeTime, bytes32 probed, bool needed) external {
        _checkNotice(abi.encodeCall(app.requireTicket, (needed)), time, Part.Ticket, probed, probeTime);
    }

    function check_G2_ticket_allowTicket(uint40 time, uint40 probeTime, bytes32 probed, bytes32 ticket) external {
        _checkNotice(abi.encodeCall(app.allowTicket, (ticket)), time, Part.Ticket, probed, probeTime);
    }

    function check_G2_ticket_revokeTicket(uint40 time, uint40 probeTime, bytes32 probed, bytes32 ticket) external {
        _checkNotice(abi.encodeCall(app.revokeTicket, (ticket)), time, Part.Ticket, probed, probeTime);
    }

    /// @notice Of the owner: every call that can touch an advisory; names of eight bytes.
    function check_G2_advisory_denyAdvisory(uint40 time, uint40 probeTime, bytes32 probed, bytes32 named) external {
        bytes memory data = abi.encodeCall(app.denyAdvisory, (_advisory(named)));
        _checkNotice(data, time, Part.Advisory, probed, probeTime);
    }

    function check_G2_advisory_liftAdvisory(uint40 time, uint40 probeTime, bytes32 probed, bytes32 named) external {
        bytes memory data = abi.encodeCall(app.liftAdvisory, (_advisory(named)));
        _checkNotice(data, time, Part.Advisory, probed, probeTime);
    }

    /// @notice Nobody reopens an app after its sunset.
    function check_G2_G3_sunset(address caller, uint40 time) external {
        _assumeACallAllows(svm.createCalldata("AppAuth"), caller, time, Part.Open, 0, time);
        assert(_isAllowed(Part.Open, 0, time));
    }

    /// @notice Nobody ends a pause early.
    function check_G2_G3_pause(address caller, uint40 time, uint40 probeTime) external {
        _assumeACallAllows(svm.createCalldata("AppAuth"), caller, time, Part.NoPause, 0, probeTime);
        assert(_isAllowed(Part.NoPause, 0, probeTime));
    }

    /// @notice The generation is no part of the set that G-2 speaks of: a rotation opens a new one at once, whose keys nobody
    /// has. Of those that there were, nobody prolongs one.
    function check_G2_G3_generation(address caller, uint40 time, uint40 probeTime, uint64 asked) external {
        bytes32 what = bytes32(uint256(asked));
        _assumeACallAllows(svm.createCalldata("AppAuth"), caller, time, Part.Generation, what, probeTime);
        (uint64 current,) = app.generation();
        vm.assume(asked <= current);
        assert(_isAllowed(Part.Generation, what, probeTime));
    }

    function check_G3_device(address caller, uint40 time, uint40 probeTime, bytes32 deviceId) external {
        _checkNotOwner(caller, time, Part.Device, deviceId, probeTime);
    }

    function check_G3_tee(address caller, uint40 time, uint40 probeTime, TeeKind tee) external {
        _checkNotOwner(caller, time, Part.Tee, bytes32(uint256(tee)), probeTime);
    }

    function check_G3_ticket(address caller, uint40 time, uint40 probeTime, bytes32 ticket) external {
        _checkNotOwner(caller, time, Part.Ticket, ticket, probeTime);
    }

    function check_G3_advisory(address caller, uint40 time, uint40 probeTime, bytes32 named) external {
        _checkNotOwner(caller, time, Part.Advisory, named, probeTime);
    }

    function check_G3_tcb(address caller, uint40 time, uint40 probeTime, TcbStatus status) external {
        _checkNotOwner(caller, time, Part.Tcb, bytes32(uint256(status)), probeTime);
    }

    /// @notice No call makes a pause that lasts longer than the longest.
    function check_G3_everyPauseEnds(address caller, uint40 time) external {
        vm.assume(0 < time && time < END_OF_TIME && app.owner() != address(0));
        uint256 longest = uint256(time) + app.MAX_PAUSE();
        vm.assume(app.pausedUntil() <= longest);
        _call(svm.createCalldata("AppAuth"), caller, time);
        assert(app.pausedUntil() <= longest);
    }

    /// @notice Only the owner, and who accepts what the owner offered, changes who is or becomes it.
    function check_G3_powers(address caller, uint40 time) external {
        vm.assume(0 < time && time < END_OF_TIME && app.owner() != address(0));
        address owner = app.owner();
        (address pending, uint40 acceptableFrom) = app.pendingOwner();
        vm.assume(caller != owner && (caller != pending || time < acceptableFrom));
        _call(svm.createCalldata("AppAuth"), caller, time);
        (address pendingAfter, uint40 acceptableFromAfter) = app.pendingOwner();
        assert(app.owner() == owner && pendingAfter == pending && acceptableFromAfter == acceptableFrom);
    }

    /// @notice Nothing that a stranger calls takes effect, so it changes no decision.
    function check_G3_strangersChangeNothing(address caller, uint40 time) external {
        vm.assume(0 < time && time < END_OF_TIME && app.owner() != address(0));
        (address pending,) = app.pendingOwner();
        vm.assume(caller != app.owner() && caller != pending && caller != address(this));
        bytes memory data = svm.createCalldata("AppAuth");
        // A selector that AppAuth does not know may be one of the probe's own.
        bytes4 selector = bytes4(data);
        vm.assume(selector != app.gateFloor.selector && selector != app.hasRequirements.selector);
        _call(data, caller, time);
        vm.warp(time);
        assert(caller == app.guardian());
    }

    /// @notice What has an owner keeps one, and so is never set up again. Nobody is the zero address.
    function check_wellFormed_OwnerStays(address caller, uint40 time) external {
        vm.assume(0 < time && time < END_OF_TIME && app.owner() != address(0) && caller != address(0));
        _call(svm.createCalldata("AppAuth"), caller, time);
        assert(app.owner() != address(0));
    }
}
