// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {Reason} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract PauseTest is Fixture {
    function test_pause_StopsEverythingUntilItEndsByItself_G3() external {
        uint40 until = currentTime() + 3 days;
        vm.expectEmit(address(app));
        emit IAppPolicy.Paused(GUARDIAN, until);
        vm.prank(GUARDIAN);
        app.pause(until);
        vm.assertFalse(app.isGuardianPauseArmed());
        assertReason(_reasonFor(CODE), Reason.AppPaused);
        vm.warp(until - 1);
        assertReason(_reasonFor(CODE), Reason.AppPaused);
        vm.warp(until);
        assertReason(_reasonFor(CODE), Reason.Allowed);
    }

    function test_pause_CanBeMadeLonger() external {
        vm.startPrank(OWNER);
        app.pause(currentTime() + 1 days);
        app.pause(currentTime() + 30 days);
        vm.assertEq(app.pausedUntil(), currentTime() + 30 days);
        vm.assertTrue(app.isGuardianPauseArmed());
    }

    function test_pause_RevertIf_GuardianUsedItsPause_G3() external {
        vm.startPrank(GUARDIAN);
        app.pause(currentTime() + 1 days);
        skip(1 days);
        uint40 until = currentTime() + 1 days;
        vm.expectRevert(IAppPolicy.GuardianPauseNotArmed.selector);
        app.pause(until);
        vm.stopPrank();

        vm.expectEmit(address(app));
        emit IAppPolicy.GuardianPauseArmed();
        vm.prank(OWNER);
        app.armGuardianPause();
        vm.prank(GUARDIAN);
        app.pause(until);
        vm.assertEq(app.pausedUntil(), until);
    }

    function test_pause_RevertIf_Shorter_G3() external {
        vm.startPrank(OWNER);
        app.pause(currentTime() + 2 days);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.pause(currentTime() + 1 days);
    }

    function test_pause_RevertIf_InThePast() external {
        vm.prank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.pause(currentTime());
    }

    function test_pause_RevertIf_TooLong() external {
        uint40 max = currentTime() + 30 days;
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IAppPolicy.PauseTooLong.selector, max + 1, max));
        app.pause(max + 1);
    }

    function test_armGuardianPause_RevertIf_Armed() external {
        vm.prank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.armGuardianPause();
    }

    function test_armGuardianPause_RevertIf_Guardian_G3() external {
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, GUARDIAN));
        app.armGuardianPause();
    }

    function testFuzz_pause_RevertIf_NotOwnerOrGuardian(address caller) external {
        vm.assume(caller != OWNER && caller != GUARDIAN);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.pause(type(uint40).max);
    }
}
