// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../interfaces/IAppPolicy.sol";
import {Reasons} from "../libraries/Reasons.sol";
import {VersionList} from "../libraries/VersionList.sol";
import {Reason, Version, VersionState} from "../types/Boot.sol";
import {currentTime} from "../types/Timed.sol";
import {EarlierEnds} from "../types/Upgrades.sol";
import {AppWords} from "./AppWords.sol";

/// @notice Which code may run. Powers and non-powers: `IAppPolicy`.
abstract contract AppCode is AppWords, IAppPolicy {
    using VersionList for VersionList.Entry;

    mapping(bytes32 codeHash => VersionList.Entry) private _codes;
    EarlierEnds private _earlierEnds;

    /// @inheritdoc IAppPolicy
    function scheduleCode(bytes32 codeHash, string calldata sourceUri, bool supersede, uint40 handover) external {
        _scheduleByOwner(codeHash, sourceUri, supersede, handover, 0);
    }

    /// @inheritdoc IAppPolicy
    function scheduleCodeUntil(
        bytes32 codeHash,
        string calldata sourceUri,
        bool supersede,
        uint40 handover,
        uint40 expiresAt
    ) external {
        _scheduleByOwner(codeHash, sourceUri, supersede, handover, expiresAt);
        if (expiresAt == 0) revert LapsesTooSoon(0, _afterNotice() + 1);
        emit CodeRetirementSet(codeHash, expiresAt);
    }

    /// @inheritdoc IAppPolicy
    function retireCode(bytes32 codeHash, uint40 retireAt) external {
        _checkCallerIsOwner();
        _retireCode(codeHash, retireAt);
    }

    /// @inheritdoc IAppPolicy
    function codeState(bytes32 codeHash) external view returns (VersionState state, Version memory version) {
        version = _version(codeHash);
        state = VersionList.stateAt(version, currentTime());
    }

    /// @param era the one that `codeHash` belongs to from now on
    function _scheduleCode(bytes32 codeHash, string memory sourceUri, uint40 from, uint40 expiresAt, uint16 era)
        internal
        returns (uint40 activeFrom)
    {
        if (codeHash == bytes32(0)) revert ZeroCodeHash();
        activeFrom = _codes[codeHash].schedule(_version(codeHash), codeHash, from, expiresAt, era);
        emit CodeScheduled(codeHash, activeFrom, sourceUri);
    }

    function _retireCode(bytes32 codeHash, uint40 retireAt) internal {
        Version memory present = _version(codeHash);
        if (VersionList.stateAt(present, currentTime()) == VersionState.None) revert UnknownCode(codeHash);
        emit CodeRetirementSet(codeHash, _codes[codeHash].retire(present, codeHash, retireAt));
    }

    function _revokeCode(bytes32 codeHash) internal {
        if (codeHash == bytes32(0)) revert ZeroCodeHash();
        _codes[codeHash].revoke();
        emit CodeRevoked(codeHash, msg.sender);
    }

    /// @dev Whether `codeHash` may run now, and until when if nothing is changed.
    function _checkCode(bytes32 codeHash) internal view returns (Reason reason, uint64 until) {
        VersionState state;
        (state, until) = VersionList.inForce(_version(codeHash), currentTime());
        reason = Reasons.ofCode(state);
    }

    /// @dev An upgrade puts the new version into the era that it opens, and ends the era of all others.
    function _scheduleByOwner(
        bytes32 codeHash,
        string memory sourceUri,
        bool supersede,
        uint40 handover,
        uint40 expiresAt
    ) private {
        _checkCallerIsOwner();
        _checkDuration(handover);
        uint16 era = supersede ? _upgrades.nextEra() : _upgrades.era();
        uint40 activeFrom = _scheduleCode(codeHash, sourceUri, _afterNotice(), expiresAt, era);
        if (!supersede) return;
        uint40 time = currentTime();
        uint40 retireAt = (activeFrom < time ? time : activeFrom) + handover;
        _upgrades = _upgrades.supersede(_earlierEnds, retireAt);
        emit CodesSuperseded(codeHash, retireAt);
    }

    function _version(bytes32 codeHash) private view returns (Version memory) {
        VersionList.Entry memory entry = _codes[codeHash];
        return entry.endingWith(_upgrades.endOf(_earlierEnds, entry.era));
    }
}
