// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {Reason} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract SupersedeTest is Fixture {
    /// @dev The handover of those that are superseded counts from now when the other one has been active for long.
    function test_scheduleCode_HandsOverFromNowWhenActiveAlready() external {
        vm.startPrank(OWNER);
        app.scheduleCode(CODE_2, "", false, 0);
        app.retireCode(CODE, currentTime() + 3 * NOTICE);
        skip(NOTICE);
        uint40 retireAt = currentTime() + 1 hours;
        vm.expectEmit(address(app));
        emit IAppPolicy.CodesSuperseded(CODE, retireAt);
        app.scheduleCode(CODE, "", true, 1 hours);
        vm.warp(retireAt - 1);
        assertReason(_reasonFor(CODE_2), Reason.Allowed);
        vm.warp(retireAt);
        assertReason(_reasonFor(CODE_2), Reason.CodeRetired);
        assertReason(_reasonFor(CODE), Reason.Allowed);
    }
}
