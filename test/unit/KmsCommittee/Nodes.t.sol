// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {KmsCommittee} from "../../../contracts/KmsCommittee.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {vm} from "../support/Vm.sol";

contract NodesTest is CommitteeFixture {
    function _expectAdmitted(IKmsCommittee.Node memory node, uint40 admittedFrom) private {
        vm.expectEmit(address(committee));
        emit IKmsCommittee.NodeAdmitted(
            node.nodeKey,
            node.operator,
            node.evidenceDigest,
            node.dealingKey,
            node.sealingKey,
            node.url,
            admittedFrom,
            node.expiresAt,
            type(uint40).max
        );
    }

    function test_admitNode_AtOnceBeforeTheFirstEpoch() external {
        IKmsCommittee.Node memory node = _node(5);
        _expectAdmitted(node, currentTime());
        vm.prank(OWNER);
        committee.admitNode(node);
        vm.assertTrue(committee.isAdmitted(node.nodeKey));
        vm.assertEq(committee.nodes().length, NODES + 1);
        (node.admittedFrom, node.attestedUntil) = (currentTime(), type(uint40).max);
        vm.assertEq(abi.encode(committee.node(node.nodeKey)), abi.encode(node));
    }

    function test_admitNode_AfterTheNoticeFromThenOn_G2() external {
        _genesis();
        uint40 from = currentTime() + NOTICE;
        IKmsCommittee.Node memory node = _node(5);
        node.admittedFrom = 1;
        vm.prank(OWNER);
        committee.admitNode(node);
        vm.warp(from - 1);
        vm.assertFalse(committee.isAdmitted(node.nodeKey));
        vm.warp(from);
        vm.assertTrue(committee.isAdmitted(node.nodeKey));
        vm.warp(node.expiresAt);
        vm.assertFalse(committee.isAdmitted(node.nodeKey));
    }

    function test_admitNode_RenewsWhatLastsThroughTheNotice_G2() external {
        _genesis();
        IKmsCommittee.Node memory node = committee.node(vm.addr(1));
        node.expiresAt += 100 days;
        node.url = "https://elsewhere.example";
        vm.warp(node.expiresAt - 100 days - NOTICE);
        _expectAdmitted(node, node.admittedFrom);
        vm.prank(OWNER);
        committee.admitNode(node);
        vm.assertEq(committee.node(node.nodeKey).expiresAt, node.expiresAt);
        vm.assertTrue(committee.isAdmitted(node.nodeKey));
        vm.assertEq(committee.nodes().length, NODES);
    }

    function test_admitNode_RevertIf_RenewedTooLate_G2() external {
        _genesis();
        IKmsCommittee.Node memory node = committee.node(vm.addr(1));
        vm.warp(node.expiresAt - NOTICE + 1);
        node.expiresAt += 100 days;
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.AlreadyAdmitted.selector, node.nodeKey));
        committee.admitNode(node);
    }

    function test_admitNode_TakesAnExpiredNodeAnewAfterTheNotice() external {
        _genesis();
        IKmsCommittee.Node memory node = committee.node(vm.addr(1));
        vm.warp(node.expiresAt);
        node.expiresAt += 100 days;
        node.dealingKey = keccak256("another");
        vm.prank(OWNER);
        committee.admitNode(node);
        vm.assertFalse(committee.isAdmitted(node.nodeKey));
        skip(NOTICE);
        vm.assertTrue(committee.isAdmitted(node.nodeKey));
        vm.assertEq(committee.nodes().length, NODES);
    }

    function test_admitNode_RevertIf_RenewedWithOtherKeys() external {
        IKmsCommittee.Node memory node = committee.node(vm.addr(1));
        node.expiresAt += 1;
        node.sealingKey = keccak256("another");
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.AlreadyAdmitted.selector, node.nodeKey));
        committee.admitNode(node);
    }

    function test_admitNode_RevertIf_AnotherHasTheDealingKey() external {
        IKmsCommittee.Node memory node = _node(5);
        node.dealingKey = _node(2).dealingKey;
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.AlreadyAdmitted.selector, vm.addr(2)));
        committee.admitNode(node);
    }

    function test_admitNode_RevertIf_AKeyIsZero() external {
        IKmsCommittee.Node[3] memory bad = [_node(5), _node(5), _node(5)];
        bad[0].nodeKey = address(0);
        bad[1].dealingKey = 0;
        bad[2].sealingKey = 0;
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(OWNER);
            vm.expectRevert(IKmsCommittee.ZeroKey.selector);
            committee.admitNode(bad[i]);
        }
    }

    function test_admitNode_RevertIf_NoOperator() external {
        IKmsCommittee.Node memory node = _node(5);
        node.operator = address(0);
        vm.prank(OWNER);
        vm.expectRevert(IKmsCommittee.ZeroOperator.selector);
        committee.admitNode(node);
    }

    function test_admitNode_RevertIf_ItWouldExpireBeforeItStarts() external {
        IKmsCommittee.Node memory node = _node(5);
        node.expiresAt = currentTime();
        vm.prank(OWNER);
        vm.expectRevert(
            abi.encodeWithSelector(IKmsCommittee.ExpiresTooSoon.selector, node.expiresAt, node.expiresAt + 1)
        );
        committee.admitNode(node);
    }

    function test_admitNode_RevertIf_UrlTooLong() external {
        IKmsCommittee.Node memory node = _node(5);
        node.url = string(new bytes(257));
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.UrlTooLong.selector, 257, 256));
        committee.admitNode(node);
    }

    function test_admitNode_RevertIf_SixtyFourAreListed() external {
        for (uint256 i = NODES + 1; i <= 64; ++i) {
            _admit(i);
        }
        IKmsCommittee.Node memory node = _node(65);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.TooManyNodes.selector, 64));
        committee.admitNode(node);
    }

    function testFuzz_admitNode_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        IKmsCommittee.Node memory node = _node(5);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        committee.admitNode(node);
    }

    function test_evictNode_ActsAtOnce_G2() external {
        _genesis();
        vm.expectEmit(address(committee));
        emit IKmsCommittee.NodeEvicted(vm.addr(2), GUARDIAN);
        vm.prank(GUARDIAN);
        committee.evictNode(vm.addr(2));
        vm.assertFalse(committee.isAdmitted(vm.addr(2)));
        vm.assertEq(committee.nodes().length, 3);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.UnknownNode.selector, vm.addr(2)));
        committee.node(vm.addr(2));
    }

    function test_evictNode_FreesTheDealingKey() external {
        vm.prank(OWNER);
        committee.evictNode(vm.addr(1));
        _admit(1);
        vm.assertTrue(committee.isAdmitted(vm.addr(1)));
    }

    function test_evictNode_RevertIf_BelowTheQuorumOfTheEpoch() external {
        _genesis();
        vm.startPrank(GUARDIAN);
        committee.evictNode(vm.addr(1));
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.BelowQuorum.selector, 2, 3));
        committee.evictNode(vm.addr(2));
    }

    function test_evictNode_OfANonMemberIsAlwaysPossible() external {
        _genesis();
        _admit(5);
        vm.startPrank(OWNER);
        committee.evictNode(vm.addr(1));
        committee.evictNode(vm.addr(5));
        vm.assertEq(committee.nodes().length, 3);
    }

    function test_evictNode_AbortsACeremonyInWhichItTakesPart() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        vm.expectEmit(address(committee));
        emit IKmsCommittee.CeremonyAborted(round);
        vm.prank(OWNER);
        committee.evictNode(vm.addr(1));
        assertState(round, IKmsCommittee.CeremonyState.Aborted);
    }

    function test_evictNode_LeavesACeremonyOfOthersAlone() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        _admit(5);
        vm.prank(OWNER);
        committee.evictNode(vm.addr(5));
        assertState(round, IKmsCommittee.CeremonyState.Dealing);
    }

    function test_evictNode_AnOperatorLeavesButNotDuringACeremony() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        vm.prank(OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.CeremonyRunning.selector, round));
        committee.evictNode(vm.addr(1));
        skip(2 * WINDOW);
        committee.abortCeremony(round);
        vm.prank(OPERATOR);
        committee.evictNode(vm.addr(1));
        vm.assertFalse(committee.isAdmitted(vm.addr(1)));
    }

    function test_evictNode_RevertIf_Unknown() external {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.UnknownNode.selector, STRANGER));
        committee.evictNode(STRANGER);
    }

    function test_setNodeUrl_ByTheOperator() external {
        vm.expectEmit(address(committee));
        emit IKmsCommittee.NodeUrlSet(vm.addr(1), "https://elsewhere.example");
        vm.startPrank(OPERATOR);
        committee.setNodeUrl(vm.addr(1), "https://elsewhere.example");
        vm.expectRevert(IGoverned.NothingToChange.selector);
        committee.setNodeUrl(vm.addr(1), "https://elsewhere.example");
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.UrlTooLong.selector, 257, 256));
        committee.setNodeUrl(vm.addr(1), string(new bytes(257)));
    }

    function test_setNodeUrl_RevertIf_Unknown() external {
        vm.prank(OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.UnknownNode.selector, STRANGER));
        committee.setNodeUrl(STRANGER, "");
    }

    function testFuzz_evictNode_RevertIf_Stranger(address caller) external {
        vm.assume(caller != OWNER && caller != GUARDIAN && caller != OPERATOR);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        committee.evictNode(vm.addr(1));
    }

    function testFuzz_setNodeUrl_RevertIf_NotOperator(address caller) external {
        vm.assume(caller != OPERATOR);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        committee.setNodeUrl(vm.addr(1), "x");
    }
}
