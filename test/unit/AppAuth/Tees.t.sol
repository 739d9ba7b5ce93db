// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {BootRequest, Reason, TcbStatus, TeeKind} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract TeesTest is Fixture {
    function _under(TeeKind tee) private view returns (Reason) {
        BootRequest memory request = _request();
        request.tee = tee;
        return _reason(request);
    }

    function test_allowTee_TakesEffectAfterTheNotice_G2() external {
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IAppPolicy.TeeScheduled(TeeKind.Snp, from);
        vm.prank(OWNER);
        app.allowTee(TeeKind.Snp);
        vm.warp(from - 1);
        assertReason(_under(TeeKind.Snp), Reason.TeeNotAllowed);
        vm.assertFalse(app.isTeeAllowed(TeeKind.Snp));
        vm.warp(from);
        assertReason(_under(TeeKind.Snp), Reason.Allowed);
        assertReason(_under(TeeKind.Tdx), Reason.Allowed);
        assertReason(_under(TeeKind.Nitro), Reason.TeeNotAllowed);
    }

    function test_removeTee_ActsAtOnceAndAllowingAgainWaits_G2() external {
        vm.expectEmit(address(app));
        emit IAppPolicy.TeeRemoved(TeeKind.Tdx, GUARDIAN);
        vm.prank(GUARDIAN);
        app.removeTee(TeeKind.Tdx);
        assertReason(_under(TeeKind.Tdx), Reason.TeeNotAllowed);
        vm.prank(OWNER);
        app.allowTee(TeeKind.Tdx);
        skip(NOTICE - 1);
        assertReason(_under(TeeKind.Tdx), Reason.TeeNotAllowed);
        skip(1);
        assertReason(_under(TeeKind.Tdx), Reason.Allowed);
    }

    function test_removeTee_CancelsAScheduledKind() external {
        vm.prank(OWNER);
        app.allowTee(TeeKind.Nitro);
        vm.prank(GUARDIAN);
        app.removeTee(TeeKind.Nitro);
        skip(NOTICE);
        assertReason(_under(TeeKind.Nitro), Reason.TeeNotAllowed);
    }

    function test_allowTee_KeepsThoseThatAreOnTheirWay() external {
        vm.startPrank(OWNER);
        app.allowTee(TeeKind.Snp);
        app.allowTee(TeeKind.Nitro);
        skip(NOTICE);
        assertReason(_under(TeeKind.Snp), Reason.Allowed);
        assertReason(_under(TeeKind.Nitro), Reason.Allowed);
    }

    /// @dev Under every floor, since both lie in one byte.
    function test_decide_NeverAllowsNoTee() external {
        for (uint8 floor = 1; floor <= uint8(type(TcbStatus).max); ++floor) {
            IAppPolicy.Init memory init = _init();
            init.tcbFloor = TcbStatus(floor);
            app = AppAuth(kms.deployAndRegisterApp(init, bytes32(uint256(floor))));
            assertReason(_under(TeeKind.None), Reason.TeeNotAllowed);
            assertReason(_under(TeeKind.Tdx), Reason.Allowed);
        }
    }

    function test_allowTee_RevertIf_None() external {
        vm.prank(OWNER);
        vm.expectRevert(IAppPolicy.InvalidTee.selector);
        app.allowTee(TeeKind.None);
    }

    function test_removeTee_RevertIf_None() external {
        vm.prank(OWNER);
        vm.expectRevert(IAppPolicy.InvalidTee.selector);
        app.removeTee(TeeKind.None);
    }

    function test_allowTee_RevertIf_AllowedOrScheduled() external {
        vm.startPrank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.allowTee(TeeKind.Tdx);
        app.allowTee(TeeKind.Snp);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.allowTee(TeeKind.Snp);
    }

    function test_removeTee_RevertIf_NotAllowed() external {
        vm.prank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.removeTee(TeeKind.Snp);
    }

    function testFuzz_allowTee_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.allowTee(TeeKind.Snp);
    }

    function testFuzz_removeTee_RevertIf_NotOwnerOrGuardian(address caller) external {
        vm.assume(caller != OWNER && caller != GUARDIAN);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.removeTee(TeeKind.Tdx);
    }
}
