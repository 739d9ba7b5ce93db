// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {BootRequest, Reason, VersionState} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract RevokeCodeTest is Fixture {
    function test_revokeCode_ActsAtOnce_G2() external {
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeRevoked(CODE, GUARDIAN);
        vm.prank(GUARDIAN);
        app.revokeCode(CODE, false);
        assertReason(_reasonFor(CODE), Reason.CodeRevoked);
    }

    function test_revokeCode_OfAScheduledVersionStaysForGood() external {
        vm.prank(OWNER);
        app.scheduleCode(CODE_2, "", false, 0);
        vm.prank(GUARDIAN);
        app.revokeCode(CODE_2, false);
        skip(10 * NOTICE);
        assertReason(_reasonFor(CODE_2), Reason.CodeRevoked);
        assertReason(_reasonFor(CODE), Reason.Allowed);
    }

    function test_revokeCode_BansAHashThatIsNotKnownYet() external {
        vm.prank(GUARDIAN);
        app.revokeCode(CODE_2, false);
        assertState(_state(CODE_2), VersionState.Revoked);
    }

    function test_revokeCode_RotatesTheKeysWithoutHandover() external {
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeRevoked(CODE_2, OWNER);
        vm.expectEmit(address(app));
        emit IAppPolicy.KeysRotated(2, currentTime());
        vm.prank(OWNER);
        app.revokeCode(CODE_2, true);
        BootRequest memory request = _request();
        request.generation = 1;
        assertReason(_reason(request), Reason.GenerationRetired);
        request.generation = 2;
        assertReason(_reason(request), Reason.Allowed);
    }

    function test_revokeCode_RevertIf_GuardianRotates_G3() external {
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, GUARDIAN));
        app.revokeCode(CODE, true);
    }

    function test_revokeCode_RevertIf_RevokedBefore() external {
        vm.startPrank(OWNER);
        app.revokeCode(CODE, false);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.revokeCode(CODE, true);
    }

    function test_revokeCode_RevertIf_ZeroHash() external {
        vm.prank(OWNER);
        vm.expectRevert(IAppPolicy.ZeroCodeHash.selector);
        app.revokeCode(bytes32(0), false);
    }

    function testFuzz_revokeCode_RevertIf_NotOwnerOrGuardian(address caller) external {
        vm.assume(caller != OWNER && caller != GUARDIAN);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.revokeCode(CODE, false);
    }
}
