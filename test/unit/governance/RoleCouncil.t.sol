// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {RoleCouncil} from "../../../contracts/governance/RoleCouncil.sol";
import {IRoleCouncil} from "../../../contracts/interfaces/IRoleCouncil.sol";
import {Reason} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract RoleCouncilTest is Fixture {
    uint40 private constant LIFETIME = 14 days;
    address private constant CORE_1 = address(0xE1);
    address private constant CORE_2 = address(0xE2);
    address private constant CORE_3 = address(0xE3);
    address private constant AUDITOR = address(0xE4);

    RoleCouncil private council;

    function setUp() public override {
        super.setUp();
        IRoleCouncil.Role[] memory roles = new IRoleCouncil.Role[](2);
        roles[0] = _role("core", 2, CORE_1, CORE_2, CORE_3);
        roles[1] = _role("auditors", 1, AUDITOR, CORE_1, address(0xE5));
        council = new RoleCouncil(roles, LIFETIME);
        vm.prank(OWNER);
        app.transferOwnership(address(council));
        skip(NOTICE);
        vm.prank(address(council));
        app.acceptOwnership();
    }

    function _role(string memory name, uint32 threshold, address a, address b, address c)
        private
        pure
        returns (IRoleCouncil.Role memory)
    {
        address[] memory members = new address[](3);
        (members[0], members[1], members[2]) = (a, b, c);
        return IRoleCouncil.Role({name: name, threshold: threshold, members: members});
    }

    function _call(address target, bytes memory data) private pure returns (IRoleCouncil.Call[] memory calls) {
        calls = new IRoleCouncil.Call[](1);
        calls[0] = IRoleCouncil.Call({target: target, value: 0, data: data});
    }

    function _revocation() private view returns (IRoleCouncil.Call[] memory) {
        return _call(address(app), abi.encodeCall(app.revokeCode, (CODE, false)));
    }

    function _proposed(IRoleCouncil.Call[] memory calls) private returns (uint256) {
        vm.prank(CORE_1);
        return council.propose(calls, "why");
    }

    function _approve(address member, uint256 id, uint256 role) private {
        vm.prank(member);
        council.approve(id, role);
    }

    function _passed(IRoleCouncil.Call[] memory calls) private returns (uint256 id) {
        id = _proposed(calls);
        _approve(CORE_1, id, 0);
        _approve(CORE_2, id, 0);
        _approve(AUDITOR, id, 1);
    }

    function assertMotion(uint256 id, IRoleCouncil.MotionState expected) private view {
        vm.assertEq(uint256(council.state(id)), uint256(expected), "motion state");
    }

    function test_execute_WhenEveryRoleReachedItsThreshold() external {
        IRoleCouncil.Call[] memory calls = _revocation();
        uint256 id = council.motionId(calls, "why");
        vm.expectEmit(address(council));
        emit IRoleCouncil.MotionProposed(id, CORE_1, calls, "why", currentTime() + LIFETIME);
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
        council.execute(calls, "why");
        assertReason(_reasonFor(CODE), Reason.CodeRevoked);
        assertMotion(id, IRoleCouncil.MotionState.Executed);
    }

    function test_approve_CountsForOneRoleOnly() external {
        uint256 id = _proposed(_revocation());
        _approve(CORE_1, id, 0);
        vm.assertEq(council.approvals(id, 0), 1);
        vm.assertEq(council.approvals(id, 1), 0);
        _approve(CORE_1, id, 1);
        vm.assertEq(council.approvals(id, 1), 1);
        vm.assertTrue(council.hasApproved(id, 1, CORE_1));
        vm.assertFalse(council.hasApproved(id, 0, CORE_2));
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
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidRole.selector, 2));
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
        council.execute(calls, "why");
    }

    function test_execute_RevertIf_Executed() external {
        IRoleCouncil.Call[] memory calls = _revocation();
        uint256 id = _passed(calls);
        council.execute(calls, "why");
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Executed));
        council.execute(calls, "why");
    }

    function test_execute_RevertIf_AnOldMandateExpired() external {
        IRoleCouncil.Call[] memory calls = _revocation();
        uint256 id = _passed(calls);
        skip(LIFETIME);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Expired));
        council.execute(calls, "why");
    }

    function test_execute_RevertIf_OtherCallsThanApproved() external {
        _passed(_revocation());
        IRoleCouncil.Call[] memory other = _call(address(app), abi.encodeCall(app.revokeCode, (CODE, true)));
        uint256 id = council.motionId(other, "why");
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.None));
        council.execute(other, "why");
    }

    function test_execute_RevertIf_ACallFails() external {
        IRoleCouncil.Call[] memory calls = _call(address(app), abi.encodeCall(app.revokeCode, (bytes32(0), false)));
        _passed(calls);
        vm.expectRevert(
            abi.encodeWithSelector(IRoleCouncil.CallFailed.selector, 0, abi.encodeWithSignature("ZeroCodeHash()"))
        );
        council.execute(calls, "why");
    }

    function test_execute_PaysOut() external {
        vm.deal(address(this), 3);
        IRoleCouncil.Call[] memory calls = new IRoleCouncil.Call[](1);
        calls[0] = IRoleCouncil.Call({target: STRANGER, value: 3, data: ""});
        _passed(calls);
        uint256 before = STRANGER.balance;
        council.execute{value: 3}(calls, "why");
        vm.assertEq(STRANGER.balance - before, 3);
    }

    function test_setRole_TakesBackTheApprovalsOfFormerMembers() external {
        uint256 id = _passed(_revocation());
        IRoleCouncil.Role memory to = _role("core", 2, CORE_2, CORE_3, STRANGER);
        IRoleCouncil.Call[] memory calls = _call(address(council), abi.encodeCall(council.setRole, (0, to)));
        _passed(calls);
        vm.expectEmit(address(council));
        emit IRoleCouncil.RoleSet(0, "core", 2, to.members);
        council.execute(calls, "why");
        assertMotion(id, IRoleCouncil.MotionState.Open);
        _approve(STRANGER, id, 0);
        assertMotion(id, IRoleCouncil.MotionState.Passed);
    }

    function test_setRole_AddsOne() external {
        IRoleCouncil.Role memory community = _role("community", 3, CORE_1, CORE_2, CORE_3);
        IRoleCouncil.Call[] memory calls = _call(address(council), abi.encodeCall(council.setRole, (2, community)));
        _passed(calls);
        council.execute(calls, "why");
        vm.assertEq(council.roles().length, 3);
        vm.assertEq(council.roles()[2].name, "community");
    }

    function test_setRole_RevertIf_NotByMotion() external {
        vm.prank(CORE_1);
        vm.expectRevert(IRoleCouncil.OnlyByMotion.selector);
        council.setRole(0, _role("core", 1, CORE_1, CORE_2, CORE_3));
    }

    function test_setRole_RevertIf_Malformed() external {
        _expectInvalid(3, _role("far", 1, CORE_1, CORE_2, CORE_3));
        _expectInvalid(0, _role("", 1, CORE_1, CORE_2, CORE_3));
        _expectInvalid(0, _role("many", 4, CORE_1, CORE_2, CORE_3));
        _expectInvalid(0, _role("none", 0, CORE_1, CORE_2, CORE_3));
        _expectInvalid(0, _role("zero", 1, CORE_1, address(0), CORE_3));
        _expectInvalid(0, _role("twice", 1, CORE_1, CORE_2, CORE_1));
        IRoleCouncil.Role memory big = IRoleCouncil.Role({name: "big", threshold: 1, members: new address[](65)});
        _expectInvalid(0, big);
    }

    function test_setRole_RevertIf_NoThresholdWouldRemain() external {
        IRoleCouncil.Role memory void = IRoleCouncil.Role({name: "void", threshold: 0, members: new address[](0)});
        vm.prank(address(council));
        council.setRole(0, void);
        vm.prank(address(council));
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidRole.selector, 1));
        council.setRole(1, void);
    }

    function test_propose_RevertIf_NotAMember() external {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.NotAnyMember.selector, STRANGER));
        council.propose(_call(STRANGER, ""), "why");
    }

    function test_propose_RevertIf_Empty() external {
        vm.prank(CORE_1);
        vm.expectRevert(IRoleCouncil.EmptyMotion.selector);
        council.propose(new IRoleCouncil.Call[](0), "why");
    }

    function test_propose_RevertIf_ProposedBefore() external {
        IRoleCouncil.Call[] memory calls = _revocation();
        uint256 id = _proposed(calls);
        skip(LIFETIME);
        vm.prank(CORE_2);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.AlreadyProposed.selector, id));
        council.propose(calls, "why");
    }

    function test_constructor_RevertIf_NoRoles() external {
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidRole.selector, 0));
        new RoleCouncil(new IRoleCouncil.Role[](0), LIFETIME);
    }

    function test_constructor_RevertIf_LifetimeOutOfBounds() external {
        IRoleCouncil.Role[] memory roles = council.roles();
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidLifetime.selector, 1 hours - 1, 1 hours, 365 days));
        new RoleCouncil(roles, 1 hours - 1);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidLifetime.selector, 366 days, 1 hours, 365 days));
        new RoleCouncil(roles, 366 days);
    }

    function _expectInvalid(uint256 index, IRoleCouncil.Role memory role) private {
        vm.prank(address(council));
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidRole.selector, index));
        council.setRole(index, role);
    }
}
