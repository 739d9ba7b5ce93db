// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IVersions} from "../../../contracts/interfaces/IVersions.sol";
import {BootRequest, Reason, VersionState} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract RetireCodeTest is Fixture {
    function test_retireCode_EndsTheVersionThen() external {
        uint40 retireAt = currentTime() + 1 hours;
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeRetirementSet(CODE, retireAt);
        vm.prank(OWNER);
        app.retireCode(CODE, retireAt);
        assertState(_state(CODE), VersionState.Retiring);
        (,, uint64 validUntil) = app.decide(_request());
        vm.assertEq(validUntil, retireAt);
        vm.warp(retireAt);
        assertReason(_reasonFor(CODE), Reason.CodeRetired);
    }

    function test_retireCode_TakesAPastTimeForNow() external {
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeRetirementSet(CODE, currentTime());
        vm.prank(OWNER);
        app.retireCode(CODE, 5);
        assertReason(_reasonFor(CODE), Reason.CodeRetired);
    }

    function test_retireCode_BringsARetirementForward() external {
        vm.startPrank(OWNER);
        app.retireCode(CODE, currentTime() + 2 hours);
        app.retireCode(CODE, currentTime() + 1 hours);
        vm.assertEq(_version(CODE).retireAt, currentTime() + 1 hours);
    }

    function test_retireCode_OfAScheduledVersionKeepsItFromStarting() external {
        vm.startPrank(OWNER);
        app.scheduleCode(CODE_2, "", false, 0);
        app.retireCode(CODE_2, currentTime() + 1 hours);
        assertState(_state(CODE_2), VersionState.Scheduled);
        skip(NOTICE);
        assertState(_state(CODE_2), VersionState.Retired);
        assertReason(_reasonFor(CODE_2), Reason.CodeRetired);
    }

    function test_retireCode_RevertIf_LaterThanBefore_G2() external {
        vm.startPrank(OWNER);
        app.retireCode(CODE, currentTime() + 1 hours);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.retireCode(CODE, currentTime() + 2 hours);
    }

    function test_retireCode_RevertIf_Unknown() external {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IAppPolicy.UnknownCode.selector, CODE_2));
        app.retireCode(CODE_2, currentTime());
    }

    function test_retireCode_RevertIf_Revoked() external {
        vm.startPrank(OWNER);
        app.revokeCode(CODE, false);
        vm.expectRevert(abi.encodeWithSelector(IVersions.Revoked.selector, CODE));
        app.retireCode(CODE, currentTime());
    }

    function testFuzz_retireCode_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.retireCode(CODE, 0);
    }
}
