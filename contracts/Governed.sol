// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "./interfaces/IGoverned.sol";
import {TimedAddress, TimedAddressLib, TimedUint, TimedUintLib, currentTime} from "./types/Timed.sol";

/// @notice Owner, guardian and notice, and who may change them when.
abstract contract Governed is IGoverned {
    using TimedAddressLib for TimedAddress;

    /// @notice No notice, handover or other delay is longer than this.
    uint40 public constant MAX_NOTICE = 365 days;

    address private _owner;
    uint40 private _acceptableFrom;
    address private _pendingOwner;
    TimedAddress private _guardian;
    TimedUint private _notice;

    /// @inheritdoc IGoverned
    function setNotice(uint40 notice_) external {
        _checkCallerIsOwner();
        _checkDuration(notice_);
        uint40 from;
        (_notice, from) = _notice.change(notice_, notice_ < notice(), _afterNotice());
        emit NoticeSet(notice_, from);
    }

    /// @inheritdoc IGoverned
    function setGuardian(address guardian_) external {
        _checkCallerIsOwner();
        uint40 from = _guardian.change(guardian_, _afterNotice());
        emit GuardianSet(guardian_, from);
    }

    /// @inheritdoc IGoverned
    function transferOwnership(address newOwner) external {
        _checkCallerIsOwner();
        if (newOwner == address(0)) revert ZeroOwner();
        address goal = _pendingOwner == address(0) ? _owner : _pendingOwner;
        if (newOwner == goal) revert NothingToChange();
        if (newOwner == _owner) {
            (_pendingOwner, _acceptableFrom) = (address(0), 0);
        } else {
            (_pendingOwner, _acceptableFrom) = (newOwner, _afterNotice());
        }
        emit OwnershipTransferStarted(_pendingOwner, _acceptableFrom);
    }

    /// @inheritdoc IGoverned
    function acceptOwnership() external {
        if (msg.sender != _pendingOwner) revert NotAuthorized(msg.sender);
        if (currentTime() < _acceptableFrom) revert NotYetAcceptable(_acceptableFrom);
        address previous = _owner;
        (_owner, _pendingOwner, _acceptableFrom) = (msg.sender, address(0), 0);
        emit OwnershipTransferred(previous, msg.sender);
    }

    /// @inheritdoc IGoverned
    function owner() external view returns (address) {
        return _owner;
    }

    /// @inheritdoc IGoverned
    function pendingOwner() external view returns (address newOwner, uint40 acceptableFrom) {
        return (_pendingOwner, _acceptableFrom);
    }

    /// @inheritdoc IGoverned
    function guardian() public view returns (address) {
        return _guardian.valueAt(currentTime());
    }

    /// @inheritdoc IGoverned
    function notice() public view returns (uint40) {
        return _notice.valueAt(currentTime());
    }

    /// @dev Called once, by a constructor or an initialiser.
    function _initGoverned(address owner_, address guardian_, uint40 notice_) internal {
        if (owner_ == address(0)) revert ZeroOwner();
        _checkDuration(notice_);
        uint40 time = currentTime();
        _owner = owner_;
        emit OwnershipTransferred(address(0), owner_);
        _notice = TimedUintLib.settled(notice_);
        emit NoticeSet(notice_, time);
        _guardian.value = guardian_;
        emit GuardianSet(guardian_, time);
    }

    /// @dev When a loosening that is decided now takes effect.
    function _afterNotice() internal view returns (uint40) {
        return currentTime() + notice();
    }

    function _checkCallerIsOwner() internal view {
        if (msg.sender != _owner) revert NotAuthorized(msg.sender);
    }

    /// @return isOwner whether the caller is the owner rather than the guardian
    function _checkCallerIsOwnerOrGuardian() internal view returns (bool isOwner) {
        isOwner = msg.sender == _owner;
        if (!isOwner && msg.sender != guardian()) revert NotAuthorized(msg.sender);
    }

    function _checkDuration(uint40 given) internal pure {
        if (given > MAX_NOTICE) revert DurationTooLong(given, MAX_NOTICE);
    }
}
