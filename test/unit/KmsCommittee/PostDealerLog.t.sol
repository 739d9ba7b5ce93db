// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {vm} from "../support/Vm.sol";

contract PostDealerLogTest is CommitteeFixture {
    bytes private constant LOG = "log";

    uint64 private round;

    function setUp() public override {
        super.setUp();
        round = _open(IKmsCommittee.CeremonyKind.Genesis);
    }

    function test_postDealerLog_ByAnyoneWithTheDealersSignature() external {
        bytes memory signature = _signLog(1, round, LOG);
        vm.expectEmit(address(committee));
        emit IKmsCommittee.DealerLogPosted(round, vm.addr(1), LOG);
        vm.prank(STRANGER);
        committee.postDealerLog(round, vm.addr(1), LOG, signature);
        vm.assertEq(committee.dealerLog(round, vm.addr(1)), keccak256(LOG));
        assertState(round, IKmsCommittee.CeremonyState.Dealing);
    }

    function test_postDealerLog_TheLastOneOpensTheConfirmations() external {
        for (uint256 i = 1; i <= NODES; ++i) {
            _post(i, round);
        }
        assertState(round, IKmsCommittee.CeremonyState.Confirming);
    }

    function test_postDealerLog_RevertIf_TheWindowIsOver() external {
        bytes memory signature = _signLog(1, round, LOG);
        skip(WINDOW);
        assertState(round, IKmsCommittee.CeremonyState.Confirming);
        vm.expectRevert(
            abi.encodeWithSelector(IKmsCommittee.WrongState.selector, round, IKmsCommittee.CeremonyState.Confirming)
        );
        committee.postDealerLog(round, vm.addr(1), LOG, signature);
    }

    function test_postDealerLog_RevertIf_ADealerEquivocates() external {
        _post(1, round);
        bytes memory signature = _signLog(1, round, LOG);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.AlreadyPosted.selector, round, vm.addr(1)));
        committee.postDealerLog(round, vm.addr(1), LOG, signature);
    }

    function test_postDealerLog_RevertIf_NotADealer() external {
        bytes memory signature = _signLog(5, round, LOG);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.NotADealer.selector, round, vm.addr(5)));
        committee.postDealerLog(round, vm.addr(5), LOG, signature);
    }

    function test_postDealerLog_RevertIf_SignedForAnotherRoundOrLog() external {
        bytes memory signature = _signLog(1, round + 1, LOG);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.InvalidSignature.selector, vm.addr(1)));
        committee.postDealerLog(round, vm.addr(1), LOG, signature);
        signature = _signLog(1, round, "other");
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.InvalidSignature.selector, vm.addr(1)));
        committee.postDealerLog(round, vm.addr(1), LOG, signature);
    }

    function test_postDealerLog_RevertIf_NoSuchRound() external {
        bytes memory signature = _signLog(1, 9, LOG);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.WrongState.selector, 9, IKmsCommittee.CeremonyState.None));
        committee.postDealerLog(9, vm.addr(1), LOG, signature);
    }

    function test_postDealerLog_RevertIf_TooLong() external {
        bytes memory log = new bytes(16 * 1024 + 1);
        bytes memory signature = _signLog(1, round, log);
        vm.expectRevert(abi.encodeWithSelector(IKmsCommittee.LogTooLong.selector, log.length, 16 * 1024));
        committee.postDealerLog(round, vm.addr(1), log, signature);
    }
}
