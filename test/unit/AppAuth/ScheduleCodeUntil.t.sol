// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IVersions} from "../../../contracts/interfaces/IVersions.sol";
import {Reason, VersionState} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract ScheduleCodeUntilTest is Fixture {
    uint40 private activeFrom;
    uint40 private expiresAt;

    function setUp() public override {
        super.setUp();
        activeFrom = currentTime() + NOTICE;
        expiresAt = activeFrom + 10 days;
    }

    function _schedule(bool supersede) private {
        vm.prank(OWNER);
        app.scheduleCodeUntil(CODE_2, "uri", supersede, 1 days, expiresAt);
    }

    function test_scheduleCodeUntil_LapsesWhenNobodyConfirms() external {
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeScheduled(CODE_2, activeFrom, "uri");
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeRetirementSet(CODE_2, expiresAt);
        _schedule(false);
        vm.warp(activeFrom - 1);
        assertReason(_reasonFor(CODE_2), Reason.CodeScheduled);
        vm.warp(activeFrom);
        (,, uint64 validUntil) = app.decide(_requestFor(CODE_2));
        vm.assertEq(validUntil, expiresAt);
        vm.warp(expiresAt);
        assertReason(_reasonFor(CODE_2), Reason.CodeRetired);
        assertReason(_reasonFor(CODE), Reason.Allowed);
    }

    function test_scheduleCodeUntil_IsKeptByTheOwnerWhoSchedulesAgain() external {
        _schedule(false);
        vm.warp(expiresAt - NOTICE);
        vm.prank(OWNER);
        app.scheduleCode(CODE_2, "uri", false, 0);
        vm.assertEq(_version(CODE_2).activeFrom, activeFrom);
        assertState(_state(CODE_2), VersionState.Active);
        vm.warp(expiresAt);
        assertReason(_reasonFor(CODE_2), Reason.Allowed);
    }

    function test_scheduleCodeUntil_ProlongsALaterEnd() external {
        _schedule(false);
        vm.prank(OWNER);
        app.scheduleCodeUntil(CODE_2, "uri", false, 0, expiresAt + 1);
        vm.assertEq(_version(CODE_2).retireAt, expiresAt + 1);
    }

    function test_scheduleCodeUntil_WhatItSupersededRetiresThoughItLapses_G3() external {
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeScheduled(CODE_2, activeFrom, "uri");
        vm.expectEmit(address(app));
        emit IAppPolicy.CodesSuperseded(CODE_2, activeFrom + 1 days);
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeRetirementSet(CODE_2, expiresAt);
        _schedule(true);
        vm.warp(expiresAt);
        assertReason(_reasonFor(CODE), Reason.CodeRetired);
        assertReason(_reasonFor(CODE_2), Reason.CodeRetired);
    }

    function test_scheduleCodeUntil_RevertIf_ProlongedTooLate_G2() external {
        _schedule(false);
        vm.warp(expiresAt - NOTICE + 1);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IVersions.StillRetiring.selector, CODE_2, expiresAt));
        app.scheduleCode(CODE_2, "uri", false, 0);
    }

    function test_scheduleCodeUntil_RevertIf_NotLaterThanBefore() external {
        _schedule(false);
        vm.startPrank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.scheduleCodeUntil(CODE_2, "uri", false, 0, expiresAt);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.scheduleCodeUntil(CODE, "uri", false, 0, expiresAt);
    }

    function test_scheduleCodeUntil_RevertIf_LapsesBeforeItBegins() external {
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IVersions.LapsesTooSoon.selector, activeFrom, activeFrom + 1));
        app.scheduleCodeUntil(CODE_2, "uri", false, 0, activeFrom);
        vm.expectRevert(abi.encodeWithSelector(IVersions.LapsesTooSoon.selector, 0, activeFrom + 1));
        app.scheduleCodeUntil(CODE_2, "uri", false, 0, 0);
        app.scheduleCodeUntil(CODE_2, "uri", false, 0, activeFrom + 1);
    }

    function testFuzz_scheduleCodeUntil_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.scheduleCodeUntil(CODE_2, "uri", false, 0, expiresAt);
    }
}
