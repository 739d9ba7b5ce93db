// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {vm} from "../support/Vm.sol";

contract NoncesTest is CommitteeFixture {
    bytes32 private constant NONCE = keccak256("nonce");

    function test_publishNonce_ByAnyoneWithTheNodesSignature() external {
        bytes memory signature = _signNonce(1, NONCE);
        vm.expectEmit(address(committee));
        emit IKmsCommittee.NoncePublished(vm.addr(1), NONCE);
        vm.prank(STRANGER);
        committee.publishNonce(vm.addr(1), NONCE, signature);
        vm.assertEq(committee.nonceOf(vm.addr(1)), NONCE);
    }

    function test_publishNonce_RevertIf_Replayed() external {
        bytes memory signature = _signNonce(1, NONCE);
        committee.publishNonce(vm.addr(1), NONCE, signature);
        committee.publishNonce(vm.addr(1), keccak256("newer"), _signNonce(1, keccak256("newer")));
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.NonceSpent.selector, vm.addr(1), NONCE));
        committee.publishNonce(vm.addr(1), NONCE, signature);
        vm.assertEq(committee.nonceOf(vm.addr(1)), keccak256("newer"));
    }

    function test_publishNonce_RevertIf_SignedByAnother() external {
        bytes memory signature = _signNonce(2, NONCE);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.InvalidSignature.selector, vm.addr(1)));
        committee.publishNonce(vm.addr(1), NONCE, signature);
    }

    function testFuzz_publishNonce_RevertIf_SignatureIsMalformed(bytes memory signature) external {
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.InvalidSignature.selector, vm.addr(1)));
        committee.publishNonce(vm.addr(1), NONCE, signature);
    }

    function test_publishNonce_RevertIf_Unknown() external {
        bytes memory signature = _signNonce(5, NONCE);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.UnknownNode.selector, vm.addr(5)));
        committee.publishNonce(vm.addr(5), NONCE, signature);
    }
}
