// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {KmsCommittee} from "../../contracts/KmsCommittee.sol";
import {IKmsCommittee} from "../../contracts/interfaces/IKmsCommittee.sol";
import {vm} from "../unit/support/Vm.sol";
import {CommitteeHandler} from "./CommitteeHandler.sol";

/// @notice G-11 over random lives of a committee.
contract CommitteeInvariants {
    CommitteeHandler private handler;
    KmsCommittee private committee;

    function setUp() external {
        handler = new CommitteeHandler();
        committee = handler.subject();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_G11_EpochsChangeOnlyThroughCeremonies() external view {
        IKmsCommittee.Epoch memory current = committee.currentEpoch();
        uint256 validRoots = current.number == 0 ? 0 : 1;
        for (uint64 number = 1; number < current.number; ++number) {
            IKmsCommittee.Epoch memory earlier = committee.epoch(number);
            IKmsCommittee.Epoch memory next = committee.epoch(number + 1);
            bool rotated = committee.ceremony(next.round).kind == IKmsCommittee.CeremonyKind.Rotate;
            bool same = keccak256(earlier.groupKey) == keccak256(next.groupKey);
            vm.assertTrue(same != rotated, "the root changed without Rotate, or did not change with it");
            vm.assertTrue(earlier.round < next.round, "a round started two epochs");
            vm.assertTrue(earlier.validUntil <= next.startedAt + committee.notice(), "a handover has no end");
            if (earlier.validUntil > block.timestamp) ++validRoots;
        }
        vm.assertTrue(validRoots <= 2, "more than two epochs are valid");
        vm.assertTrue(current.round <= committee.round(), "an epoch without a round");
        _checkQuorumRemains(current);
    }

    /// @dev The owner alone brings nobody in, and nobody stays whom a quorum does not vouch for again.
    function invariant_G1_WhoTakesPartWasVouchedForByAQuorum() external view {
        vm.assertFalse(handler.strangerTookPart(), "a node took part without a quorum's word");
        IKmsCommittee.Node[] memory nodes = committee.nodes();
        for (uint256 i = 0; i < nodes.length; ++i) {
            vm.assertTrue(nodes[i].attestedUntil <= handler.vouchedUntil(nodes[i].nodeKey), "attested by fewer");
        }
    }

    function _checkQuorumRemains(IKmsCommittee.Epoch memory current) private view {
        IKmsCommittee.Node[] memory nodes = committee.nodes();
        uint256 remaining = 0;
        for (uint256 i = 0; i < current.members.length; ++i) {
            for (uint256 j = 0; j < nodes.length; ++j) {
                if (nodes[j].nodeKey == current.members[i]) ++remaining;
            }
        }
        vm.assertTrue(remaining >= current.quorum, "fewer members than the quorum remain");
    }

    /// @dev Sequences that chance seldom finds, under the same eyes.
    function test_handler_NoKindEndsWithTheWrongRoot_G11() external {
        handler.open(1);
        handler.finish();
        for (uint256 kind = 2; kind <= 4; ++kind) {
            handler.open(kind);
            handler.finishWrongly();
            vm.assertEq(committee.currentEpoch().number, 1);
            this.invariant_G11_EpochsChangeOnlyThroughCeremonies();
            handler.pass(8 hours);
        }
        vm.assertEq(handler.effective("open"), 4);
    }

    /// @dev An admission by the owner, a vouch by too few, a demand that nobody answers: none of them brings a node into a round.
    function test_handler_NobodyTakesPartWithoutAQuorum_G1() external {
        handler.open(1);
        handler.finish();
        handler.admit(4);
        handler.attest(4, 1);
        handler.pass(8 days);
        handler.demand(0, true);
        handler.attest(0, 0);
        handler.attest(1, 0);
        handler.attest(2, 0);
        handler.open(3);
        vm.assertEq(committee.ceremony(2).players.length, 3);
        this.invariant_G1_WhoTakesPartWasVouchedForByAQuorum();
    }

    function test_handler_NoEvictionLeavesLessThanAQuorum() external {
        handler.open(1);
        handler.finish();
        handler.evict(0, false);
        handler.evict(15, false);
        vm.assertEq(handler.effective("evict"), 1);
        this.invariant_G11_EpochsChangeOnlyThroughCeremonies();
    }

    function test_handler_RotationsInARowLeaveTwoRoots_G11() external {
        handler.open(1);
        handler.finish();
        for (uint64 number = 2; number <= 4; ++number) {
            handler.open(4);
            handler.finish();
            vm.assertEq(committee.currentEpoch().number, number);
            this.invariant_G11_EpochsChangeOnlyThroughCeremonies();
        }
    }

    /// @dev Every step can take effect: otherwise the campaign would test nothing and stay green.
    function test_handler_EveryStepTakesEffect() external {
        handler.open(1);
        handler.post(0);
        handler.finish();
        handler.admit(4);
        handler.evict(0, true);
        handler.open(4);
        handler.pass(3 hours - 1);
        handler.pass(3 hours - 1);
        handler.pass(3 hours - 1);
        handler.abort();
        vm.assertEq(committee.currentEpoch().number, 1);
        vm.assertEq(handler.effective("open"), 2);
        vm.assertEq(handler.effective("post"), 1);
        vm.assertEq(handler.effective("confirm"), 3);
        vm.assertEq(handler.effective("admit"), 1);
        vm.assertEq(handler.effective("evict"), 1);
        vm.assertEq(handler.effective("abort"), 1);
        handler.demand(4, false);
        handler.attest(1, 0);
        vm.assertEq(handler.effective("demand"), 1);
        vm.assertEq(handler.effective("attest"), 5);
    }
}
