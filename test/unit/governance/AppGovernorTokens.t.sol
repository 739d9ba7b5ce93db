// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

import {GovernanceNft} from "../../../contracts/governance/GovernanceNft.sol";
import {IAppGovernor} from "../../../contracts/interfaces/IAppGovernor.sol";
import {BlockVotes} from "../support/BlockVotes.sol";
import {GovernorFixture} from "../support/GovernorFixture.sol";
import {vmMore} from "../support/SignerStubs.sol";
import {vm} from "../support/Vm.sol";

/// @notice Governors over an ERC-721 and over a token that counts blocks. Forge's blocks stand still unless rolled.
contract AppGovernorTokensTest is GovernorFixture {
    function _giveNfts() private {
        address[] memory holders = new address[](12);
        for (uint256 i = 0; i < 12; ++i) {
            holders[i] = i == 0 ? BOB : CAROL;
        }
        GovernanceNft nft = new GovernanceNft("Seats", "SEAT", holders);
        vm.prank(BOB);
        nft.delegate(BOB);
        vm.prank(CAROL);
        nft.delegate(CAROL);
        _govern(nft);
    }

    function _giveBlockVotes() private {
        vmMore.roll(1000);
        BlockVotes votes = new BlockVotes(CAROL, 10);
        vm.prank(CAROL);
        votes.delegate(CAROL);
        vmMore.roll(1001);
        _govern(votes);
    }

    function _passedByBlocks() private returns (uint256 id) {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.prank(CAROL);
        id = governor.propose(targets, values, datas, "why");
        vmMore.roll(1001 + DELAY + 1);
        _vote(CAROL, id, 1);
        vmMore.roll(1001 + DELAY + PERIOD + 1);
        assertProposal(id, IGovernor.ProposalState.Succeeded);
    }

    function test_nft_AVoteSchedulesCode() external {
        _giveNfts();
        uint256 id = _propose(address(app), _schedule());
        _vote(CAROL, id, 1);
        skip(PERIOD);
        _queue(address(app), _schedule());
        skip(VETO);
        _execute(address(app), _schedule());
        vm.assertEq(_version(CODE_2).activeFrom, currentTime() + NOTICE);
    }

    function test_quorum_IsRoundedUp() external {
        _giveNfts();
        skip(1);
        // 40 % of 12 is 4.8.
        vm.assertEq(governor.quorum(block.timestamp - 1), 5);
    }

    function test_nft_DefeatedWithoutQuorum() external {
        _giveNfts();
        uint256 id = _propose(address(app), _schedule());
        _vote(BOB, id, 1);
        skip(PERIOD);
        assertProposal(id, IGovernor.ProposalState.Defeated);
    }

    function test_blocks_TheVoteCountsBlocks() external {
        _giveBlockVotes();
        vm.assertEq(governor.clock(), 1001);
        vm.assertEq(governor.CLOCK_MODE(), "mode=blocknumber&from=default");
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.prank(CAROL);
        uint256 id = governor.propose(targets, values, datas, "why");
        skip(365 days);
        assertProposal(id, IGovernor.ProposalState.Pending);
        vmMore.roll(1001 + DELAY + 1);
        assertProposal(id, IGovernor.ProposalState.Active);
    }

    function test_blocks_TheVetoWindowCountsSeconds() external {
        _giveBlockVotes();
        uint256 id = _passedByBlocks();
        uint48 eta = uint48(block.timestamp) + VETO;
        vm.expectEmit(address(governor));
        emit IGovernor.ProposalQueued(id, eta);
        _queue(address(app), _schedule());
        vmMore.roll(5_000_000);
        vm.warp(eta - 1);
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.expectRevert(abi.encodeWithSelector(IAppGovernor.VetoWindowOpen.selector, id, eta));
        governor.execute(targets, values, datas, keccak256("why"));
        vm.warp(eta + 14 days + 1);
        assertProposal(id, IGovernor.ProposalState.Expired);
        vm.warp(eta + 14 days);
        _execute(address(app), _schedule());
        assertProposal(id, IGovernor.ProposalState.Executed);
    }

    function test_blocks_MustBeQueuedWithinAsLongAgain() external {
        _giveBlockVotes();
        uint256 id = _passedByBlocks();
        uint256 deadline = governor.proposalDeadline(id);
        vmMore.roll(deadline + PERIOD);
        assertProposal(id, IGovernor.ProposalState.Succeeded);
        vmMore.roll(deadline + PERIOD + 1);
        assertProposal(id, IGovernor.ProposalState.Expired);
    }
}
