// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {KmsCommittee} from "../../../contracts/KmsCommittee.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {vm} from "../support/Vm.sol";

contract OpenCeremonyTest is CommitteeFixture {
    function test_openCeremony_GenesisAmongAllAdmitted() external {
        address[] memory all = new address[](NODES);
        for (uint256 i = 0; i < NODES; ++i) {
            all[i] = vm.addr(i + 1);
        }
        (uint40 dealUntil, uint40 confirmUntil) = (currentTime() + WINDOW, currentTime() + 2 * WINDOW);
        vm.expectEmit(address(committee));
        emit IKmsCommittee.CeremonyOpened(1, IKmsCommittee.CeremonyKind.Genesis, dealUntil, confirmUntil, 3, all, all);
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        vm.assertEq(round, 1);
        vm.assertEq(committee.round(), 1);
        IKmsCommittee.Ceremony memory opened = committee.ceremony(1);
        vm.assertEq(opened.dealers.length, NODES);
        vm.assertEq(abi.encode(opened.dealers), abi.encode(opened.players));
        vm.assertEq(opened.quorum, 3);
        assertState(1, IKmsCommittee.CeremonyState.Dealing);
    }

    function test_openCeremony_QuorumIsAllButAThird() external {
        uint32[7] memory quorums = [uint32(1), 2, 3, 3, 4, 5, 5];
        committee = new KmsCommittee(OWNER, GUARDIAN, NOTICE, 0);
        for (uint256 i = 1; i <= quorums.length; ++i) {
            _admit(i);
            uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
            vm.assertEq(committee.ceremony(round).quorum, quorums[i - 1]);
            skip(2 * WINDOW);
        }
    }

    function test_openCeremony_LeavesOutWhoIsNotAdmittedYetOrAnyMore() external {
        _genesis();
        _admit(5);
        vm.prank(OWNER);
        committee.evictNode(vm.addr(4));
        uint64 round = _open(IKmsCommittee.CeremonyKind.Rotate);
        IKmsCommittee.Ceremony memory opened = committee.ceremony(round);
        vm.assertEq(opened.players.length, 3);
    }

    function test_openCeremony_ReshareFromMembersToAllAdmitted() external {
        _genesis();
        _admit(5);
        vm.prank(OWNER);
        committee.evictNode(vm.addr(4));
        skip(NOTICE);
        uint64 round = _open(IKmsCommittee.CeremonyKind.Reshare);
        IKmsCommittee.Ceremony memory opened = committee.ceremony(round);
        vm.assertEq(opened.dealers.length, 3);
        vm.assertEq(opened.players.length, 4);
        vm.assertEq(opened.quorum, 3);
    }

    function test_openCeremony_RefreshAmongTheMembersOnly() external {
        _genesis();
        _admit(5);
        skip(NOTICE);
        uint64 round = _open(IKmsCommittee.CeremonyKind.Refresh);
        IKmsCommittee.Ceremony memory opened = committee.ceremony(round);
        vm.assertEq(opened.dealers.length, NODES);
        vm.assertEq(abi.encode(opened.dealers), abi.encode(opened.players));
    }

    function test_openCeremony_RevertIf_RefreshLacksAMember() external {
        _genesis();
        vm.startPrank(OWNER);
        committee.evictNode(vm.addr(4));
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.TooFewNodes.selector, 3, 4));
        committee.openCeremony(IKmsCommittee.CeremonyKind.Refresh, WINDOW, WINDOW);
    }

    function test_openCeremony_RevertIf_TooFewMembersCanReshare() external {
        _genesis();
        skip(365 days);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.TooFewNodes.selector, 0, 3));
        committee.openCeremony(IKmsCommittee.CeremonyKind.Reshare, WINDOW, WINDOW);
    }

    function test_openCeremony_RevertIf_NobodyIsAdmitted() external {
        committee = new KmsCommittee(OWNER, GUARDIAN, NOTICE, 0);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.TooFewNodes.selector, 0, 1));
        committee.openCeremony(IKmsCommittee.CeremonyKind.Genesis, WINDOW, WINDOW);
    }

    function test_openCeremony_RevertIf_KindDoesNotFit() external {
        IKmsCommittee.CeremonyKind[4] memory early = [
            IKmsCommittee.CeremonyKind.None,
            IKmsCommittee.CeremonyKind.Refresh,
            IKmsCommittee.CeremonyKind.Reshare,
            IKmsCommittee.CeremonyKind.Rotate
        ];
        for (uint256 i = 0; i < early.length; ++i) {
            _expectWrongKind(early[i]);
        }
        _genesis();
        _expectWrongKind(IKmsCommittee.CeremonyKind.None);
        _expectWrongKind(IKmsCommittee.CeremonyKind.Genesis);
    }

    function test_openCeremony_RevertIf_OneIsRunning() external {
        uint64 round = _open(IKmsCommittee.CeremonyKind.Genesis);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.CeremonyRunning.selector, round));
        committee.openCeremony(IKmsCommittee.CeremonyKind.Genesis, WINDOW, WINDOW);
    }

    function test_openCeremony_GivesTheNextNumberAfterAFailedRound() external {
        _open(IKmsCommittee.CeremonyKind.Genesis);
        skip(2 * WINDOW);
        vm.expectEmit(address(committee));
        emit IKmsCommittee.CeremonyAborted(1);
        vm.assertEq(_open(IKmsCommittee.CeremonyKind.Genesis), 2);
        assertState(1, IKmsCommittee.CeremonyState.Aborted);
    }

    function test_openCeremony_RevertIf_AWindowIsTooShortOrTooLong() external {
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.WindowTooShort.selector, 29, 30));
        committee.openCeremony(IKmsCommittee.CeremonyKind.Genesis, 29, WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.WindowTooShort.selector, 0, 30));
        committee.openCeremony(IKmsCommittee.CeremonyKind.Genesis, WINDOW, 0);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.DurationTooLong.selector, 366 days, 365 days));
        committee.openCeremony(IKmsCommittee.CeremonyKind.Genesis, 366 days, WINDOW);
    }

    function testFuzz_openCeremony_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        committee.openCeremony(IKmsCommittee.CeremonyKind.Genesis, WINDOW, WINDOW);
    }

    function _expectWrongKind(IKmsCommittee.CeremonyKind kind) private {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.WrongKind.selector, kind));
        committee.openCeremony(kind, WINDOW, WINDOW);
    }
}
