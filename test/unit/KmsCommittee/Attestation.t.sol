// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {KmsCommittee} from "../../../contracts/KmsCommittee.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice A committee whose members must vouch for each other's evidence.
contract AttestationTest is CommitteeFixture {
    uint40 private constant PERIOD = 30 days;
    bytes32 private constant DIGEST = keccak256("evidence");

    function _attestationPeriod() internal pure override returns (uint40) {
        return PERIOD;
    }

    function _three() private pure returns (uint256[] memory voters) {
        voters = new uint256[](3);
        (voters[0], voters[1], voters[2]) = (1, 2, 3);
    }

    function _until() private view returns (uint40) {
        return currentTime() + PERIOD;
    }

    function _attestWith(uint256 key, IKmsCommittee.Vouch[] memory vouches, uint40 until) private {
        committee.attestNode(vm.addr(key), DIGEST, until, vouches);
    }

    function _attest(uint256 key) private {
        (uint64 demand,) = committee.attestationOf(vm.addr(key));
        _attestWith(key, _vouches(_three(), _node(key), DIGEST, demand, _until()), _until());
    }

    /// @dev Four nodes that have vouched for each other, with an epoch.
    function _attestedGenesis() private {
        for (uint256 key = 1; key <= NODES; ++key) {
            _attest(key);
        }
        _genesis();
    }

    function _attestedUntil(uint256 key) private view returns (uint40 until) {
        (, until) = committee.attestationOf(vm.addr(key));
    }

    function test_constructor_RevertIf_ThePeriodIsTooLong() external {
        uint40 longest = committee.MAX_NOTICE();
        vm.expectRevert(abi.encodeWithSelector(IGoverned.DurationTooLong.selector, longest + 1, longest));
        new KmsCommittee(OWNER, GUARDIAN, NOTICE, longest + 1);
    }

    function test_admitNode_AloneLetsNobodyTakePart_G1() external {
        vm.assertFalse(committee.isAdmitted(vm.addr(1)));
        vm.assertEq(committee.node(vm.addr(1)).attestedUntil, 0);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.TooFewNodes.selector, 0, 1));
        vm.prank(OWNER);
        committee.openCeremony(IKmsCommittee.CeremonyKind.Genesis, WINDOW, WINDOW);
    }

    function test_attestNode_LetsANodeTakePartUntilThePeriodIsOver() external {
        IKmsCommittee.Vouch[] memory vouches = _vouches(_three(), _node(4), DIGEST, 0, _until());
        address[] memory voters = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            voters[i] = vouches[i].voter;
        }
        vm.expectEmit(address(committee));
        emit IKmsCommittee.NodeAttested(vm.addr(4), DIGEST, _until(), voters);
        _attestWith(4, vouches, _until());
        IKmsCommittee.Node memory node = committee.node(vm.addr(4));
        vm.assertEq(node.attestedUntil, _until());
        vm.assertEq(node.evidenceDigest, DIGEST);
        vm.assertTrue(committee.isAdmitted(vm.addr(4)));
        skip(PERIOD - 1);
        vm.assertTrue(committee.isAdmitted(vm.addr(4)));
        skip(1);
        vm.assertFalse(committee.isAdmitted(vm.addr(4)));
    }

    function test_attestNode_IsRenewedByMembersWhoseOwnHasEnded() external {
        _attestedGenesis();
        skip(PERIOD);
        vm.assertFalse(committee.isAdmitted(vm.addr(1)));
        _attest(1);
        vm.assertTrue(committee.isAdmitted(vm.addr(1)));
    }

    function test_attestNode_DoesNotShortenTheNotice_G2() external {
        _attestedGenesis();
        _admit(5);
        _attest(5);
        vm.assertFalse(committee.isAdmitted(vm.addr(5)));
        skip(NOTICE);
        vm.assertTrue(committee.isAdmitted(vm.addr(5)));
    }

    function test_attestNode_SurvivesARenewalByTheOwner() external {
        _attestedGenesis();
        IKmsCommittee.Node memory renewed = committee.node(vm.addr(1));
        renewed.expiresAt += 100 days;
        (renewed.attestedUntil, renewed.evidenceDigest) = (type(uint40).max, keccak256("the owner's"));
        vm.prank(OWNER);
        committee.admitNode(renewed);
        vm.assertEq(_attestedUntil(1), _until());
        vm.assertEq(committee.node(vm.addr(1)).evidenceDigest, DIGEST);
    }

    function test_attestNode_EndsWithTheAdmission() external {
        _attestedGenesis();
        IKmsCommittee.Node memory node = _node(4);
        vm.prank(OWNER);
        committee.evictNode(node.nodeKey);
        vm.assertEq(_attestedUntil(4), 0);
        vm.prank(OWNER);
        committee.admitNode(node);
        vm.assertEq(_attestedUntil(4), 0);
    }

    function test_attestNode_RevertIf_FewerThanAQuorumVouch() external {
        uint256[] memory two = new uint256[](2);
        (two[0], two[1]) = (1, 2);
        IKmsCommittee.Vouch[] memory vouches = _vouches(two, _node(4), DIGEST, 0, _until());
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.TooFewVouches.selector, 2, 3));
        _attestWith(4, vouches, _until());
    }

    function test_attestNode_RevertIf_OneVouchesTwice() external {
        uint256[] memory twice = _three();
        twice[2] = 1;
        IKmsCommittee.Vouch[] memory vouches = _vouches(twice, _node(4), DIGEST, 0, _until());
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.VotersNotAscending.selector, vm.addr(1)));
        _attestWith(4, vouches, _until());
    }

    function test_attestNode_RevertIf_AVoterHasNoSeat() external {
        _attestedGenesis();
        _admit(5);
        uint256[] memory voters = _three();
        voters[2] = 5;
        skip(1);
        IKmsCommittee.Vouch[] memory vouches = _vouches(voters, _node(4), DIGEST, 0, _until());
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.NotAVoter.selector, vm.addr(5)));
        _attestWith(4, vouches, _until());
    }

    function test_attestNode_RevertIf_AVoterWasEvicted() external {
        _attestedGenesis();
        vm.prank(OWNER);
        committee.evictNode(vm.addr(3));
        skip(1);
        IKmsCommittee.Vouch[] memory vouches = _vouches(_three(), _node(4), DIGEST, 0, _until());
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.NotAVoter.selector, vm.addr(3)));
        _attestWith(4, vouches, _until());
    }

    function test_attestNode_RevertIf_BeforeTheFirstEpochAStrangerVouches() external {
        uint256[] memory voters = _three();
        voters[2] = 5;
        IKmsCommittee.Vouch[] memory vouches = _vouches(voters, _node(4), DIGEST, 0, _until());
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.NotAVoter.selector, vm.addr(5)));
        _attestWith(4, vouches, _until());
    }

    /// @dev Each field is what the quorum signed: other keys, other evidence, another demand, another end.
    function test_attestNode_RevertIf_SomethingElseWasSigned() external {
        IKmsCommittee.Node memory node = _node(4);
        node.dealingKey = keccak256("other");
        _refused(_vouches(_three(), node, DIGEST, 0, _until()));
        node = _node(4);
        node.sealingKey = keccak256("other");
        _refused(_vouches(_three(), node, DIGEST, 0, _until()));
        _refused(_vouches(_three(), _node(2), DIGEST, 0, _until()));
        _refused(_vouches(_three(), _node(4), keccak256("other"), 0, _until()));
        _refused(_vouches(_three(), _node(4), DIGEST, 1, _until()));
        _refused(_vouches(_three(), _node(4), DIGEST, 0, _until() - 1));
    }

    function _refused(IKmsCommittee.Vouch[] memory vouches) private {
        address first = vouches[0].voter;
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.InvalidSignature.selector, first));
        _attestWith(4, vouches, _until());
    }

    function test_attestNode_RevertIf_ItEndsTooLateOrNotLaterThanBefore() external {
        uint40 until = _until() + 1;
        IKmsCommittee.Vouch[] memory vouches = _vouches(_three(), _node(4), DIGEST, 0, until);
        bytes4 selector = IKmsCommittee.AttestationEnd.selector;
        vm.expectRevert(abi.encodeWithSelector(selector, until, currentTime() + 1, _until()));
        _attestWith(4, vouches, until);
        _attest(4);
        vouches = _vouches(_three(), _node(4), DIGEST, 0, _until());
        vm.expectRevert(abi.encodeWithSelector(selector, _until(), _until() + 1, _until()));
        _attestWith(4, vouches, _until());
        skip(2 * PERIOD);
        until = currentTime();
        vouches = _vouches(_three(), _node(4), DIGEST, 0, until);
        vm.expectRevert(abi.encodeWithSelector(selector, until, until + 1, _until()));
        _attestWith(4, vouches, until);
    }

    function test_attestNode_RevertIf_Unlisted() external {
        IKmsCommittee.Vouch[] memory vouches = _vouches(_three(), _node(5), DIGEST, 0, _until());
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.UnknownNode.selector, vm.addr(5)));
        _attestWith(5, vouches, _until());
    }

    function test_demandAttestation_EndsEveryAttestationAndOldVouchesCountNoMore() external {
        _attestedGenesis();
        skip(1);
        IKmsCommittee.Vouch[] memory old = _vouches(_three(), _node(1), DIGEST, 0, _until());
        uint40 until = currentTime() + 1 hours;
        vm.expectEmit(address(committee));
        emit IKmsCommittee.AttestationDemanded(1, until);
        vm.prank(GUARDIAN);
        committee.demandAttestation(1 hours);
        for (uint256 key = 1; key <= NODES; ++key) {
            vm.assertEq(_attestedUntil(key), until);
        }
        address first = old[0].voter;
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.InvalidSignature.selector, first));
        _attestWith(1, old, _until());
        skip(1 hours);
        vm.assertFalse(committee.isAdmitted(vm.addr(1)));
        _attest(1);
        vm.assertTrue(committee.isAdmitted(vm.addr(1)));
    }

    function test_demandAttestation_LengthensNone_G3() external {
        _attest(1);
        uint40 until = _attestedUntil(1);
        skip(10 days);
        vm.prank(GUARDIAN);
        committee.demandAttestation(PERIOD);
        vm.assertEq(_attestedUntil(1), until);
        vm.assertEq(_attestedUntil(2), 0);
    }

    /// @dev A hardware line is barred: its node cannot attest again, and the reshare leaves it out.
    function test_demandAttestation_ReshareLeavesOutWhoCannotAttestAgain() external {
        _attestedGenesis();
        vm.prank(OWNER);
        committee.demandAttestation(0);
        for (uint256 key = 1; key < NODES; ++key) {
            _attest(key);
        }
        uint64 round = _open(IKmsCommittee.CeremonyKind.Reshare);
        vm.assertEq(committee.ceremony(round).players.length, NODES - 1);
        vm.assertEq(committee.ceremony(round).dealers.length, NODES - 1);
    }

    function test_demandAttestation_RevertIf_TheGraceIsLongerThanThePeriod() external {
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.AttestationEnd.selector, PERIOD + 1, 0, PERIOD));
        vm.prank(OWNER);
        committee.demandAttestation(PERIOD + 1);
    }

    function testFuzz_demandAttestation_RevertIf_NotOwnerOrGuardian(address caller) external {
        vm.assume(caller != OWNER && caller != GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        vm.prank(caller);
        committee.demandAttestation(0);
    }
}

/// @notice A committee whose owner's word is enough.
contract NoAttestationTest is CommitteeFixture {
    function test_attestNode_RevertIf_ThereIsNoPeriod() external {
        uint40 until = currentTime() + 1;
        vm.expectRevert(IKmsCommittee.NoAttestationPeriod.selector);
        committee.attestNode(vm.addr(1), bytes32(0), until, new IKmsCommittee.Vouch[](0));
        vm.expectRevert(IKmsCommittee.NoAttestationPeriod.selector);
        vm.prank(OWNER);
        committee.demandAttestation(0);
    }

    function test_attestationOf_NeverEndsForWhoIsListed() external view {
        (uint64 demand, uint40 until) = committee.attestationOf(vm.addr(1));
        vm.assertEq(demand, 0);
        vm.assertEq(until, type(uint40).max);
        (, until) = committee.attestationOf(vm.addr(5));
        vm.assertEq(until, 0);
    }
}
