// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {vm} from "../support/Vm.sol";

contract ConfirmOutputTest is CommitteeFixture {
    function test_confirmOutput_TheQuorumthEqualOneStartsTheEpoch_G11() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        for (uint256 i = 1; i <= NODES; ++i) {
            _post(i, round);
        }
        bytes32 hash = _outputHash(groupKey, polynomial);
        _confirm(1, round, groupKey, polynomial);
        _confirm(2, round, groupKey, polynomial);
        vm.assertEq(committee.confirmations(round, hash), 2);
        vm.assertEq(committee.currentEpoch().number, 0);

        vm.expectEmit(address(committee));
        emit IKmsCommittee.OutputConfirmed(round, vm.addr(4), hash);
        vm.expectEmit(address(committee));
        emit IKmsCommittee.EpochStarted(1, round, groupKey, polynomial, currentTime());
        _confirm(4, round, groupKey, polynomial);
        assertState(round, IKmsCommittee.CeremonyState.Finished);
        IKmsCommittee.Epoch memory started = committee.currentEpoch();
        vm.assertEq(started.number, 1);
        vm.assertEq(started.round, round);
        vm.assertEq(started.startedAt, currentTime());
        vm.assertEq(started.validUntil, type(uint40).max);
        vm.assertEq(started.quorum, 3);
        vm.assertEq(started.groupKey, groupKey);
        vm.assertEq(started.polynomial, polynomial);
        vm.assertEq(started.members.length, NODES);
        vm.assertEq(abi.encode(committee.epoch(1)), abi.encode(started));
    }

    function test_confirmOutput_AMinorityOfLiarsDelaysNothing() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        for (uint256 i = 1; i <= 3; ++i) {
            _post(i, round);
        }
        skip(WINDOW);
        _confirm(4, round, groupKey, "a lie");
        for (uint256 i = 1; i <= 3; ++i) {
            _confirm(i, round, groupKey, polynomial);
        }
        vm.assertEq(committee.currentEpoch().polynomial, polynomial);
    }

    function test_confirmOutput_WithOneNode() external {
        vm.startPrank(OWNER);
        for (uint256 i = 2; i <= NODES; ++i) {
            committee.evictNode(vm.addr(i));
        }
        vm.stopPrank();
        _run(IKmsCommittee.CeremonyKind.Genesis, 1, 1, groupKey);
        vm.assertEq(committee.currentEpoch().quorum, 1);
    }

    function test_confirmOutput_ReshareKeepsTheKeyAndEndsThePreviousEpoch_G11() external {
        _genesis();
        _admit(5);
        skip(NOTICE);
        _run(IKmsCommittee.CeremonyKind.Reshare, 4, 5, groupKey);
        vm.assertEq(committee.epoch(1).validUntil, currentTime());
        vm.assertEq(committee.outgoingEpoch().number, 0);
        vm.assertEq(committee.currentEpoch().number, 2);
        vm.assertEq(committee.currentEpoch().members.length, 5);
        vm.assertEq(committee.currentEpoch().quorum, 4);
    }

    function test_confirmOutput_RotateKeepsThePreviousEpochForAHandover_G11() external {
        _genesis();
        bytes memory other = abi.encodePacked(keccak256("other"), bytes16("0123456789abcdef"));
        uint64 round = _open(IKmsCommittee.CeremonyKind.Rotate);
        for (uint256 i = 1; i <= NODES; ++i) {
            _post(i, round);
        }
        _confirm(1, round, other, polynomial);
        _confirm(2, round, other, polynomial);
        vm.expectEmit(address(committee));
        emit IKmsCommittee.OutputConfirmed(round, vm.addr(3), _outputHash(other, polynomial));
        vm.expectEmit(address(committee));
        emit IKmsCommittee.EpochStarted(2, round, other, polynomial, currentTime() + NOTICE);
        _confirm(3, round, other, polynomial);
        vm.assertEq(committee.epoch(1).validUntil, currentTime() + NOTICE);
        vm.assertEq(committee.currentEpoch().groupKey, other);
        vm.assertEq(committee.outgoingEpoch().number, 1);
        vm.assertEq(committee.outgoingEpoch().groupKey, groupKey);
    }

    function test_confirmOutput_ARefreshLeavesTheHandoverOfThePreviousRootAlone_G11() external {
        _genesis();
        bytes memory other = abi.encodePacked(keccak256("other"), bytes16("0123456789abcdef"));
        _run(IKmsCommittee.CeremonyKind.Rotate, 4, 4, other);
        uint40 until = committee.epoch(1).validUntil;
        skip(1 days);
        _run(IKmsCommittee.CeremonyKind.Refresh, 4, 4, other);
        vm.assertEq(committee.epoch(1).validUntil, until);
        vm.assertEq(committee.epoch(2).validUntil, currentTime());
        vm.assertEq(committee.outgoingEpoch().number, 1);
    }

    function test_confirmOutput_ASecondRotateEndsTheFirstRoot_G11() external {
        _genesis();
        bytes memory other = abi.encodePacked(keccak256("other"), bytes16("0123456789abcdef"));
        _run(IKmsCommittee.CeremonyKind.Rotate, 4, 4, other);
        _run(IKmsCommittee.CeremonyKind.Refresh, 4, 4, other);
        skip(1 days);
        _run(IKmsCommittee.CeremonyKind.Rotate, 4, 4, groupKey);
        vm.assertEq(committee.epoch(1).validUntil, currentTime());
        vm.assertEq(committee.epoch(3).validUntil, currentTime() + NOTICE);
        vm.assertEq(committee.outgoingEpoch().number, 3);
    }

    function test_confirmOutput_RevertIf_TheKeyChangedWithoutRotate_G11() external {
        _genesis();
        uint64 round = _open(IKmsCommittee.CeremonyKind.Refresh);
        skip(WINDOW);
        bytes memory other = new bytes(48);
        bytes memory signature = _signOutput(1, round, other, polynomial);
        vm.expectRevert(IKmsCommittee.GroupKeyChanged.selector);
        committee.confirmOutput(round, vm.addr(1), other, polynomial, signature);
    }

    function test_confirmOutput_RevertIf_RotateKeepsTheKey() external {
        _genesis();
        uint64 round = _open(IKmsCommittee.CeremonyKind.Rotate);
        skip(WINDOW);
        bytes memory signature = _signOutput(1, round, groupKey, polynomial);
        vm.expectRevert(IKmsCommittee.GroupKeyUnchanged.selector);
        committee.confirmOutput(round, vm.addr(1), groupKey, polynomial, signature);
    }

    function test_confirmOutput_RevertIf_DealingIsNotOver() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        bytes memory signature = _signOutput(1, round, groupKey, polynomial);
        vm.expectRevert(
            abi.encodeWithSelector(IKmsCommittee.WrongState.selector, round, IKmsCommittee.CeremonyState.Dealing)
        );
        committee.confirmOutput(round, vm.addr(1), groupKey, polynomial, signature);
    }

    function test_confirmOutput_RevertIf_TheWindowIsOver() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        bytes memory signature = _signOutput(1, round, groupKey, polynomial);
        skip(2 * WINDOW);
        vm.expectRevert(
            abi.encodeWithSelector(IKmsCommittee.WrongState.selector, round, IKmsCommittee.CeremonyState.Aborted)
        );
        committee.confirmOutput(round, vm.addr(1), groupKey, polynomial, signature);
    }

    function test_confirmOutput_RevertIf_Twice() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        skip(WINDOW);
        _confirm(1, round, groupKey, polynomial);
        bytes memory signature = _signOutput(1, round, groupKey, "other");
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.AlreadyPosted.selector, round, vm.addr(1)));
        committee.confirmOutput(round, vm.addr(1), groupKey, "other", signature);
    }

    function test_confirmOutput_RevertIf_NotAPlayer() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        skip(WINDOW);
        bytes memory signature = _signOutput(5, round, groupKey, polynomial);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.NotAPlayer.selector, round, vm.addr(5)));
        committee.confirmOutput(round, vm.addr(5), groupKey, polynomial, signature);
    }

    function test_confirmOutput_RevertIf_SignedForAnotherOutput() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        skip(WINDOW);
        bytes memory signature = _signOutput(1, round, groupKey, "other");
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.InvalidSignature.selector, vm.addr(1)));
        committee.confirmOutput(round, vm.addr(1), groupKey, polynomial, signature);
    }

    function test_confirmOutput_RevertIf_TheKeyIsNoPoint() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        skip(WINDOW);
        bytes memory signature = _signOutput(1, round, "short", polynomial);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.InvalidGroupKey.selector, 5));
        committee.confirmOutput(round, vm.addr(1), "short", polynomial, signature);
    }

    function test_confirmOutput_RevertIf_ThePolynomialIsTooLong() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        skip(WINDOW);
        bytes memory long = new bytes(8 * 1024 + 1);
        bytes memory signature = _signOutput(1, round, groupKey, long);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.OutputTooLong.selector, long.length, 8 * 1024));
        committee.confirmOutput(round, vm.addr(1), groupKey, long, signature);
    }

    function test_abortCeremony_AfterTheLastWindowByAnyone() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        skip(2 * WINDOW - 1);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.CeremonyRunning.selector, round));
        committee.abortCeremony(round);
        skip(1);
        vm.expectEmit(address(committee));
        emit IKmsCommittee.CeremonyAborted(round);
        vm.prank(STRANGER);
        committee.abortCeremony(round);
        vm.expectRevert(
            abi.encodeWithSelector(IKmsCommittee.WrongState.selector, round, IKmsCommittee.CeremonyState.Aborted)
        );
        committee.abortCeremony(round);
    }

    function test_abortCeremony_RevertIf_FinishedOrUnknown() external {
        uint64 round = _genesis();
        vm.expectRevert(
            abi.encodeWithSelector(IKmsCommittee.WrongState.selector, round, IKmsCommittee.CeremonyState.Finished)
        );
        committee.abortCeremony(round);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.WrongState.selector, 7, IKmsCommittee.CeremonyState.None));
        committee.abortCeremony(7);
    }
}
