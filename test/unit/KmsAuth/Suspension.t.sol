// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IKmsAuth} from "../../../contracts/interfaces/IKmsAuth.sol";
import {Reason, Verdict} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract SuspensionTest is Fixture {
    function test_suspendApp_ActsAtOnce_G2() external {
        vm.expectEmit(address(kms));
        emit IKmsAuth.AppSuspensionSet(address(app), true, currentTime());
        vm.prank(KMS_GUARDIAN);
        kms.suspendApp(address(app));
        vm.assertTrue(kms.isSuspended(address(app)));
        assertVerdict(_request(), Verdict.Denied, Reason.AppSuspended, 0);
    }

    function test_liftSuspension_TakesEffectAfterTheNotice_G2() external {
        vm.startPrank(KMS_OWNER);
        kms.suspendApp(address(app));
        uint40 from = currentTime() + KMS_NOTICE;
        vm.expectEmit(address(kms));
        emit IKmsAuth.AppSuspensionSet(address(app), false, from);
        kms.liftSuspension(address(app));
        vm.warp(from - 1);
        assertVerdict(_request(), Verdict.Denied, Reason.AppSuspended, 0);
        vm.warp(from);
        assertVerdict(_request(), Verdict.Allowed, Reason.Allowed, type(uint64).max);
    }

    function test_suspendApp_CancelsALiftThatIsPending_G3() external {
        vm.startPrank(KMS_OWNER);
        kms.suspendApp(address(app));
        kms.liftSuspension(address(app));
        vm.stopPrank();
        vm.prank(KMS_GUARDIAN);
        kms.suspendApp(address(app));
        skip(KMS_NOTICE);
        vm.assertTrue(kms.isSuspended(address(app)));
    }

    function test_suspendApp_RevertIf_Suspended() external {
        vm.startPrank(KMS_OWNER);
        kms.suspendApp(address(app));
        vm.expectRevert(IGoverned.NothingToChange.selector);
        kms.suspendApp(address(app));
    }

    function test_suspendApp_RevertIf_NotRegistered() external {
        vm.prank(KMS_OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.NotRegistered.selector, STRANGER));
        kms.suspendApp(STRANGER);
    }

    function test_liftSuspension_RevertIf_NotSuspendedOrLifting() external {
        vm.startPrank(KMS_OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        kms.liftSuspension(address(app));
        kms.suspendApp(address(app));
        kms.liftSuspension(address(app));
        vm.expectRevert(IGoverned.NothingToChange.selector);
        kms.liftSuspension(address(app));
    }

    function testFuzz_suspendApp_RevertIf_NotOwnerOrGuardian(address caller) external {
        vm.assume(caller != KMS_OWNER && caller != KMS_GUARDIAN);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        kms.suspendApp(address(app));
    }

    function testFuzz_liftSuspension_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != KMS_OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        kms.liftSuspension(address(app));
    }
}
