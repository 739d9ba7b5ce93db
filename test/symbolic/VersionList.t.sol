// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {VersionList} from "../../contracts/libraries/VersionList.sol";
import {Version, VersionState} from "../../contracts/types/Boot.sol";
import {vm} from "../unit/support/Vm.sol";
import {svm} from "./support/Svm.sol";

/// @notice Versions alone, with every change that a contract can ask of them. When the era of each ends is arbitrary;
/// `UpgradesProofs` has how that changes.
contract VersionListHarness {
    using VersionList for VersionList.Entry;

    mapping(bytes32 versionHash => VersionList.Entry) private _entries;
    mapping(bytes32 versionHash => uint40) private _eraEnds;

    /// @notice What owners do: loosening by `schedule`, which waits for the notice, and tightening. A version that is
    /// scheduled belongs to an era that has no end yet.
    function schedule(bytes32 versionHash, uint40 from, uint40 expiresAt, uint16 era) external {
        _entries[versionHash].schedule(_present(versionHash), versionHash, from, expiresAt, era);
        _eraEnds[versionHash] = 0;
    }

    function retire(bytes32 versionHash, uint40 retireAt) external {
        _entries[versionHash].retire(_present(versionHash), versionHash, retireAt);
    }

    function revoke(bytes32 versionHash) external {
        _entries[versionHash].revoke();
    }

    function isInForce(bytes32 versionHash) external view returns (bool) {
        (, uint64 until) = VersionList.inForce(_present(versionHash), uint40(block.timestamp));
        return until != 0;
    }

    /// @notice Whether both ways to ask agree: `until` is 0 exactly when the version is not in force.
    function isConsistent(bytes32 versionHash) external view returns (bool) {
        (VersionState state, uint64 until) = VersionList.inForce(_present(versionHash), uint40(block.timestamp));
        return (state == VersionState.Active || state == VersionState.Retiring) == (until > block.timestamp);
    }

    function eraEnd(bytes32 versionHash) external view returns (uint40) {
        return _eraEnds[versionHash];
    }

    function setEraEnd(bytes32 versionHash, uint40 end) external {
        _eraEnds[versionHash] = end;
    }

    function _present(bytes32 versionHash) private view returns (Version memory) {
        VersionList.Entry memory entry = _entries[versionHash];
        return entry.endingWith(_eraEnds[versionHash]);
    }
}

/// @notice G-2 and G-3 of versions: for every content of storage, every time and every argument.
///
/// Storage is arbitrary, so one call stands for the last of any sequence of calls.
contract VersionListProofs {
    uint256 private constant END_OF_TIME = 1 << 39;

    VersionListHarness private list;

    function setUp() external {
        list = new VersionListHarness();
        svm.enableSymbolicStorage(address(list));
    }

    function check_inForce_HasAnEndToCome(bytes32 probed, uint40 probeTime) external {
        vm.assume(0 < probeTime && probeTime < END_OF_TIME);
        vm.warp(probeTime);
        assert(list.isConsistent(probed));
    }

    /// @notice Scheduling brings nothing into force before `from`, also not by dropping a retirement or the end of an era.
    function check_G2_schedule(
        bytes32 versionHash,
        uint40 from,
        uint40 expiresAt,
        uint16 era,
        bytes32 probed,
        uint40 time,
        uint40 probeTime
    ) external {
        vm.assume(probeTime < from);
        _check(abi.encodeCall(list.schedule, (versionHash, from, expiresAt, era)), probed, time, probeTime);
    }

    function check_G2_G3_retire(bytes32 versionHash, uint40 retireAt, bytes32 probed, uint40 time, uint40 probeTime)
        external
    {
        _check(abi.encodeCall(list.retire, (versionHash, retireAt)), probed, time, probeTime);
    }

    function check_G2_G3_revoke(bytes32 versionHash, bytes32 probed, uint40 time, uint40 probeTime) external {
        _check(abi.encodeCall(list.revoke, (versionHash)), probed, time, probeTime);
    }

    /// @notice An era that ends sooner, or at all, brings nothing into force, and nothing of it outlives its end.
    function check_G2_G3_eraEnds(bytes32 probed, uint40 end, uint40 probeTime) external {
        vm.assume(0 < end && 0 < probeTime && probeTime < END_OF_TIME);
        uint40 before = list.eraEnd(probed);
        vm.assume(before == 0 || end <= before);
        vm.warp(probeTime);
        bool wasInForce = list.isInForce(probed);
        list.setEraEnd(probed, end);
        assert(!list.isInForce(probed) || (wasInForce && probeTime < end));
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
