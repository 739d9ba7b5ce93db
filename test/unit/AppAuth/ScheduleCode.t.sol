// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IVersions} from "../../../contracts/interfaces/IVersions.sol";
import {Reason, VersionState} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract ScheduleCodeTest is Fixture {
    function test_scheduleCode_TakesEffectAfterTheNotice() external {
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeScheduled(CODE_2, from, "https://code.example/2");
        vm.prank(OWNER);
        app.scheduleCode(CODE_2, "https://code.example/2", false, 0);

        assertReason(_reasonFor(CODE_2), Reason.CodeScheduled);
        vm.warp(from - 1);
        assertReason(_reasonFor(CODE_2), Reason.CodeScheduled);
        vm.warp(from);
        assertReason(_reasonFor(CODE_2), Reason.Allowed);
        assertReason(_reasonFor(CODE), Reason.Allowed);
    }

    function test_scheduleCode_SupersedesLiveVersionsAfterTheHandover() external {
        vm.startPrank(OWNER);
        app.scheduleCode(CODE_2, "", false, 0);
        uint40 retireAt = currentTime() + NOTICE + 1 hours;
        vm.expectEmit(address(app));
        emit IAppPolicy.CodesSuperseded(CODE_3, retireAt);
        app.scheduleCode(CODE_3, "", true, 1 hours);

        assertState(_state(CODE), VersionState.Retiring);
        vm.warp(retireAt - 1);
        assertReason(_reasonFor(CODE), Reason.Allowed);
        assertReason(_reasonFor(CODE_2), Reason.Allowed);
        vm.warp(retireAt);
        assertReason(_reasonFor(CODE), Reason.CodeRetired);
        assertReason(_reasonFor(CODE_2), Reason.CodeRetired);
        assertReason(_reasonFor(CODE_3), Reason.Allowed);
    }

    function test_scheduleCode_SupersedeLeavesAnEarlierRetirement() external {
        uint40 retireAt = currentTime() + 1 days;
        vm.startPrank(OWNER);
        app.retireCode(CODE, retireAt);
        app.scheduleCode(CODE_2, "", true, 1 hours);
        vm.assertEq(_version(CODE).retireAt, retireAt);
    }

    function test_scheduleCode_SupersedeBringsALaterRetirementForward() external {
        vm.startPrank(OWNER);
        app.retireCode(CODE, currentTime() + 30 days);
        app.scheduleCode(CODE_2, "", true, 1 hours);
        vm.assertEq(_version(CODE).retireAt, currentTime() + NOTICE + 1 hours);
    }

    function test_scheduleCode_RevokingTheSuccessorDoesNotBringBackThePredecessor_G3() external {
        vm.prank(OWNER);
        app.scheduleCode(CODE_2, "", true, 0);
        vm.prank(GUARDIAN);
        app.revokeCode(CODE_2, false);
        skip(NOTICE);
        assertReason(_reasonFor(CODE), Reason.CodeRetired);
    }

    function test_scheduleCode_DropsARetirementThatLiesBeyondTheNotice() external {
        uint40 activeFrom = _version(CODE).activeFrom;
        vm.startPrank(OWNER);
        app.scheduleCode(CODE_2, "", true, 0);
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeScheduled(CODE, activeFrom, "again");
        app.scheduleCode(CODE, "again", false, 0);
        assertState(_state(CODE), VersionState.Active);
        vm.assertEq(_version(CODE).retireAt, 0);
    }

    function test_scheduleCode_OfAnActiveVersionSupersedesTheOthersFromNow() external {
        vm.startPrank(OWNER);
        app.scheduleCode(CODE_2, "", true, 10 days);
        app.scheduleCode(CODE, "", true, 1 hours);
        vm.assertEq(_version(CODE).retireAt, 0);
        vm.assertEq(_version(CODE_2).retireAt, currentTime() + 1 hours);
        skip(NOTICE);
        assertReason(_reasonFor(CODE_2), Reason.CodeRetired);
    }

    function test_scheduleCode_RevertIf_RetirementComesBeforeTheNoticeEnds() external {
        vm.startPrank(OWNER);
        app.scheduleCode(CODE_2, "", true, 0);
        uint40 retireAt = _version(CODE).retireAt;
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IVersions.StillRetiring.selector, CODE, retireAt));
        app.scheduleCode(CODE, "", false, 0);
    }

    function test_scheduleCode_BringsBackARetiredVersionAfterTheNotice() external {
        vm.startPrank(OWNER);
        app.retireCode(CODE, currentTime());
        app.scheduleCode(CODE, "", false, 0);
        assertState(_state(CODE), VersionState.Scheduled);
        skip(NOTICE - 1);
        assertReason(_reasonFor(CODE), Reason.CodeScheduled);
        skip(1);
        assertReason(_reasonFor(CODE), Reason.Allowed);
    }

    function test_scheduleCode_RevertIf_AlreadyScheduledOrActive() external {
        vm.startPrank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.scheduleCode(CODE, "", true, 0);
        app.scheduleCode(CODE_2, "", false, 0);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.scheduleCode(CODE_2, "", false, 0);
    }

    function test_scheduleCode_RevertIf_Revoked() external {
        vm.startPrank(OWNER);
        app.revokeCode(CODE, false);
        vm.expectRevert(abi.encodeWithSelector(IVersions.Revoked.selector, CODE));
        app.scheduleCode(CODE, "", false, 0);
    }

    function test_scheduleCode_RevertIf_ZeroHash() external {
        vm.prank(OWNER);
        vm.expectRevert(IAppPolicy.ZeroCodeHash.selector);
        app.scheduleCode(bytes32(0), "", false, 0);
    }

    function test_scheduleCode_RevertIf_HandoverTooLong() external {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.DurationTooLong.selector, 365 days + 1, 365 days));
        app.scheduleCode(CODE_2, "", true, 365 days + 1);
    }

    function testFuzz_scheduleCode_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.scheduleCode(CODE_2, "", false, 0);
    }
}
