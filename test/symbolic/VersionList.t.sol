// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {VersionList} from "../../contracts/libraries/VersionList.sol";
import {Version, VersionState} from "../../contracts/types/Boot.sol";
import {EarlierEnds, Upgrades} from "../../contracts/types/Upgrades.sol";
import {vm} from "../unit/support/Vm.sol";
import {svm} from "./support/Svm.sol";

/// @notice Versions and their eras alone, with every change that a contract can ask of them.
contract VersionListHarness {
    using VersionList for VersionList.Entry;

    mapping(bytes32 versionHash => VersionList.Entry) private _entries;
    EarlierEnds private _earlierEnds;
    Upgrades private _upgrades;

    /// @notice What owners do: loosening by `schedule`, which waits for `notice`, and tightening.
    function schedule(bytes32 versionHash, uint40 from, uint40 expiresAt) external {
        _entries[versionHash].schedule(_present(versionHash), versionHash, from, expiresAt, _upgrades.era());
    }

    /// @notice Schedules into the era that it opens, and ends all others.
    function upgrade(bytes32 versionHash, uint40 from, uint40 expiresAt, uint40 end) external {
        uint16 era = _upgrades.nextEra();
        _entries[versionHash].schedule(_present(versionHash), versionHash, from, expiresAt, era);
        _upgrades = _upgrades.supersede(_earlierEnds, end);
    }

    function retire(bytes32 versionHash, uint40 retireAt) external {
        _entries[versionHash].retire(_present(versionHash), versionHash, retireAt);
    }

    function revoke(bytes32 versionHash) external {
        _entries[versionHash].revoke();
    }

    function isInForce(bytes32 versionHash) external view returns (bool) {
        (VersionState state, uint64 until) = VersionList.inForce(_present(versionHash), uint40(block.timestamp));
        // Both ways to ask must agree: `until` is 0 exactly when the version is not in force.
        assert((state == VersionState.Active || state == VersionState.Retiring) == (until > block.timestamp));
        return until != 0;
    }

    /// @notice Whether the version's era has begun.
    function hasEra(bytes32 versionHash) external view returns (bool) {
        return _entries[versionHash].era <= _upgrades.era();
    }

    function _present(bytes32 versionHash) private view returns (Version memory) {
        VersionList.Entry memory entry = _entries[versionHash];
        return entry.endingWith(_upgrades.endOf(_earlierEnds, entry.era));
    }
}

/// @notice G-2 and G-3 of versions and upgrades: for every content of storage, every time and every argument.
///
/// Storage is arbitrary, so one call stands for the last of any sequence of calls. A version whose era has not begun cannot be
/// asked for, it reverts; `check_wellFormed_Eras` has that there is none.
contract VersionListProofs {
    uint256 private constant END_OF_TIME = 1 << 39;

    VersionListHarness private list;

    function setUp() external {
        list = new VersionListHarness();
        svm.enableSymbolicStorage(address(list));
    }

    /// @notice Scheduling brings nothing into force before `from`, also not by dropping a retirement.
    function check_G2_schedule(
        bytes32 versionHash,
        uint40 from,
        uint40 expiresAt,
        bytes32 probed,
        uint40 time,
        uint40 probeTime
    ) external {
        vm.assume(probeTime < from);
        _check(abi.encodeCall(list.schedule, (versionHash, from, expiresAt)), probed, time, probeTime);
    }

    /// @notice Nor does an upgrade, neither the version itself nor any that it supersedes, however many eras ago.
    function check_G2_upgrade(
        bytes32 versionHash,
        uint40 from,
        uint40 expiresAt,
        uint40 end,
        bytes32 probed,
        uint40 time,
        uint40 probeTime
    ) external {
        vm.assume(probeTime < from && time <= end);
        _check(abi.encodeCall(list.upgrade, (versionHash, from, expiresAt, end)), probed, time, probeTime);
    }

    /// @notice What an upgrade supersedes has ended at `end`, also after the notice.
    function check_upgrade_EndsAllOthers(
        bytes32 versionHash,
        uint40 from,
        uint40 end,
        bytes32 probed,
        uint40 time,
        uint40 probeTime
    ) external {
        vm.assume(0 < time && time <= end && end <= probeTime && probeTime < END_OF_TIME);
        vm.assume(probed != versionHash && list.hasEra(probed));
        vm.warp(time);
        list.upgrade(versionHash, from, 0, end);
        vm.warp(probeTime);
        assert(!list.isInForce(probed));
    }

    function check_G2_G3_retire(bytes32 versionHash, uint40 retireAt, bytes32 probed, uint40 time, uint40 probeTime)
        external
    {
        _check(abi.encodeCall(list.retire, (versionHash, retireAt)), probed, time, probeTime);
    }

    function check_G2_G3_revoke(bytes32 versionHash, bytes32 probed, uint40 time, uint40 probeTime) external {
        _check(abi.encodeCall(list.revoke, (versionHash)), probed, time, probeTime);
    }

    /// @notice What is revoked is not in force at any later time, whatever is called then.
    function check_G3_revokedForGood(bytes32 versionHash, uint40 time, uint40 later, uint40 probeTime) external {
        vm.assume(time <= later && later <= probeTime && probeTime < END_OF_TIME);
        vm.warp(time);
        list.revoke(versionHash);
        vm.warp(later);
        (bool success,) = address(list).call(svm.createCalldata("VersionListHarness"));
        vm.assume(success);
        vm.warp(probeTime);
        assert(!list.isInForce(versionHash));
    }

    /// @notice No call puts a version into an era that has not begun.
    function check_wellFormed_Eras(bytes32 probed, uint40 time) external {
        vm.assume(0 < time && time < END_OF_TIME && list.hasEra(probed));
        vm.warp(time);
        (bool success,) = address(list).call(svm.createCalldata("VersionListHarness"));
        vm.assume(success);
        assert(list.hasEra(probed));
    }

    /// @notice Does `data` at `time`, goes on only when `probed` is in force at `probeTime` then, and takes it all back.
    function tryCall(bytes calldata data, bytes32 probed, uint40 time, uint40 probeTime) external {
        vm.warp(time);
        (bool success,) = address(list).call(data);
        vm.assume(success);
        vm.warp(probeTime);
        vm.assume(list.isInForce(probed));
        revert();
    }

    /// @dev Does `data` at `time`. What is in force at `probeTime` then was going to be in force. What was is looked at last:
    /// else every state in which it was not would have to be followed through the call.
    function _check(bytes memory data, bytes32 probed, uint40 time, uint40 probeTime) private {
        vm.assume(0 < time && time <= probeTime && probeTime < END_OF_TIME);
        (bool success,) = address(this).call(abi.encodeCall(this.tryCall, (data, probed, time, probeTime)));
        assert(!success);
        vm.warp(probeTime);
        assert(list.isInForce(probed));
    }
}
