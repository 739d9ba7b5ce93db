// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {Reason, Verdict} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract SunsetTest is Fixture {
    function test_sunset_DeniesEverythingAtOnceAndForEver() external {
        vm.assertFalse(app.isSunset());
        vm.expectEmit(address(app));
        emit IAppPolicy.Sunset(OWNER);
        vm.prank(OWNER);
        app.sunset();
        vm.assertTrue(app.isSunset());
        assertVerdict(_request(), Verdict.Denied, Reason.AppSunset, 0);
        (bool allowed, string memory reason) = app.isAppAllowed(_info());
        vm.assertFalse(allowed);
        vm.assertEq(reason, "app is closed for good");
        vm.startPrank(OWNER);
        app.scheduleCode(CODE_2, "", true, 0);
        app.allowAnyDevice();
        skip(3650 days);
        assertReason(_reasonFor(CODE_2), Reason.AppSunset);
    }

    function test_sunset_RevertIf_Closed() external {
        vm.startPrank(OWNER);
        app.sunset();
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.sunset();
    }

    function testFuzz_sunset_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.sunset();
    }

    function test_sunset_RevertIf_Guardian_G3() external {
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, GUARDIAN));
        app.sunset();
    }
}
