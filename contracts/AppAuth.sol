// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {Governed} from "./Governed.sol";
import {IAppAuth} from "./interfaces/IAppAuth.sol";
import {IAppAuthBasicManagement} from "./interfaces/IAppAuthBasicManagement.sol";
import {IAppPolicy} from "./interfaces/IAppPolicy.sol";
import {DeviceList} from "./libraries/DeviceList.sol";
import {Reasons} from "./libraries/Reasons.sol";
import {TcbStatusLib} from "./libraries/TcbStatusLib.sol";
import {VersionList} from "./libraries/VersionList.sol";
import {AppBootInfo, BootRequest, Reason, TcbStatus, TeeKind, Verdict, Version, VersionState} from "./types/Boot.sol";
import {TeeSet} from "./types/TeeSet.sol";
import {TimedUint, TimedUintLib, currentTime} from "./types/Timed.sol";

/// @notice The rules of one app. A clone per app (EIP-1167); its address is the app id. Powers and non-powers: `IAppPolicy`.
contract AppAuth is Governed, IAppPolicy, IAppAuth, IAppAuthBasicManagement, IERC165 {
    using DeviceList for DeviceList.Context;
    using VersionList for VersionList.Context;

    /// @notice No pause is longer than this.
    uint40 public constant MAX_PAUSE = 30 days;

    // In this order, so that the first two share the notice's slot and a decision reads three slots of settings.
    uint64 private _generation;
    uint40 private _previousUntil;

    address private _kmsAuth;
    uint40 private _pausedUntil;
    uint40 private _anyDeviceFrom;
    bool private _guardianPauseArmed;

    TimedUint private _tcbFloor;
    TeeSet private _tees;

    VersionList.Context private _codes;
    DeviceList.Context private _devices;

    /// @dev The implementation is for cloning only: it belongs to nobody and to no KmsAuth.
    constructor() {
        _kmsAuth = address(this);
    }

    /// @inheritdoc IAppPolicy
    function initialize(address kmsAuth_, Init calldata init) external {
        if (_kmsAuth != address(0) || kmsAuth_ == address(0)) revert InvalidInitialization();
        _kmsAuth = kmsAuth_;
        _initGoverned(init.owner, init.guardian, init.notice);
        _armGuardianPause();
        _setGeneration(1, 0);
        _initTcbFloor(init.tcbFloor);
        uint40 time = currentTime();
        for (uint256 i = 0; i < init.codeHashes.length; ++i) {
            _scheduleCode(init.codeHashes[i], "", time);
        }
        for (uint256 i = 0; i < init.devices.length; ++i) {
            _allowDevice(init.devices[i], time);
        }
        for (uint256 i = 0; i < init.teeKinds.length; ++i) {
            _allowTee(init.teeKinds[i], time);
        }
        if (init.anyDevice) _allowAnyDevice(time);
    }

    /// @inheritdoc IAppPolicy
    function scheduleCode(bytes32 codeHash, string calldata sourceUri, bool supersede, uint40 handover) external {
        _checkCallerIsOwner();
        _checkDuration(handover);
        uint40 activeFrom = _scheduleCode(codeHash, sourceUri, _afterNotice());
        if (!supersede) return;
        uint40 time = currentTime();
        uint40 retireAt = (activeFrom < time ? time : activeFrom) + handover;
        bytes32[] memory retiring = _codes.supersede(codeHash, retireAt);
        for (uint256 i = 0; i < retiring.length; ++i) {
            emit CodeRetirementSet(retiring[i], retireAt);
        }
    }

    /// @inheritdoc IAppPolicy
    function revokeCode(bytes32 codeHash, bool rotate) external {
        if (rotate) _checkCallerIsOwner();
        else _checkCallerIsOwnerOrGuardian();
        if (codeHash == bytes32(0)) revert ZeroCodeHash();
        _codes.revoke(codeHash);
        emit CodeRevoked(codeHash, msg.sender);
        if (rotate) _setGeneration(_generation + 1, currentTime());
    }

    /// @inheritdoc IAppPolicy
    function retireCode(bytes32 codeHash, uint40 retireAt) external {
        _checkCallerIsOwner();
        _retireCode(codeHash, retireAt);
    }

    /// @inheritdoc IAppPolicy
    function pause(uint40 until) external {
        bool isOwner = _checkCallerIsOwnerOrGuardian();
        if (!isOwner && !_guardianPauseArmed) revert GuardianPauseNotArmed();
        uint40 time = currentTime();
        if (until <= time || until <= _pausedUntil) revert NothingToChange();
        if (until > time + MAX_PAUSE) revert PauseTooLong(until, time + MAX_PAUSE);
        _pausedUntil = until;
        if (!isOwner) _guardianPauseArmed = false;
        emit Paused(msg.sender, until);
    }

    /// @inheritdoc IAppPolicy
    function armGuardianPause() external {
        _checkCallerIsOwner();
        if (_guardianPauseArmed) revert NothingToChange();
        _armGuardianPause();
    }

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
        if (_anyDeviceFrom != 0) revert NothingToChange();
        _allowAnyDevice(_afterNotice());
    }

    /// @inheritdoc IAppPolicy
    function removeAnyDevice() external {
        _checkCallerIsOwner();
        if (_anyDeviceFrom == 0) revert NothingToChange();
        _anyDeviceFrom = 0;
        emit AnyDeviceRemoved();
    }

    /// @inheritdoc IAppPolicy
    function allowTee(TeeKind tee) external {
        _checkCallerIsOwner();
        _allowTee(tee, _afterNotice());
    }

    /// @inheritdoc IAppPolicy
    function removeTee(TeeKind tee) external {
        _checkCallerIsOwnerOrGuardian();
        if (tee == TeeKind.None) revert InvalidTee();
        if (_tees.allowedFrom(tee) == 0) revert NothingToChange();
        _tees = _tees.with(tee, 0);
        emit TeeRemoved(tee, msg.sender);
    }

    /// @inheritdoc IAppPolicy
    function setTcbFloor(TcbStatus floor) external {
        _checkCallerIsOwner();
        if (floor == TcbStatus.None) revert InvalidTcbFloor();
        uint40 from;
        (_tcbFloor, from) = _tcbFloor.change(uint40(floor), floor > tcbFloor(), _afterNotice());
        emit TcbFloorSet(floor, from);
    }

    /// @inheritdoc IAppPolicy
    function rotateKeys(uint40 handover) external {
        _checkCallerIsOwner();
        _checkDuration(handover);
        _setGeneration(_generation + 1, currentTime() + handover);
    }

    /// @inheritdoc IAppAuthBasicManagement
    function addComposeHash(bytes32 composeHash) external {
        _checkCallerIsOwner();
        _scheduleCode(composeHash, "", _afterNotice());
        emit ComposeHashAdded(composeHash);
    }

    /// @inheritdoc IAppAuthBasicManagement
    function removeComposeHash(bytes32 composeHash) external {
        _checkCallerIsOwner();
        _retireCode(composeHash, currentTime());
        emit ComposeHashRemoved(composeHash);
    }

    /// @inheritdoc IAppAuthBasicManagement
    function addDevice(bytes32 deviceId) external {
        _checkCallerIsOwner();
        _allowDevice(deviceId, _afterNotice());
        emit DeviceAdded(deviceId);
    }

    /// @inheritdoc IAppAuthBasicManagement
    function removeDevice(bytes32 deviceId) external {
        _checkCallerIsOwner();
        _denyDevice(deviceId);
        emit DeviceRemoved(deviceId);
    }

    /// @inheritdoc IAppPolicy
    function decide(BootRequest calldata request)
        external
        view
        returns (Verdict verdict, Reason reason, uint64 validUntil)
    {
        (reason, validUntil) = _decide(request.info, request.tee, request.generation);
        return reason == Reason.Allowed ? (Verdict.Allowed, reason, validUntil) : (Verdict.Denied, reason, 0);
    }

    /// @inheritdoc IAppAuth
    /// @dev Upstream's question does not say the kind of TEE, so the answer is the one for TDX. A caller that verifies
    /// other kinds as well must ask `decide`.
    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool isAllowed, string memory reason) {
        (Reason why,) = _decide(bootInfo, TeeKind.Tdx, 0);
        return (why == Reason.Allowed, Reasons.text(why));
    }

    /// @inheritdoc IAppPolicy
    function kmsAuth() external view returns (address) {
        return _kmsAuth;
    }

    /// @inheritdoc IAppPolicy
    function pausedUntil() external view returns (uint40) {
        return _pausedUntil;
    }

    /// @notice Whether the guardian has its pause.
    function isGuardianPauseArmed() external view returns (bool) {
        return _guardianPauseArmed;
    }

    /// @inheritdoc IAppPolicy
    function generation() external view returns (uint64 current, uint40 previousUntil) {
        return (_generation, _previousUntil);
    }

    /// @inheritdoc IAppPolicy
    function codeState(bytes32 codeHash) external view returns (VersionState state, Version memory version) {
        version = _codes.versions[codeHash];
        state = VersionList.stateAt(version, currentTime());
    }

    /// @inheritdoc IAppPolicy
    function liveCodes() external view returns (bytes32[] memory) {
        return _codes.live;
    }

    /// @inheritdoc IAppPolicy
    function isDeviceAllowed(bytes32 deviceId) external view returns (bool) {
        return _checkDevice(deviceId) == Reason.Allowed;
    }

    /// @inheritdoc IAppPolicy
    function isTeeAllowed(TeeKind tee) external view returns (bool) {
        return _isTeeAllowed(tee);
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IAppAuth).interfaceId || interfaceId == type(IAppAuthBasicManagement).interfaceId
            || interfaceId == type(IERC165).interfaceId;
    }

    /// @inheritdoc IAppPolicy
    function tcbFloor() public view returns (TcbStatus) {
        return TcbStatus(_tcbFloor.valueAt(currentTime()));
    }

    function _scheduleCode(bytes32 codeHash, string memory sourceUri, uint40 from) private returns (uint40 activeFrom) {
        if (codeHash == bytes32(0)) revert ZeroCodeHash();
        activeFrom = _codes.schedule(codeHash, from);
        emit CodeScheduled(codeHash, activeFrom, sourceUri);
    }

    function _retireCode(bytes32 codeHash, uint40 retireAt) private {
        if (_codes.isUnknown(codeHash)) revert UnknownCode(codeHash);
        emit CodeRetirementSet(codeHash, _codes.retire(codeHash, retireAt));
    }

    function _allowDevice(bytes32 deviceId, uint40 from) private {
        if (deviceId == bytes32(0)) revert ZeroDevice();
        _devices.allow(deviceId, from);
        emit DeviceScheduled(deviceId, from);
    }

    function _denyDevice(bytes32 deviceId) private {
        if (deviceId == bytes32(0)) revert ZeroDevice();
        _devices.deny(deviceId);
        emit DeviceDenied(deviceId, msg.sender);
    }

    function _allowAnyDevice(uint40 from) private {
        _anyDeviceFrom = from;
        emit AnyDeviceScheduled(from);
    }

    function _allowTee(TeeKind tee, uint40 from) private {
        if (tee == TeeKind.None) revert InvalidTee();
        if (_tees.allowedFrom(tee) != 0) revert NothingToChange();
        _tees = _tees.with(tee, from);
        emit TeeScheduled(tee, from);
    }

    function _initTcbFloor(TcbStatus floor) private {
        if (floor == TcbStatus.None) revert InvalidTcbFloor();
        _tcbFloor = TimedUintLib.settled(uint40(floor));
        emit TcbFloorSet(floor, currentTime());
    }

    function _armGuardianPause() private {
        _guardianPauseArmed = true;
        emit GuardianPauseArmed();
    }

    function _setGeneration(uint64 generation_, uint40 previousUntil) private {
        (_generation, _previousUntil) = (generation_, previousUntil);
        emit KeysRotated(generation_, previousUntil);
    }

    /// @dev The order of the checks is the order in which reasons win: what stops everything, then what names the code.
    function _decide(AppBootInfo calldata info, TeeKind tee, uint64 generation_)
        private
        view
        returns (Reason reason, uint64 validUntil)
    {
        if (info.appId != address(this)) return (Reason.AppNotRegistered, 0);
        if (currentTime() < _pausedUntil) return (Reason.AppPaused, 0);
        VersionState state;
        (state, validUntil) = VersionList.inForce(_codes.versions[info.composeHash], currentTime());
        reason = Reasons.ofCode(state);
        if (reason != Reason.Allowed) return (reason, 0);
        reason = _checkDevice(info.deviceId);
        if (reason != Reason.Allowed) return (reason, 0);
        if (!_isTeeAllowed(tee)) return (Reason.TeeNotAllowed, 0);
        TcbStatus status = TcbStatusLib.parse(info.tcbStatus);
        if (status == TcbStatus.None || status > tcbFloor()) return (Reason.TcbTooLow, 0);
        uint64 generationUntil = _generationUntil(generation_);
        if (currentTime() >= generationUntil) return (Reason.GenerationRetired, 0);
        return (Reason.Allowed, generationUntil < validUntil ? generationUntil : validUntil);
    }

    function _checkDevice(bytes32 deviceId) private view returns (Reason) {
        (bool denied, bool listed) = _devices.query(deviceId);
        if (denied) return Reason.DeviceDenied;
        bool anyDevice = _anyDeviceFrom != 0 && currentTime() >= _anyDeviceFrom;
        return listed || anyDevice ? Reason.Allowed : Reason.DeviceUnknown;
    }

    function _isTeeAllowed(TeeKind tee) private view returns (bool) {
        uint40 from = _tees.allowedFrom(tee);
        return from != 0 && currentTime() >= from;
    }

    /// @dev Until when keys of `asked` are given out: the present generation without end, the one before in its handover.
    function _generationUntil(uint64 asked) private view returns (uint64) {
        if (asked == 0 || asked == _generation) return type(uint64).max;
        return asked < _generation && asked + 1 == _generation ? _previousUntil : 0;
    }
}
