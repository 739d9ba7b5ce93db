// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../contracts/AppAuth.sol";
import {BootRequest, Reason} from "../../contracts/types/Boot.sol";
import {vm} from "../unit/support/Vm.sol";
import {PolicyHandler} from "./PolicyHandler.sol";

/// @notice G-2 and G-3 over random lives of one app and its KmsAuth.
contract PolicyInvariants {
    PolicyHandler private handler;

    function setUp() external {
        handler = new PolicyHandler();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev One function, since forge repeats the whole campaign for each. What loosened is recorded by the handler, which
    /// compares before and after every transaction.
    function invariant_G2_G3_NothingLoosensEarlyAndAPauseEnds() external {
        vm.assertEq(handler.violation(), "");
        AppAuth app = handler.app();
        vm.assertTrue(app.pausedUntil() <= block.timestamp + app.MAX_PAUSE(), "G-3: the pause does not end");
        vm.assertTrue(handler.guardianPauses() <= 1, "G-3: the guardian paused twice without the owner");
        _checkPauseEnds(app);
        vm.assertEq(app.isSunset(), handler.closed());
        if (handler.closed()) vm.assertFalse(handler.isAnythingAllowed(), "the sunset ended");
    }

    function _checkPauseEnds(AppAuth app) private {
        uint256 present = block.timestamp;
        if (app.pausedUntil() > present) vm.warp(app.pausedUntil());
        BootRequest memory request;
        request.info.appId = address(app);
        (, Reason reason,) = app.decide(request);
        vm.assertTrue(reason != Reason.AppPaused, "G-3: the pause did not end");
        vm.warp(present);
    }

    /// @dev Every step can take effect: otherwise the campaign would test nothing and stay green.
    function test_handler_EveryStepTakesEffect() external {
        handler.scheduleCode(1, true, 1 days);
        handler.retireCode(0, 1 hours);
        handler.revokeCode(7, true, false);
        handler.pause(1 hours + 1, true);
        handler.armGuardianPause();
        handler.changeDevice(1, 1, false);
        handler.changeDevice(0, 3, true);
        handler.changeAnyDevice(0);
        handler.changeAnyDevice(3);
        handler.changeTee(1, 1, false);
        handler.changeTee(0, 4, true);
        handler.setTcbFloor(4);
        handler.setNotice(3 days);
        handler.changeOsImage(1, 1, 0);
        handler.changeOsImage(0, 5, 1 hours);
        handler.changeOsImage(0, 41, 0);
        handler.changeSuspension(true, true, 0);
        handler.changeSuspension(false, false, 0);
        handler.setKmsNotice(4 days);
        handler.changeOwner(0, false);
        handler.scheduleCodeUntil(2, true, 2 days);
        handler.changeCondition(0);
        handler.changeCondition(1);
        handler.changeTicketRequirement(0);
        handler.changeTicketRequirement(1);
        handler.changeTicket(1, 1, false);
        handler.changeTicket(0, 4, true);
        handler.changeAdvisory(0, true);
        handler.changeAdvisory(1, false);
        handler.changeGuardian(1);
        uint256 steps = 30;
        vm.assertEq(handler.effective(), steps);
        handler.pass(3 days - 1);
        handler.pass(1);
        handler.changeOwner(0, true);
        handler.sunset(101);
        vm.assertEq(handler.effective(), steps + 2);
        vm.assertTrue(handler.closed());
        vm.assertEq(handler.violation(), "");
    }

    /// forge-config: default.fuzz.runs = 16
    /// forge-config: ci.fuzz.runs = 256
    function testFuzz_handler_StrangersChangeNothing(uint256 kind, uint256 seed) external {
        handler.strangerCalls(kind, seed);
        vm.assertEq(handler.violation(), "");
    }

    /// @dev Sequences that chance seldom finds, under the same eyes.
    function test_handler_AShortenedNoticeIsNotUsedAtOnce_G2() external {
        handler.rely(1);
        handler.setNotice(1);
        handler.scheduleCode(1, false, 0);
        vm.assertEq(handler.effective(), 2);
        vm.assertEq(handler.violation(), "");
    }

    function test_handler_ADenialIsNotLiftedAtOnceUnderAnyDevice_G2() external {
        handler.changeAnyDevice(1);
        handler.pass(3 days - 1);
        handler.changeDevice(0, 3, true);
        handler.changeDevice(0, 1, false);
        vm.assertEq(handler.effective(), 3);
        vm.assertEq(handler.violation(), "");
    }

    function test_handler_APauseIsNotShortened_G2() external {
        handler.pause(5 hours + 1, false);
        handler.pause(1 hours + 1, false);
        vm.assertEq(handler.effective(), 1);
        vm.assertEq(handler.violation(), "");
    }

    function test_handler_NothingIsAllowedAtOnce_G2() external {
        handler.changeDevice(1, 1, false);
        handler.changeAnyDevice(1);
        handler.changeTee(1, 1, false);
        handler.setTcbFloor(5);
        handler.scheduleCode(1, false, 1);
        handler.changeOsImage(1, 1, 1);
        vm.assertEq(handler.effective(), 6);
        vm.assertEq(handler.violation(), "");
    }

    function test_handler_NoRequirementEndsAtOnce_G2() external {
        handler.changeCondition(3);
        handler.changeCondition(1);
        handler.changeTicketRequirement(3);
        handler.changeTicket(1, 1, false);
        handler.changeTicketRequirement(1);
        handler.changeAdvisory(3, true);
        handler.changeAdvisory(1, false);
        vm.assertEq(handler.effective(), 7);
        vm.assertEq(handler.violation(), "");
    }

    function test_handler_TheGuardianLoosensNothing_G3() external {
        handler.changeDevice(1, 1, true);
        handler.changeTee(1, 1, true);
        handler.changeTicket(1, 1, true);
        vm.assertEq(handler.effective(), 0);
        handler.changeAdvisory(3, true);
        handler.changeAdvisory(1, true);
        handler.changeSuspension(true, true, 0);
        handler.changeSuspension(false, true, 0);
        vm.assertEq(handler.effective(), 2);
        vm.assertEq(handler.violation(), "");
    }

    function test_handler_ASuspensionIsNotLiftedAtOnce_G2() external {
        handler.changeSuspension(true, true, 0);
        handler.changeSuspension(false, false, 0);
        vm.assertEq(handler.effective(), 2);
        vm.assertEq(handler.violation(), "");
    }

    /// @dev Every one of the calls, which sixteen draws miss now and then.
    function test_handler_AStrangerChangesNothingInTheKms() external {
        _strangerSendsEach(0, 0, 11);
    }

    function test_handler_AStrangerChangesNothingInTheApp() external {
        _strangerSendsEach(1, 0, 15);
    }

    function test_handler_AStrangerChangesNothingElseInTheApp() external {
        _strangerSendsEach(1, 15, 30);
    }

    function _strangerSendsEach(uint256 kind, uint256 from, uint256 to) private {
        for (uint256 call = from; call < to; ++call) {
            // An even seed that three divides: of what is in force from the start.
            handler.strangerCalls(kind, (call << 128) + 2 * call);
        }
        vm.assertEq(handler.violation(), "");
    }
}
