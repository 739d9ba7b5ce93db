// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../interfaces/IAppPolicy.sol";
import {DeviceList} from "../libraries/DeviceList.sol";
import {TcbStatusLib} from "../libraries/TcbStatusLib.sol";
import {Reason, TcbStatus, TeeKind} from "../types/Boot.sol";
import {TeeSet} from "../types/TeeSet.sol";
import {currentTime} from "../types/Timed.sol";
import {AppWords} from "./AppWords.sol";

/// @notice On which devices, under which TEEs and from which TCB on. Powers and non-powers: `IAppPolicy`.
abstract contract AppPlatform is AppWords, IAppPolicy {
    using DeviceList for DeviceList.Context;

    // What was announced after the first settings, and since when it holds. It is not moved into the gate when its time has
    // come; a lower floor is looser than the gate's, so that whatever passes the gate need not look here.
    TeeSet private _laterTees;
    uint40 private _anyDeviceFrom;
    uint40 private _tcbFloorFrom;
    TcbStatus private _nextTcbFloor;

    DeviceList.Context private _devices;

    /// @inheritdoc IAppPolicy
    function allowDevice(bytes32 deviceId) external {
        _checkCallerIsOwner();
        _allowDevice(deviceId, _afterNotice());
    }

    /// @inheritdoc IAppPolicy
    function denyDevice(bytes32 deviceId) external {
        _checkCallerIsOwnerOrGuardian();
        _denyDevice(deviceId);
    }

    /// @inheritdoc IAppPolicy
    function allowAnyDevice() external {
        _checkCallerIsOwner();
        if (_gate.anyDevice() || _anyDeviceFrom != 0) revert NothingToChange();
        _anyDeviceFrom = _afterNotice();
        emit AnyDeviceScheduled(_anyDeviceFrom);
    }

    /// @inheritdoc IAppPolicy
    function removeAnyDevice() external {
        _checkCallerIsOwner();
        if (!_gate.anyDevice() && _anyDeviceFrom == 0) revert NothingToChange();
        (_gate, _anyDeviceFrom) = (_gate.withoutAnyDevice(), 0);
        emit AnyDeviceRemoved();
    }

    /// @inheritdoc IAppPolicy
    function allowTee(TeeKind tee) external {
        _checkCallerIsOwner();
        _checkTee(tee);
        if (_isTeeListed(tee)) revert NothingToChange();
        uint40 from = _afterNotice();
        _laterTees = _laterTees.with(tee, from);
        emit TeeScheduled(tee, from);
    }

    /// @inheritdoc IAppPolicy
    function removeTee(TeeKind tee) external {
        _checkCallerIsOwnerOrGuardian();
        _checkTee(tee);
        if (!_isTeeListed(tee)) revert NothingToChange();
        (_gate, _laterTees) = (_gate.withoutTee(tee), _laterTees.with(tee, 0));
        emit TeeRemoved(tee, msg.sender);
    }

    /// @inheritdoc IAppPolicy
    function setTcbFloor(TcbStatus floor) external {
        _checkCallerIsOwner();
        _checkTcbFloor(floor);
        TcbStatus present = tcbFloor();
        // What is in force may be asked for again while something else is pending: that cancels the change.
        if (floor == (_tcbFloorFrom == 0 ? present : _nextTcbFloor)) revert NothingToChange();
        bool looser = floor > present;
        uint40 from = looser ? _afterNotice() : currentTime();
        _gate = _gate.withFloor(looser ? present : floor);
        (_nextTcbFloor, _tcbFloorFrom) = looser ? (floor, from) : (TcbStatus.None, 0);
        emit TcbFloorSet(floor, from);
    }

    /// @inheritdoc IAppPolicy
    function isDeviceAllowed(bytes32 deviceId) external view returns (bool) {
        return _checkDevice(deviceId) == Reason.Allowed;
    }

    /// @inheritdoc IAppPolicy
    function deviceState(bytes32 deviceId) external view returns (uint40 allowedFrom, uint40 deniedUntil) {
        DeviceList.Device memory device = _devices.devices[deviceId];
        return (device.allowedFrom, device.deniedUntil);
    }

    /// @inheritdoc IAppPolicy
    function isAnyDeviceAllowed() external view returns (bool allowed, uint40 from) {
        return (_isAnyDeviceAllowed(), _anyDeviceFrom);
    }

    /// @inheritdoc IAppPolicy
    function isTeeAllowed(TeeKind tee) external view returns (bool) {
        return _isTeeAllowed(tee);
    }

    /// @inheritdoc IAppPolicy
    function pendingTee(TeeKind tee) external view returns (uint40 from) {
        from = _laterTees.allowedFrom(tee);
        if (currentTime() >= from) from = 0;
    }

    /// @inheritdoc IAppPolicy
    function pendingTcbFloor() external view returns (TcbStatus floor, uint40 from) {
        if (currentTime() < _tcbFloorFrom) return (_nextTcbFloor, _tcbFloorFrom);
    }

    /// @inheritdoc IAppPolicy
    function tcbFloor() public view returns (TcbStatus) {
        return _hasCome(_tcbFloorFrom) ? _nextTcbFloor : _gate.tcbFloor();
    }

    /// @dev What holds from the start: nobody relies on the app yet.
    function _initPlatform(Init calldata init) internal {
        _checkTcbFloor(init.tcbFloor);
        _gate = _gate.withFloor(init.tcbFloor);
        uint40 time = currentTime();
        emit TcbFloorSet(init.tcbFloor, time);
        for (uint256 i = 0; i < init.devices.length; ++i) {
            _allowDevice(init.devices[i], time);
        }
        for (uint256 i = 0; i < init.teeKinds.length; ++i) {
            _initTee(init.teeKinds[i], time);
        }
        if (!init.anyDevice) return;
        _gate = _gate.withAnyDevice();
        emit AnyDeviceScheduled(time);
    }

    function _allowDevice(bytes32 deviceId, uint40 from) internal {
        if (deviceId == bytes32(0)) revert ZeroDevice();
        _devices.allow(deviceId, from);
        emit DeviceScheduled(deviceId, from);
    }

    function _denyDevice(bytes32 deviceId) internal {
        if (deviceId == bytes32(0)) revert ZeroDevice();
        _devices.deny(deviceId);
        emit DeviceDenied(deviceId, msg.sender);
    }

    function _checkPlatform(bytes32 deviceId, TeeKind tee, string calldata tcbStatus) internal view returns (Reason) {
        Reason reason = _checkDevice(deviceId);
        if (reason != Reason.Allowed) return reason;
        if (!_isTeeAllowed(tee)) return Reason.TeeNotAllowed;
        TcbStatus status = TcbStatusLib.parse(tcbStatus);
        if (status == TcbStatus.None) return Reason.TcbTooLow;
        return status <= _gate.tcbFloor() || status <= tcbFloor() ? Reason.Allowed : Reason.TcbTooLow;
    }

    function _initTee(TeeKind tee, uint40 time) private {
        _checkTee(tee);
        if (_gate.allows(tee)) revert NothingToChange();
        _gate = _gate.withTee(tee);
        emit TeeScheduled(tee, time);
    }

    function _checkDevice(bytes32 deviceId) private view returns (Reason) {
        (bool denied, bool listed) = _devices.query(deviceId);
        if (denied) return Reason.DeviceDenied;
        return listed || _isAnyDeviceAllowed() ? Reason.Allowed : Reason.DeviceUnknown;
    }

    function _isAnyDeviceAllowed() private view returns (bool) {
        return _gate.anyDevice() || _hasCome(_anyDeviceFrom);
    }

    function _isTeeAllowed(TeeKind tee) private view returns (bool) {
        return _gate.allows(tee) || _hasCome(_laterTees.allowedFrom(tee));
    }

    /// @dev Whether `tee` is allowed or going to be.
    function _isTeeListed(TeeKind tee) private view returns (bool) {
        return _gate.allows(tee) || _laterTees.allowedFrom(tee) != 0;
    }

    function _checkTee(TeeKind tee) private pure {
        if (tee == TeeKind.None) revert InvalidTee();
    }

    function _checkTcbFloor(TcbStatus floor) private pure {
        if (floor == TcbStatus.None) revert InvalidTcbFloor();
    }
}
