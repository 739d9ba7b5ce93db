// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../contracts/AppAuth.sol";
import {KmsCommittee} from "../../contracts/KmsCommittee.sol";
import {vm} from "../unit/support/Vm.sol";
import {CommitteeHandler} from "./CommitteeHandler.sol";
import {PolicyHandler} from "./PolicyHandler.sol";

/// @notice Sequences that chance seldom finds, under the same eyes as the campaigns.
contract SeedsTest {
    function test_handler_APauseIsNotLongerThanTheLongest_G3() external {
        PolicyHandler handler = new PolicyHandler();
        AppAuth app = handler.app();
        // For the handler, multiples of 16 stand for long ones; it may let half a day pass before it calls.
        handler.pause((app.MAX_PAUSE() + 1 days) / 16 * 16, false);
        vm.assertTrue(app.pausedUntil() <= block.timestamp + app.MAX_PAUSE(), "G-3: the pause does not end");
        vm.assertEq(handler.violation(), "");
    }

    function test_handler_AnEpochEndsWithTheNext_G11() external {
        CommitteeHandler handler = new CommitteeHandler();
        KmsCommittee committee = handler.subject();
        handler.open(1);
        handler.finish();
        handler.open(2);
        handler.finish();
        handler.open(2);
        handler.finish();
        vm.assertEq(committee.currentEpoch().number, 3);
        for (uint64 number = 1; number < 3; ++number) {
            vm.assertTrue(
                committee.epoch(number).validUntil <= block.timestamp, "G-11: an epoch outlives its successor"
            );
        }
    }
}
