// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice "Simple duplication" (K6): a committee of one member, copies of whose share other nodes may hold.
contract ReplicationTest is CommitteeFixture {
    /// @dev Node 1 alone makes the key; 2 is admitted afterwards.
    function _single() private {
        for (uint256 key = 2; key <= NODES; ++key) {
            vm.prank(OWNER);
            committee.evictNode(vm.addr(key));
        }
        _run(IKmsCommittee.CeremonyKind.Genesis, 1, 1, groupKey);
        _admit(2);
        skip(NOTICE);
    }

    function _set(bool replicated) private {
        vm.prank(OWNER);
        committee.setReplication(replicated);
    }

    function test_setReplication_WaitsForTheNoticeAndEndsAtOnce_G2() external {
        _single();
        vm.assertFalse(committee.isReplica(vm.addr(2)));
        vm.expectEmit(address(committee));
        emit IKmsCommittee.ReplicationSet(currentTime() + NOTICE);
        _set(true);
        skip(NOTICE - 1);
        vm.assertFalse(committee.isReplica(vm.addr(2)));
        skip(1);
        vm.assertTrue(committee.isReplica(vm.addr(2)));
        vm.expectEmit(address(committee));
        emit IKmsCommittee.ReplicationSet(0);
        _set(false);
        vm.assertFalse(committee.isReplica(vm.addr(2)));
    }

    function test_isReplica_IsNeitherTheMemberNorWhoIsNotAdmitted() external {
        _single();
        _set(true);
        skip(NOTICE);
        vm.assertFalse(committee.isReplica(vm.addr(1)));
        vm.assertFalse(committee.isReplica(vm.addr(3)));
        _admit(3);
        vm.assertFalse(committee.isReplica(vm.addr(3)));
        vm.prank(GUARDIAN);
        committee.evictNode(vm.addr(2));
        vm.assertFalse(committee.isReplica(vm.addr(2)));
    }

    /// @dev Shares of one polynomial must not be copied: t of them would soon be anywhere.
    function test_isReplica_EndsWithTheReshareToSeveral_G4() external {
        _single();
        _set(true);
        skip(NOTICE);
        _run(IKmsCommittee.CeremonyKind.Reshare, 1, 2, groupKey);
        _admit(3);
        skip(NOTICE);
        vm.assertFalse(committee.isReplica(vm.addr(3)));
    }

    function test_setReplication_RevertIf_ThereAreSeveralMembersOrNone() external {
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.NotASingleMember.selector, 0));
        _set(true);
        _genesis();
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.NotASingleMember.selector, NODES));
        _set(true);
    }

    function test_setReplication_RevertIf_NothingChanges() external {
        _single();
        vm.expectRevert(IGoverned.NothingToChange.selector);
        _set(false);
        _set(true);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        _set(true);
    }

    function testFuzz_setReplication_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        vm.prank(caller);
        committee.setReplication(true);
    }
}
