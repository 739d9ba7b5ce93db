// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {Reason} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract GovernedTest is Fixture {
    address private constant NEXT = address(0xB2);

    function test_setNotice_LengthensAtOnce_G2() external {
        vm.expectEmit(address(app));
        emit IGoverned.NoticeSet(10 days, currentTime());
        vm.prank(OWNER);
        app.setNotice(10 days);
        vm.assertEq(app.notice(), 10 days);
    }

    function test_setNotice_ShortensAfterThePresentNotice_G2() external {
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IGoverned.NoticeSet(1 hours, from);
        vm.startPrank(OWNER);
        app.setNotice(1 hours);
        vm.warp(from - 1);
        vm.assertEq(app.notice(), NOTICE);
        app.scheduleCode(CODE_2, "", false, 0);
        vm.assertEq(_version(CODE_2).activeFrom, currentTime() + NOTICE);
        vm.warp(from);
        app.scheduleCode(CODE_3, "", false, 0);
        vm.assertEq(_version(CODE_3).activeFrom, currentTime() + 1 hours);
        vm.assertEq(_version(CODE_2).activeFrom, from - 1 + NOTICE);
    }

    function test_setNotice_LengtheningCancelsAShorteningThatIsPending() external {
        vm.startPrank(OWNER);
        app.setNotice(0);
        app.setNotice(NOTICE + 1);
        skip(NOTICE);
        vm.assertEq(app.notice(), NOTICE + 1);
    }

    function test_setNotice_RevertIf_TooLong() external {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.DurationTooLong.selector, 365 days + 1, 365 days));
        app.setNotice(365 days + 1);
    }

    function test_setNotice_RevertIf_Same() external {
        vm.prank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.setNotice(NOTICE);
    }

    function test_setGuardian_TakesEffectAfterTheNotice() external {
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IGoverned.GuardianSet(NEXT, from);
        vm.prank(OWNER);
        app.setGuardian(NEXT);
        vm.warp(from - 1);
        vm.assertEq(app.guardian(), GUARDIAN);
        vm.prank(NEXT);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, NEXT));
        app.revokeCode(CODE, false);
        vm.warp(from);
        vm.assertEq(app.guardian(), NEXT);
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, GUARDIAN));
        app.revokeCode(CODE, false);
        vm.prank(NEXT);
        app.revokeCode(CODE, false);
    }

    function test_setGuardian_KeepsTheOneInForceUntilTheNextTakesOver() external {
        vm.startPrank(OWNER);
        app.setGuardian(NEXT);
        skip(NOTICE);
        app.setGuardian(STRANGER);
        vm.assertEq(app.guardian(), NEXT);
        app.setGuardian(NEXT);
        skip(NOTICE);
        vm.assertEq(app.guardian(), NEXT);
    }

    function test_setGuardian_NamingThePresentOneCancelsWhatIsPending() external {
        vm.startPrank(OWNER);
        app.setGuardian(NEXT);
        vm.expectEmit(address(app));
        emit IGoverned.GuardianSet(GUARDIAN, currentTime());
        app.setGuardian(GUARDIAN);
        skip(NOTICE);
        vm.assertEq(app.guardian(), GUARDIAN);
    }

    function test_setGuardian_RevertIf_SameAsPresentOrPending() external {
        vm.startPrank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.setGuardian(GUARDIAN);
        app.setGuardian(address(0));
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.setGuardian(address(0));
        skip(NOTICE);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.setGuardian(address(0));
        vm.assertEq(app.guardian(), address(0));
    }

    function test_setGuardian_RevertIf_Guardian_G3() external {
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, GUARDIAN));
        app.setGuardian(NEXT);
    }

    function test_acceptOwnership_AfterTheNotice() external {
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IGoverned.OwnershipTransferStarted(NEXT, from);
        vm.prank(OWNER);
        app.transferOwnership(NEXT);
        (address pending, uint40 acceptableFrom) = app.pendingOwner();
        vm.assertEq(pending, NEXT);
        vm.assertEq(acceptableFrom, from);

        vm.warp(from - 1);
        vm.prank(NEXT);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotYetAcceptable.selector, from));
        app.acceptOwnership();
        vm.warp(from);
        vm.expectEmit(address(app));
        emit IGoverned.OwnershipTransferred(OWNER, NEXT);
        vm.prank(NEXT);
        app.acceptOwnership();
        vm.assertEq(app.owner(), NEXT);
        (pending, acceptableFrom) = app.pendingOwner();
        vm.assertEq(pending, address(0));
        vm.assertEq(acceptableFrom, 0);
    }

    function test_transferOwnership_ToTheOwnerDropsThePendingOne() external {
        vm.startPrank(OWNER);
        app.transferOwnership(NEXT);
        app.transferOwnership(OWNER);
        vm.stopPrank();
        skip(NOTICE);
        vm.prank(NEXT);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, NEXT));
        app.acceptOwnership();
    }

    function test_transferOwnership_RevertIf_SameAsPresentOrPending() external {
        vm.startPrank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.transferOwnership(OWNER);
        app.transferOwnership(NEXT);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.transferOwnership(NEXT);
    }

    function test_transferOwnership_RevertIf_Zero() external {
        vm.prank(OWNER);
        vm.expectRevert(IGoverned.ZeroOwner.selector);
        app.transferOwnership(address(0));
    }

    function test_acceptOwnership_RevertIf_NotPending() external {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, STRANGER));
        app.acceptOwnership();
    }

    function testFuzz_setNotice_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.setNotice(10 days);
    }

    function testFuzz_transferOwnership_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.transferOwnership(NEXT);
    }
}
