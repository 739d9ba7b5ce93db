// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "./interfaces/IGoverned.sol";
import {currentTime} from "./types/Timed.sol";

/// @notice Owner, guardian and notice, and who may change them when.
abstract contract Governed is IGoverned {
    /// @notice No notice, handover or other delay is longer than this.
    uint40 public constant MAX_NOTICE = 365 days;

    // What is pending lies apart from what is in force, so that the first costs nothing while nothing is pending. The owner's
    // slot comes last and has eight bytes left for the contract that inherits.
    address private _pendingOwner;
    uint40 private _acceptableFrom;

    address private _nextGuardian;
    uint32 private _nextNotice;

    address private _guardian;
    uint40 private _guardianFrom;
    uint40 private _noticeFrom;

    address private _owner;
    uint32 private _notice;

    /// @inheritdoc IGoverned
    function setNotice(uint40 notice_) external {
        _checkCallerIsOwner();
        _checkDuration(notice_);
        uint40 present = notice();
        // What is in force may be asked for again while something else is pending: that cancels the change.
        if (notice_ == (_noticeFrom == 0 ? present : _nextNotice)) revert NothingToChange();
        bool shorter = notice_ < present;
        uint40 from = shorter ? currentTime() + present : currentTime();
        _notice = uint32(shorter ? present : notice_);
        (_nextNotice, _noticeFrom) = shorter ? (uint32(notice_), from) : (0, 0);
        emit NoticeSet(notice_, from);
    }

    /// @inheritdoc IGoverned
    function setGuardian(address guardian_) external {
        _checkCallerIsOwner();
        address present = guardian();
        if (guardian_ == (_guardianFrom == 0 ? present : _nextGuardian)) revert NothingToChange();
        bool same = guardian_ == present;
        uint40 from = same ? currentTime() : _afterNotice();
        _guardian = present;
        // Zero stands for no guardian.
        // slither-disable-next-line missing-zero-check
        (_nextGuardian, _guardianFrom) = same ? (address(0), 0) : (guardian_, from);
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
    function pendingGuardian() external view returns (address newGuardian, uint40 from) {
        if (currentTime() < _guardianFrom) return (_nextGuardian, _guardianFrom);
    }

    /// @inheritdoc IGoverned
    function pendingNotice() external view returns (uint40 newNotice, uint40 from) {
        if (currentTime() < _noticeFrom) return (_nextNotice, _noticeFrom);
    }

    /// @inheritdoc IGoverned
    function guardian() public view returns (address) {
        return _hasCome(_guardianFrom) ? _nextGuardian : _guardian;
    }

    /// @inheritdoc IGoverned
    function notice() public view returns (uint40) {
        return _hasCome(_noticeFrom) ? _nextNotice : _notice;
    }

    /// @dev Called once, by a constructor or an initialiser.
    function _initGoverned(address owner_, address guardian_, uint40 notice_) internal {
        if (owner_ == address(0)) revert ZeroOwner();
        _checkDuration(notice_);
        uint40 time = currentTime();
        _owner = owner_;
        emit OwnershipTransferred(address(0), owner_);
        // Fits: no notice is longer than `MAX_NOTICE`.
        _notice = uint32(notice_);
        emit NoticeSet(notice_, time);
        if (guardian_ != address(0)) _guardian = guardian_;
        emit GuardianSet(guardian_, time);
    }

    /// @dev When a loosening that is decided now takes effect.
    function _afterNotice() internal view returns (uint40) {
        return currentTime() + notice();
    }

    /// @dev Whether somebody is the owner: false for a clone that nobody initialised.
    function _isInitialized() internal view returns (bool) {
        return _owner != address(0);
    }

    /// @dev Whether a time that was set, that is, not zero, has come.
    function _hasCome(uint40 time) internal view returns (bool) {
        return time != 0 && currentTime() >= time;
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
