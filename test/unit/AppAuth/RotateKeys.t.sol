// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {BootRequest, Reason} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract RotateKeysTest is Fixture {
    function _of(uint64 generation) private view returns (Reason) {
        BootRequest memory request = _request();
        request.generation = generation;
        return _reason(request);
    }

    function test_rotateKeys_KeepsThePreviousGenerationForTheHandover() external {
        uint40 until = currentTime() + 1 days;
        vm.expectEmit(address(app));
        emit IAppPolicy.KeysRotated(2, until);
        vm.prank(OWNER);
        app.rotateKeys(1 days);
        (uint64 current, uint40 previousUntil) = app.generation();
        vm.assertEq(current, 2);
        vm.assertEq(previousUntil, until);

        BootRequest memory request = _request();
        request.generation = 1;
        (,, uint64 validUntil) = app.decide(request);
        vm.assertEq(validUntil, until);
        assertReason(_of(0), Reason.Allowed);
        assertReason(_of(2), Reason.Allowed);
        vm.warp(until);
        assertReason(_of(1), Reason.GenerationRetired);
        assertReason(_of(2), Reason.Allowed);
    }

    function test_rotateKeys_TwiceKeepsOnlyThePreviousOne() external {
        vm.startPrank(OWNER);
        app.rotateKeys(1 days);
        app.rotateKeys(1 days);
        assertReason(_of(1), Reason.GenerationRetired);
        assertReason(_of(2), Reason.Allowed);
        assertReason(_of(3), Reason.Allowed);
    }

    function test_decide_RefusesGenerationsToCome() external view {
        assertReason(_of(2), Reason.GenerationRetired);
        assertReason(_of(type(uint64).max), Reason.GenerationRetired);
    }

    function test_rotateKeys_RevertIf_HandoverTooLong() external {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.DurationTooLong.selector, 365 days + 1, 365 days));
        app.rotateKeys(365 days + 1);
    }

    function testFuzz_rotateKeys_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.rotateKeys(0);
    }
}
