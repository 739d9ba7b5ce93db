// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {RoleCouncil} from "../../../contracts/governance/RoleCouncil.sol";
import {IRoleCouncil} from "../../../contracts/interfaces/IRoleCouncil.sol";
import {CouncilFixture} from "../support/CouncilFixture.sol";
import {ContractSigner, vmMore} from "../support/SignerStubs.sol";
import {vm} from "../support/Vm.sol";

contract RoleCouncilSignaturesTest is CouncilFixture {
    uint256 private deadline;

    function setUp() public override {
        super.setUp();
        deadline = block.timestamp + 1 days;
    }

    function _approval(uint256 key, uint256 id, uint256 role, uint256 nonce) private view returns (bytes memory) {
        return _sign(key, _digest(council, "Approval", id, role, vm.addr(key), nonce, deadline));
    }

    function _withdrawal(uint256 key, uint256 id, uint256 role, uint256 nonce) private view returns (bytes memory) {
        return _sign(key, _digest(council, "Withdrawal", id, role, vm.addr(key), nonce, deadline));
    }

    function _expectInvalidApproval(uint256 id, uint256 role, address member, bytes memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidSignature.selector, member));
        council.approveBySig(id, role, member, deadline, signature);
    }

    function test_approveBySig_AnyoneMaySendIt() external {
        uint256 id = _proposed(_revocation());
        bytes memory signature = _approval(1, id, CORE, 0);
        vm.expectEmit(address(council));
        emit IRoleCouncil.MotionApproved(id, CORE, CORE_1);
        vm.prank(STRANGER);
        council.approveBySig(id, CORE, CORE_1, deadline, signature);
        vm.assertTrue(council.hasApproved(id, CORE, CORE_1));
        vm.assertEq(council.nonceOf(id, CORE_1), 1);
    }

    function test_approveBySig_UntilTheDeadline() external {
        uint256 id = _proposed(_revocation());
        bytes memory signature = _approval(1, id, CORE, 0);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.SignatureExpired.selector, deadline));
        council.approveBySig(id, CORE, CORE_1, deadline, signature);
        vm.warp(deadline);
        council.approveBySig(id, CORE, CORE_1, deadline, signature);
    }

    function test_approveBySig_RevertIf_ReplayedAfterTheWithdrawal() external {
        uint256 id = _proposed(_revocation());
        bytes memory first = _approval(1, id, CORE, 0);
        council.approveBySig(id, CORE, CORE_1, deadline, first);
        _expectInvalidApproval(id, CORE, CORE_1, first);
        _withdraw(CORE_1, id, CORE);
        _expectInvalidApproval(id, CORE, CORE_1, first);
        council.approveBySig(id, CORE, CORE_1, deadline, _approval(1, id, CORE, 2));
        vm.assertTrue(council.hasApproved(id, CORE, CORE_1));
    }

    function test_approveBySig_RevertIf_ForAnotherMotionRoleOrNonce() external {
        uint256 id = _proposed(_revocation());
        _expectInvalidApproval(id, CORE, CORE_1, _approval(1, id + 1, CORE, 0));
        _expectInvalidApproval(id, CORE, CORE_1, _approval(1, id, AUDITORS, 0));
        _expectInvalidApproval(id, CORE, CORE_1, _approval(1, id, CORE, 1));
        _expectInvalidApproval(id, CORE, CORE_1, _withdrawal(1, id, CORE, 0));
        _expectInvalidApproval(id, CORE, CORE_1, _approval(2, id, CORE, 0));
        _expectInvalidApproval(id, CORE, CORE_1, "");
    }

    function test_approveBySig_RevertIf_ForAnotherCouncilOrChain() external {
        uint256 id = _proposed(_revocation());
        RoleCouncil other = new RoleCouncil(_roles(), LIFETIME);
        bytes memory elsewhere = _sign(1, _digest(other, "Approval", id, CORE, CORE_1, 0, deadline));
        _expectInvalidApproval(id, CORE, CORE_1, elsewhere);
        bytes memory here = _approval(1, id, CORE, 0);
        vmMore.chainId(block.chainid + 1);
        _expectInvalidApproval(id, CORE, CORE_1, here);
    }

    function test_approveBySig_RevertIf_NotAMember() external {
        uint256 id = _proposed(_revocation());
        address nobody = vm.addr(9);
        bytes memory signature = _approval(9, id, CORE, 0);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.NotAMember.selector, CORE, nobody));
        council.approveBySig(id, CORE, nobody, deadline, signature);
    }

    function test_approveBySig_RevertIf_ExpiredMotion() external {
        uint256 id = _proposed(_revocation());
        skip(LIFETIME);
        deadline = block.timestamp;
        bytes memory signature = _approval(1, id, CORE, 0);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.WrongState.selector, id, IRoleCouncil.MotionState.Expired));
        council.approveBySig(id, CORE, CORE_1, deadline, signature);
    }

    function test_approveBySig_OfAContract() external {
        ContractSigner safe = new ContractSigner();
        _setRole(CORE, _role("core", 2, CORE_1, CORE_2, address(safe)));
        uint256 id = _proposed(_revocation());
        _expectInvalidApproval(id, CORE, address(safe), "");
        safe.sign(_digest(council, "Approval", id, CORE, address(safe), 0, deadline));
        uint256 snapshot = vm.snapshotState();
        council.approveBySig(id, CORE, address(safe), deadline, "");
        vm.assertTrue(council.hasApproved(id, CORE, address(safe)));
        vm.revertToState(snapshot);
        safe.breakDown();
        _expectInvalidApproval(id, CORE, address(safe), "");
    }

    function test_withdrawBySig_TakesTheApprovalBack() external {
        uint256 id = _passed(_revocation());
        bytes memory signature = _withdrawal(1, id, CORE, 1);
        vm.expectEmit(address(council));
        emit IRoleCouncil.ApprovalWithdrawn(id, CORE, CORE_1);
        vm.prank(STRANGER);
        council.withdrawBySig(id, CORE, CORE_1, deadline, signature);
        assertMotion(id, IRoleCouncil.MotionState.Open);

        _approve(CORE_1, id, CORE);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidSignature.selector, CORE_1));
        council.withdrawBySig(id, CORE, CORE_1, deadline, signature);
    }

    function test_withdrawBySig_RevertIf_AnApprovalsSignatureOrTooLate() external {
        uint256 id = _passed(_revocation());
        bytes memory signature = _approval(1, id, CORE, 1);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.InvalidSignature.selector, CORE_1));
        council.withdrawBySig(id, CORE, CORE_1, deadline, signature);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.SignatureExpired.selector, deadline));
        council.withdrawBySig(id, CORE, CORE_1, deadline, signature);
    }

    function testFuzz_approveBySig_RevertIf_AnotherKeySigned(uint256 key, uint256 id) external {
        key = 6 + key % 1e18;
        bytes memory signature = _sign(key, _digest(council, "Approval", id, CORE, CORE_1, 0, deadline));
        _expectInvalidApproval(id, CORE, CORE_1, signature);
    }

    function test_eip712Domain_NamesTheCouncil() external view {
        (bytes1 fields, string memory name, string memory version, uint256 chainId, address verifier,,) =
            council.eip712Domain();
        vm.assertEq(bytes32(fields), bytes32(hex"0f"));
        vm.assertEq(name, "Mandate RoleCouncil");
        vm.assertEq(version, "1");
        vm.assertEq(chainId, block.chainid);
        vm.assertEq(verifier, address(council));
    }

    function test_approve_CostsAtMost35000() external {
        uint256 id = _proposed(_revocation());
        vm.assertTrue(_costOf(CORE_1, abi.encodeCall(council.approve, (id, CORE))) <= 35_000, "first");
        vm.assertTrue(_costOf(CORE_2, abi.encodeCall(council.approve, (id, CORE))) <= 35_000, "second");
        _withdraw(CORE_2, id, CORE);
        vm.assertTrue(_costOf(CORE_2, abi.encodeCall(council.approve, (id, CORE))) <= 35_000, "again");
    }

    function test_approveBySig_CostsAboutAsMuch() external {
        uint256 id = _proposed(_revocation());
        bytes memory data =
            abi.encodeCall(council.approveBySig, (id, CORE, CORE_1, deadline, _approval(1, id, CORE, 0)));
        // The caller's own work on its call is in this figure; without it, the execution costs less than 35,000.
        vm.assertTrue(_costOf(STRANGER, data) <= 36_000, "by signature");
    }

    /// @dev As in a transaction of its own: every slot is cold, the called contract itself is not.
    function _costOf(address caller, bytes memory data) private returns (uint256 cost) {
        vmMore.cool(address(council));
        council.MAX_ROLES();
        vm.prank(caller);
        cost = gasleft();
        (bool success,) = address(council).call(data);
        cost -= gasleft();
        vm.assertTrue(success);
    }
}
