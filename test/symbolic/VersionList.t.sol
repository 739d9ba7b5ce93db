// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {VersionList} from "../../contracts/libraries/VersionList.sol";
import {VersionState} from "../../contracts/types/Boot.sol";
import {vm} from "../unit/support/Vm.sol";
import {svm} from "./support/Svm.sol";

/// @notice The list alone, with every change that a contract can ask of it.
contract VersionListHarness {
    using VersionList for VersionList.Context;

    VersionList.Context private _list;

    /// @notice What owners do: loosening by `schedule`, which waits for `notice`, and tightening.
    function schedule(bytes32 versionHash, uint40 from) external {
        _list.schedule(versionHash, from);
    }

    function supersede(bytes32 versionHash, uint40 retireAt) external {
        _list.supersede(versionHash, retireAt);
    }

    function retire(bytes32 versionHash, uint40 retireAt) external {
        _list.retire(versionHash, retireAt);
    }

    function revoke(bytes32 versionHash) external {
        _list.revoke(versionHash);
    }

    /// @dev Symbolic execution wants to know how often loops turn.
    function setLength(uint256 length) external {
        bytes32[] storage live = _list.live;
        assembly ("memory-safe") {
            sstore(live.slot, length)
        }
    }

    function isInForce(bytes32 versionHash) external view returns (bool) {
        (VersionState state, uint64 until) = VersionList.inForce(_list.versions[versionHash], uint40(block.timestamp));
        // Both ways to ask must agree: `until` is 0 exactly when the version is not in force.
        assert((state == VersionState.Active || state == VersionState.Retiring) == (until > block.timestamp));
        return until != 0;
    }
}

/// @notice G-2 and G-3 of the list of versions: for every content of storage, every time and every argument.
///
/// Storage is arbitrary, so one call stands for the last of any sequence of calls. Bounded: the list of live versions has
/// two entries, which may be equal or unknown to the mapping.
contract VersionListProofs {
    uint256 private constant LIVE = 2;
    uint256 private constant END_OF_TIME = 1 << 39;

    VersionListHarness private list;

    function setUp() external {
        list = new VersionListHarness();
        svm.enableSymbolicStorage(address(list));
        list.setLength(LIVE);
    }

    /// @notice Scheduling brings nothing into force before `from`, also not by dropping a retirement.
    function check_G2_schedule(bytes32 versionHash, uint40 from, bytes32 probed, uint40 time, uint40 probeTime)
        external
    {
        vm.assume(probeTime < from);
        _check(abi.encodeCall(list.schedule, (versionHash, from)), probed, time, probeTime);
    }

    function check_G2_G3_supersede(bytes32 versionHash, uint40 retireAt, bytes32 probed, uint40 time, uint40 probeTime)
        external
    {
        vm.assume(time <= retireAt);
        _check(abi.encodeCall(list.supersede, (versionHash, retireAt)), probed, time, probeTime);
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

    /// @dev Does `data` at `time`. What is in force at `probeTime` then was going to be in force.
    function _check(bytes memory data, bytes32 probed, uint40 time, uint40 probeTime) private {
        vm.assume(0 < time && time <= probeTime && probeTime < END_OF_TIME);
        vm.warp(probeTime);
        bool before = list.isInForce(probed);
        if (before) return;
        vm.warp(time);
        (bool success,) = address(list).call(data);
        vm.assume(success);
        vm.warp(probeTime);
        assert(!list.isInForce(probed));
    }
}
