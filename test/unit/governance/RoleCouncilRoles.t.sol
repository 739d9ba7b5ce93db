// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {RoleCouncil} from "../../../contracts/governance/RoleCouncil.sol";
import {IRoleCouncil} from "../../../contracts/interfaces/IRoleCouncil.sol";
import {CouncilFixture} from "../support/CouncilFixture.sol";
import {Vm, vm} from "../support/Vm.sol";

contract RoleCouncilRolesTest is CouncilFixture {
    function test_constructor_TellsRolesAndLifetime() external {
        IRoleCouncil.Role[] memory roles = _roles();
        vm.recordLogs();
        RoleCouncil other = new RoleCouncil(roles, LIFETIME);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 3);
        vm.assertEq(logs[0].topics[0], IRoleCouncil.MotionLifetimeSet.selector);
        vm.assertEq(logs[0].data, abi.encode(LIFETIME));
        for (uint256 i = 0; i < 2; ++i) {
            vm.assertEq(logs[i + 1].topics[0], IRoleCouncil.RoleSet.selector);
            vm.assertEq(logs[i + 1].topics[1], bytes32(i));
            vm.assertEq(logs[i + 1].data, abi.encode(roles[i].name, roles[i].threshold, roles[i].members));
        }
        vm.assertEq(other.motionLifetime(), LIFETIME);
        vm.assertEq(keccak256(abi.encode(other.roles())), keccak256(abi.encode(roles)));
        (bool isMember, uint256 role) = other.roleOf(AUDITOR);
        vm.assertTrue(isMember);
        vm.assertEq(role, AUDITORS);
        (isMember,) = other.roleOf(STRANGER);
        vm.assertFalse(isMember);
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

    function test_initialize_RevertIf_Initialised() external {
        IRoleCouncil.Role[] memory roles = _roles();
        vm.expectRevert(IRoleCouncil.AlreadyInitialized.selector);
        council.initialize(roles, LIFETIME);
    }

    function test_setRole_TakesBackTheApprovalsOfFormerMembers() external {
        uint256 id = _passed(_revocation());
        IRoleCouncil.Role memory to = _role("core", 2, CORE_2, CORE_3, STRANGER);
        IRoleCouncil.Call[] memory calls = _change(CORE, to);
        _passed(calls);
        vm.expectEmit(address(council));
        emit IRoleCouncil.RoleSet(CORE, "core", 2, to.members);
        council.execute(calls, "why", SALT);
        assertMotion(id, IRoleCouncil.MotionState.Open);
        vm.assertEq(council.approvals(id, CORE), 1);
        _approve(STRANGER, id, CORE);
        assertMotion(id, IRoleCouncil.MotionState.Passed);
    }

    function test_setRole_DoesNotBringBackApprovalsOfWhoReturns() external {
        uint256 id = _passed(_revocation());
        _setRole(CORE, _role("core", 2, CORE_2, CORE_3, STRANGER));
        _setRole(CORE, _role("core", 2, CORE_1, CORE_2, CORE_3));
        vm.assertFalse(council.hasApproved(id, CORE, CORE_1));
        assertMotion(id, IRoleCouncil.MotionState.Open);
        _approve(CORE_1, id, CORE);
        assertMotion(id, IRoleCouncil.MotionState.Passed);
    }

    function test_setRole_KeepsTheApprovalsOfWhoStaysInAnyOrder() external {
        uint256 id = _passed(_revocation());
        _setRole(CORE, _role("core", 2, STRANGER, CORE_2, CORE_1));
        assertMotion(id, IRoleCouncil.MotionState.Passed);
        _setRole(CORE, _role("core", 3, STRANGER, CORE_2, CORE_1));
        assertMotion(id, IRoleCouncil.MotionState.Open);
    }

    function test_setRole_AMemberThatMovesApprovesAnew() external {
        uint256 id = _passed(_revocation());
        _setRole(AUDITORS, _role("auditors", 1, AUDITOR_2, STRANGER));
        _setRole(CORE, _role("core", 2, AUDITOR, CORE_2, CORE_3));
        vm.assertEq(council.approvals(id, CORE), 1);
        vm.assertEq(council.approvals(id, AUDITORS), 0);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.NotAMember.selector, AUDITORS, AUDITOR));
        _approve(AUDITOR, id, AUDITORS);
        _approve(AUDITOR, id, CORE);
        vm.assertEq(council.approvals(id, CORE), 2);
    }

    function test_setRole_AddsOne() external {
        IRoleCouncil.Role memory community = _role("community", 2, address(1), address(2), address(3));
        IRoleCouncil.Call[] memory calls = _change(2, community);
        uint256 open = _passed(_revocation());
        _passed(calls);
        council.execute(calls, "why", SALT);
        vm.assertEq(council.roles().length, 3);
        vm.assertEq(council.roles()[2].name, "community");
        assertMotion(open, IRoleCouncil.MotionState.Open);
    }

    function test_setRole_VoidsOne() external {
        uint256 id = _proposed(_revocation());
        _approve(CORE_1, id, CORE);
        _approve(CORE_2, id, CORE);
        IRoleCouncil.Role memory void = IRoleCouncil.Role({name: "void", threshold: 0, members: new address[](0)});
        _setRole(AUDITORS, void);
        assertMotion(id, IRoleCouncil.MotionState.Passed);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.NotAMember.selector, AUDITORS, AUDITOR));
        _approve(AUDITOR, id, AUDITORS);
    }

    function testFuzz_setRole_RevertIf_NotByMotion(address caller) external {
        vm.assume(caller != address(council));
        IRoleCouncil.Role memory to = _role("core", 1, CORE_1, CORE_2, CORE_3);
        vm.prank(caller);
        vm.expectRevert(IRoleCouncil.OnlyByMotion.selector);
        council.setRole(CORE, to);
    }

    function test_setRole_RevertIf_Malformed() external {
        _expectInvalid(3, _role("far", 1, CORE_1, CORE_2, CORE_3));
        _expectInvalid(CORE, _role("", 1, CORE_1, CORE_2, CORE_3));
        _expectInvalid(CORE, _role(string(new bytes(65)), 1, CORE_1, CORE_2, CORE_3));
        _expectInvalid(CORE, _role("many", 4, CORE_1, CORE_2, CORE_3));
        _expectInvalid(CORE, _role("none", 0, CORE_1, CORE_2, CORE_3));
        _expectInvalid(CORE, _role("zero", 1, CORE_1, address(0), CORE_3));
        IRoleCouncil.Role memory big = IRoleCouncil.Role({name: "big", threshold: 1, members: new address[](65)});
        _expectInvalid(CORE, big);
        big = IRoleCouncil.Role({name: "none", threshold: 1, members: new address[](0)});
        _expectInvalid(CORE, big);
    }

    function test_setRole_RevertIf_TooManyRoles() external {
        for (uint256 i = 2; i < 16; ++i) {
            _setRole(i, _role("more", 1, address(uint160(2 * i)), address(uint160(2 * i + 1))));
        }
        _expectInvalid(16, _role("more", 1, address(32), address(33)));
    }

    function test_setRole_RevertIf_OneMemberWouldCountTwice() external {
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.AlreadyAMember.selector, CORE, CORE_1));
        _setRole(CORE, _role("twice", 1, CORE_1, CORE_2, CORE_1));
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.AlreadyAMember.selector, CORE, STRANGER));
        _setRole(CORE, _role("twice", 1, STRANGER, CORE_2, STRANGER));
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.AlreadyAMember.selector, AUDITORS, AUDITOR));
        _setRole(CORE, _role("other", 1, CORE_1, CORE_2, AUDITOR));
    }

    function test_setRole_RevertIf_NoThresholdWouldRemain() external {
        IRoleCouncil.Role memory void = IRoleCouncil.Role({name: "void", threshold: 0, members: new address[](0)});
        _setRole(CORE, void);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidRole.selector, AUDITORS));
        _setRole(AUDITORS, void);
    }

    /// @dev Membership follows the newest list, whatever came before.
    function testFuzz_setRole_SeatsFollowTheList(uint256 seed) external {
        for (uint256 step = 0; step < 8; ++step) {
            seed = uint256(keccak256(abi.encode(seed)));
            address a = address(uint160(0x1000 + seed % 5));
            address b = address(uint160(0x1000 + (seed % 5 + 1 + (seed >> 8) % 4) % 5));
            _setRole(CORE, _role("core", 1, a, b));
            for (uint160 i = 0x1000; i < 0x1005; ++i) {
                (bool isMember,) = council.roleOf(address(i));
                vm.assertEq(isMember, address(i) == a || address(i) == b);
            }
        }
    }

    function _expectInvalid(uint256 index, IRoleCouncil.Role memory role) private {
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidRole.selector, index));
        _setRole(index, role);
    }
}
