// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {vm} from "../unit/support/Vm.sol";
import {CouncilHandler} from "./CouncilHandler.sol";

/// @notice Over random lives of a council: no motion executes without every role's threshold, withdrawn approvals and those
/// of former members do not count, roles change only by a motion, what expired never executes, no signature is good twice.
contract CouncilInvariants {
    CouncilHandler private handler;

    function setUp() external {
        handler = new CouncilHandler();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_council_FollowsTheRule() external view {
        vm.assertEq(handler.violation(), "");
        vm.assertEq(handler.differences(), "");
    }

    /// @dev Every step can take effect: otherwise the campaign would test nothing and stay green.
    function test_handler_EveryStepTakesEffect() external {
        handler.propose(0, false);
        handler.approve(0, true);
        handler.approve(1 << 16, false);
        handler.approve(3 << 16, true);
        handler.withdraw(3 << 18, true);
        handler.execute(0);
        vm.assertEq(handler.effective("execute"), 0);
        handler.replay(0);
        handler.approveAll(5);
        handler.execute(0);
        // The core becomes three people who were nobody.
        handler.propose((5 << 40) | (1 << 32), true);
        handler.approveAll(0);
        handler.execute(1);
        handler.setRole(0);
        vm.assertEq(handler.effective("propose"), 2);
        vm.assertEq(handler.effective("approve"), 11);
        vm.assertEq(handler.effective("withdraw"), 1);
        vm.assertEq(handler.effective("execute"), 2);
        vm.assertEq(handler.effective("change of roles"), 1);
        vm.assertEq(handler.violation(), "");
        vm.assertEq(handler.differences(), "");
    }

    /// @dev Sequences that chance seldom finds, under the same eyes.
    function test_handler_WhatExpiredIsNotExecuted() external {
        handler.propose(0, false);
        handler.approveAll(0);
        for (uint256 i = 0; i < 20; ++i) {
            handler.pass(1 days - 1);
        }
        handler.execute(0);
        vm.assertEq(handler.effective("execute"), 0);
        vm.assertEq(handler.violation(), "");
        vm.assertEq(handler.differences(), "");
    }

    function test_handler_WhoLeavesTakesItsApprovalsAlong() external {
        handler.propose(0, false);
        handler.approveAll(0);
        handler.propose((5 << 40) | (1 << 32), true);
        handler.approveAll(0);
        uint256 before = handler.effective("change of roles");
        handler.execute(1);
        vm.assertEq(handler.effective("change of roles"), before + 1);
        handler.execute(0);
        vm.assertEq(handler.effective("execute"), 1);
        vm.assertEq(handler.violation(), "");
        vm.assertEq(handler.differences(), "");
    }

    function test_handler_WhoReturnsHasApprovedNothing() external {
        handler.propose(0, false);
        handler.approveAll(0);
        // The core becomes three others, and then, on an auditor's proposal, those of before.
        handler.propose((5 << 40) | (1 << 32), true);
        handler.approveAll(0);
        handler.execute(1);
        handler.propose((1 << 32) | (3 << 8), true);
        handler.approveAll(0);
        handler.execute(2);
        vm.assertEq(handler.effective("change of roles"), 2);
        handler.execute(0);
        vm.assertEq(handler.effective("execute"), 2);
        vm.assertEq(handler.violation(), "");
        vm.assertEq(handler.differences(), "");
    }
}
