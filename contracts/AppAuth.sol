// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {AppCode} from "./app/AppCode.sol";
import {AppPlatform} from "./app/AppPlatform.sol";
import {AppRequirements} from "./app/AppRequirements.sol";
import {IAppAuth} from "./interfaces/IAppAuth.sol";
import {IAppAuthBasicManagement} from "./interfaces/IAppAuthBasicManagement.sol";
import {IAppPolicy} from "./interfaces/IAppPolicy.sol";
import {Reasons} from "./libraries/Reasons.sol";
import {AppBootInfo, BootRequest, Reason, TeeKind, Verdict} from "./types/Boot.sol";
import {currentTime} from "./types/Timed.sol";

/// @notice The rules of one app: a clone per app (EIP-1167, with the address of its KmsAuth behind the code), whose address is
/// the app id. Here: the app's life as a whole, the decision, and upstream's ABI. Powers and non-powers: `IAppPolicy`.
contract AppAuth is AppCode, AppPlatform, AppRequirements, IAppAuth, IAppAuthBasicManagement, IERC165 {
    /// @notice No pause is longer than this.
    uint40 public constant MAX_PAUSE = 30 days;

    /// @dev The length of a clone's own code; what follows is its KmsAuth.
    uint256 private constant CLONE_LENGTH = 45;

    /// @inheritdoc IAppPolicy
    /// @dev The implementation itself, and a clone without an address behind its code, have no KmsAuth and are of no use.
    function initialize(Init calldata init) external {
        if (_isInitialized() || kmsAuth() == address(0)) revert InvalidInitialization();
        _initGoverned(init.owner, init.guardian, init.notice);
        emit GuardianPauseArmed();
        emit KeysRotated(1, 0);
        for (uint256 i = 0; i < init.codeHashes.length; ++i) {
            _scheduleCode(init.codeHashes[i], "", currentTime(), 0, _upgrades.era());
        }
        _initPlatform(init);
        _initRequirements(init);
    }

    /// @inheritdoc IAppPolicy
    function revokeCode(bytes32 codeHash, bool rotate) external {
        if (rotate) _checkCallerIsOwner();
        else _checkCallerIsOwnerOrGuardian();
        _revokeCode(codeHash);
        if (rotate) _rotateKeys(0);
    }

    /// @inheritdoc IAppPolicy
    function rotateKeys(uint40 handover) external {
        _checkCallerIsOwner();
        _checkDuration(handover);
        _rotateKeys(handover);
    }

    /// @inheritdoc IAppPolicy
    function pause(uint40 until) external {
        bool isOwner = _checkCallerIsOwnerOrGuardian();
        if (!isOwner && _guardianPauseUsed) revert GuardianPauseNotArmed();
        uint40 time = currentTime();
        if (until <= time || until <= _pausedUntil) revert NothingToChange();
        if (until > time + MAX_PAUSE) revert PauseTooLong(until, time + MAX_PAUSE);
        _pausedUntil = until;
        if (!isOwner) _guardianPauseUsed = true;
        emit Paused(msg.sender, until);
    }

    /// @inheritdoc IAppPolicy
    function armGuardianPause() external {
        _checkCallerIsOwner();
        if (!_guardianPauseUsed) revert NothingToChange();
        _guardianPauseUsed = false;
        emit GuardianPauseArmed();
    }

    /// @inheritdoc IAppPolicy
    function sunset() external {
        _checkCallerIsOwner();
        if (_closed) revert NothingToChange();
        _closed = true;
        emit Sunset(msg.sender);
    }

    /// @inheritdoc IAppAuthBasicManagement
    function addComposeHash(bytes32 composeHash) external {
        _checkCallerIsOwner();
        _scheduleCode(composeHash, "", _afterNotice(), 0, _upgrades.era());
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
        (reason, validUntil) = _decide(request.info, request.tee, request.generation, request.ticket);
        return reason == Reason.Allowed ? (Verdict.Allowed, reason, validUntil) : (Verdict.Denied, reason, 0);
    }

    /// @inheritdoc IAppAuth
    /// @dev Upstream's question does not say the kind of TEE, so the answer is the one for TDX. A caller that verifies
    /// other kinds as well must ask `decide`. It has no ticket either, so an app that requires one refuses.
    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool isAllowed, string memory reason) {
        (Reason why,) = _decide(bootInfo, TeeKind.Tdx, 0, 0);
        return (why == Reason.Allowed, Reasons.text(why));
    }

    /// @inheritdoc IAppPolicy
    function pausedUntil() external view returns (uint40) {
        return _pausedUntil;
    }

    /// @inheritdoc IAppPolicy
    function isGuardianPauseArmed() external view returns (bool) {
        return !_guardianPauseUsed;
    }

    /// @inheritdoc IAppPolicy
    function isSunset() external view returns (bool) {
        return _closed;
    }

    /// @inheritdoc IAppPolicy
    function generation() external view returns (uint64 current, uint40 previousUntil) {
        return (_generation(), _previousUntil);
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IAppAuth).interfaceId || interfaceId == type(IAppAuthBasicManagement).interfaceId
            || interfaceId == type(IERC165).interfaceId;
    }

    /// @inheritdoc IAppPolicy
    function kmsAuth() public view returns (address found) {
        if (address(this).code.length != CLONE_LENGTH + 20) return address(0);
        assembly ("memory-safe") {
            extcodecopy(address(), 0x00, CLONE_LENGTH, 20)
            found := shr(96, mload(0x00))
        }
    }

    function _rotateKeys(uint40 handover) private {
        ++_rotations;
        _previousUntil = currentTime() + handover;
        emit KeysRotated(_generation(), _previousUntil);
    }

    function _generation() private view returns (uint64) {
        return _rotations + 1;
    }

    /// @dev The order of the checks is the order in which reasons win: what stops everything, then what names the code, and
    /// last the conditions, which cost most.
    function _decide(AppBootInfo calldata info, TeeKind tee, uint64 generation_, bytes32 ticket)
        private
        view
        returns (Reason reason, uint64 validUntil)
    {
        if (info.appId != address(this)) return (Reason.AppNotRegistered, 0);
        if (_closed) return (Reason.AppSunset, 0);
        if (currentTime() < _pausedUntil) return (Reason.AppPaused, 0);
        (reason, validUntil) = _checkCode(info.composeHash);
        if (reason != Reason.Allowed) return (reason, 0);
        reason = _checkPlatform(info.deviceId, tee, info.tcbStatus);
        if (reason != Reason.Allowed) return (reason, 0);
        uint64 generationUntil = _generationUntil(generation_);
        if (currentTime() >= generationUntil) return (Reason.GenerationRetired, 0);
        if (generationUntil < validUntil) validUntil = generationUntil;
        reason = _checkRequirements(info, tee, generation_, ticket);
    }

    /// @dev Until when keys of `asked` are given out: the present generation without end, the one before in its handover.
    function _generationUntil(uint64 asked) private view returns (uint64) {
        uint64 present = _generation();
        if (asked == 0 || asked == present) return type(uint64).max;
        return asked < present && asked + 1 == present ? _previousUntil : 0;
    }
}
