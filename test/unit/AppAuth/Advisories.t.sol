// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {BootRequest, Reason} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract AdvisoriesTest is Fixture {
    string private constant ID = "INTEL-SA-00615";

    function _deny(address by) private {
        vm.prank(by);
        app.denyAdvisory(ID);
    }

    /// @dev A boot with `count` advisories, the last of which is `last`.
    function _with(uint256 count, string memory last) private view returns (Reason) {
        BootRequest memory request = _request();
        request.info.advisoryIds = new string[](count);
        if (count != 0) request.info.advisoryIds[count - 1] = last;
        return _reason(request);
    }

    function test_denyAdvisory_ActsAtOnce_G2() external {
        assertReason(_with(1, ID), Reason.Allowed);
        vm.expectEmit(address(app));
        emit IAppPolicy.AdvisoryDenied(keccak256(bytes(ID)), GUARDIAN, ID);
        _deny(GUARDIAN);
        assertReason(_with(1, ID), Reason.AdvisoryDenied);
        assertReason(_with(3, ID), Reason.AdvisoryDenied);
        assertReason(_with(1, "INTEL-SA-00614"), Reason.Allowed);
        assertReason(_with(0, ""), Reason.Allowed);
        vm.assertEq(app.advisoryDeniedUntil(ID), type(uint40).max);
    }

    function test_isAppAllowed_SaysSoInWords() external {
        _deny(OWNER);
        BootRequest memory request = _request();
        request.info.advisoryIds = new string[](1);
        request.info.advisoryIds[0] = ID;
        (bool allowed, string memory reason) = app.isAppAllowed(request.info);
        vm.assertFalse(allowed);
        vm.assertEq(reason, "a security advisory is denied");
    }

    function test_decide_MoreThan64AdvisoriesAreANoOnceAnyIsDenied() external {
        assertReason(_with(65, "x"), Reason.Allowed);
        _deny(OWNER);
        assertReason(_with(64, "x"), Reason.Allowed);
        assertReason(_with(64, ID), Reason.AdvisoryDenied);
        assertReason(_with(65, "x"), Reason.AdvisoryDenied);
    }

    function test_liftAdvisory_TakesEffectAfterTheNotice_G2() external {
        _deny(OWNER);
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IAppPolicy.AdvisoryLifted(keccak256(bytes(ID)), from);
        vm.prank(OWNER);
        app.liftAdvisory(ID);
        vm.assertEq(app.advisoryDeniedUntil(ID), from);
        vm.warp(from - 1);
        assertReason(_with(1, ID), Reason.AdvisoryDenied);
        vm.warp(from);
        assertReason(_with(1, ID), Reason.Allowed);
    }

    function test_denyAdvisory_CancelsALiftThatIsPending_G3() external {
        _deny(OWNER);
        vm.prank(OWNER);
        app.liftAdvisory(ID);
        _deny(GUARDIAN);
        skip(NOTICE);
        assertReason(_with(1, ID), Reason.AdvisoryDenied);
    }

    function test_denyAdvisory_RevertIf_Denied() external {
        _deny(OWNER);
        vm.prank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.denyAdvisory(ID);
    }

    function test_denyAdvisory_RevertIf_EmptyOrTooLong() external {
        string memory longest = "1234567890123456789012345678901234567890123456789012345678901234";
        string memory tooLong = string.concat(longest, "5");
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IAppPolicy.InvalidAdvisory.selector, ""));
        app.denyAdvisory("");
        vm.expectRevert(abi.encodeWithSelector(IAppPolicy.InvalidAdvisory.selector, tooLong));
        app.denyAdvisory(tooLong);
        app.denyAdvisory(longest);
    }

    function test_liftAdvisory_RevertIf_NotDeniedOrLifted() external {
        vm.startPrank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.liftAdvisory(ID);
        app.denyAdvisory(ID);
        app.liftAdvisory(ID);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.liftAdvisory(ID);
    }

    function testFuzz_denyAdvisory_RevertIf_NotOwnerOrGuardian(address caller) external {
        vm.assume(caller != OWNER && caller != GUARDIAN);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.denyAdvisory(ID);
    }

    function testFuzz_liftAdvisory_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        _deny(OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.liftAdvisory(ID);
    }
}
