// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {RoleCouncil} from "../../../contracts/governance/RoleCouncil.sol";
import {IRoleCouncil} from "../../../contracts/interfaces/IRoleCouncil.sol";
import {Reason} from "../../../contracts/types/Boot.sol";
import {CouncilFixture} from "../support/CouncilFixture.sol";
import {vm} from "../support/Vm.sol";

contract RoleCouncilTest is CouncilFixture {
    function test_execute_WhenEveryRoleReachedItsThreshold() external {
        IRoleCouncil.Call[] memory calls = _revocation();
        uint256 id = council.motionId(calls, "why", SALT);
        vm.expectEmit(address(council));
        emit IRoleCouncil.MotionProposed(id, CORE_1, calls, "why", SALT, currentTime() + LIFETIME);
        vm.assertEq(_proposed(calls), id);
        assertMotion(id, IRoleCouncil.MotionState.Open);
        _approve(CORE_1, id, 0);
        _approve(CORE_2, id, 0);
        assertMotion(id, IRoleCouncil.MotionState.Open);
        vm.expectEmit(address(council));
        emit IRoleCouncil.MotionApproved(id, 1, AUDITOR);
        _approve(AUDITOR, id, 1);
        assertMotion(id, IRoleCouncil.MotionState.Passed);

        vm.expectEmit(address(council));
        emit IRoleCouncil.MotionExecuted(id);
        vm.prank(STRANGER);
        council.execute(calls, "why", SALT);
        assertReason(_reasonFor(CODE), Reason.CodeRevoked);
        assertMotion(id, IRoleCouncil.MotionState.Executed);
    }

    function test_approve_CountsForTheMembersRoleOnly() external {
        uint256 id = _proposed(_revocation());
        _approve(CORE_1, id, CORE);
        vm.assertEq(council.approvals(id, CORE), 1);
        vm.assertEq(council.approvals(id, AUDITORS), 0);
        vm.assertTrue(council.hasApproved(id, CORE, CORE_1));
        vm.assertFalse(council.hasApproved(id, AUDITORS, CORE_1));
        vm.assertFalse(council.hasApproved(id, CORE, CORE_2));
    }

    function test_approve_RevertIf_NotInThatRole() external {
        uint256 id = _proposed(_revocation());
        vm.prank(AUDITOR);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.NotAMember.selector, 0, AUDITOR));
        council.approve(id, 0);
    }

    function test_approve_RevertIf_Twice() external {
        uint256 id = _proposed(_revocation());
        vm.startPrank(CORE_1);
        council.approve(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.AlreadyApproved.selector, id, 0, CORE_1));
        council.approve(id, 0);
    }

    function test_approve_RevertIf_NoSuchRole() external {
        uint256 id = _proposed(_revocation());
        vm.prank(CORE_1);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.NotAMember.selector, 2, CORE_1));
        council.approve(id, 2);
    }

    function test_approve_RevertIf_ExpiredOrUnknown() external {
        uint256 id = _proposed(_revocation());
        skip(LIFETIME);
        vm.prank(CORE_1);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Expired));
        council.approve(id, 0);
        vm.prank(CORE_1);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, 5, IRoleCouncil.MotionState.None));
        council.approve(5, 0);
    }

    function test_execute_RevertIf_NotPassed() external {
        IRoleCouncil.Call[] memory calls = _revocation();
        uint256 id = _proposed(calls);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Open));
        council.execute(calls, "why", SALT);
    }

    function test_execute_RevertIf_Executed() external {
        IRoleCouncil.Call[] memory calls = _revocation();
        uint256 id = _passed(calls);
        council.execute(calls, "why", SALT);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Executed));
        council.execute(calls, "why", SALT);
    }

    function test_execute_RevertIf_AnOldMandateExpired() external {
        IRoleCouncil.Call[] memory calls = _revocation();
        uint256 id = _passed(calls);
        skip(LIFETIME);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Expired));
        council.execute(calls, "why", SALT);
    }

    function test_execute_RevertIf_OtherCallsThanApproved() external {
        _passed(_revocation());
        IRoleCouncil.Call[] memory other = _call(address(app), abi.encodeCall(app.revokeCode, (CODE, true)));
        uint256 id = council.motionId(other, "why", SALT);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.None));
        council.execute(other, "why", SALT);
    }

    function test_execute_RevertIf_ACallFails() external {
        IRoleCouncil.Call[] memory calls = _call(address(app), abi.encodeCall(app.revokeCode, (bytes32(0), false)));
        _passed(calls);
        vm.expectRevert(
            abi.encodeWithSelector(IRoleCouncil.CallFailed.selector, 0, abi.encodeWithSignature("ZeroCodeHash()"))
        );
        council.execute(calls, "why", SALT);
    }

    function test_execute_PaysOut() external {
        vm.deal(address(this), 3);
        IRoleCouncil.Call[] memory calls = new IRoleCouncil.Call[](1);
        calls[0] = IRoleCouncil.Call({target: STRANGER, value: 3, data: ""});
        _passed(calls);
        uint256 before = STRANGER.balance;
        council.execute{value: 3}(calls, "why", SALT);
        vm.assertEq(STRANGER.balance - before, 3);
    }

    function test_propose_RevertIf_NotAMember() external {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.NotAnyMember.selector, STRANGER));
        council.propose(_call(STRANGER, ""), "why", SALT);
    }

    function test_propose_RevertIf_Empty() external {
        vm.prank(CORE_1);
        vm.expectRevert(IRoleCouncil.EmptyMotion.selector);
        council.propose(new IRoleCouncil.Call[](0), "why", SALT);
    }

    function test_propose_RevertIf_ProposedBefore() external {
        IRoleCouncil.Call[] memory calls = _revocation();
        uint256 id = _proposed(calls);
        skip(LIFETIME);
        vm.prank(CORE_2);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.AlreadyProposed.selector, id));
        council.propose(calls, "why", SALT);
    }

    function test_propose_TheSameCallsAgainWithAnotherSalt() external {
        IRoleCouncil.Call[] memory calls = _call(address(app), abi.encodeCall(app.setNotice, (NOTICE + 1)));
        uint256 first = _passed(calls);
        vm.prank(CORE_2);
        uint256 second = council.propose(calls, "why", keccak256("other"));
        vm.assertTrue(first != second);
        assertMotion(second, IRoleCouncil.MotionState.Open);
        vm.assertEq(council.approvals(second, CORE), 0);
    }

    function test_approvals_RevertIf_NoSuchRole() external {
        uint256 id = _proposed(_revocation());
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidRole.selector, 2));
        council.approvals(id, 2);
    }

    function test_withdraw_TakesTheApprovalBack() external {
        uint256 id = _passed(_revocation());
        vm.expectEmit(address(council));
        emit IRoleCouncil.ApprovalWithdrawn(id, CORE, CORE_2);
        _withdraw(CORE_2, id, CORE);
        assertMotion(id, IRoleCouncil.MotionState.Open);
        vm.assertFalse(council.hasApproved(id, CORE, CORE_2));
        vm.assertEq(council.approvals(id, CORE), 1);
        vm.assertEq(council.nonceOf(id, CORE_2), 2);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Open));
        council.execute(_revocation(), "why", SALT);

        _approve(CORE_2, id, CORE);
        assertMotion(id, IRoleCouncil.MotionState.Passed);
    }

    function test_withdraw_RevertIf_NotApproved() external {
        uint256 id = _proposed(_revocation());
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.NotApproved.selector, id, CORE, CORE_1));
        _withdraw(CORE_1, id, CORE);
    }

    function test_withdraw_RevertIf_NotInThatRole() external {
        uint256 id = _passed(_revocation());
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.NotAMember.selector, AUDITORS, CORE_1));
        _withdraw(CORE_1, id, AUDITORS);
    }

    function test_withdraw_RevertIf_ExecutedOrExpired() external {
        uint256 id = _passed(_revocation());
        uint256 snapshot = vm.snapshotState();
        council.execute(_revocation(), "why", SALT);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Executed));
        _withdraw(CORE_1, id, CORE);
        vm.revertToState(snapshot);
        skip(LIFETIME);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Expired));
        _withdraw(CORE_1, id, CORE);
    }
}
