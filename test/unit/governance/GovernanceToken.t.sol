// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {GovernanceNft} from "../../../contracts/governance/GovernanceNft.sol";
import {GovernanceToken} from "../../../contracts/governance/GovernanceToken.sol";
import {GovernorFixture} from "../support/GovernorFixture.sol";
import {vm} from "../support/Vm.sol";

contract GovernanceTokenTest is GovernorFixture {
    function test_token_CountsTimeInSeconds() external view {
        vm.assertEq(token.clock(), block.timestamp);
        vm.assertEq(token.CLOCK_MODE(), "mode=timestamp");
        vm.assertEq(governor.clock(), block.timestamp);
        vm.assertEq(governor.CLOCK_MODE(), "mode=timestamp");
        vm.assertEq(token.totalSupply(), 100);
    }

    function test_token_HasItsNames() external view {
        vm.assertEq(token.name(), "Votes");
        vm.assertEq(token.symbol(), "VOTE");
        (, string memory name,,, address verifier,,) = token.eip712Domain();
        vm.assertEq(name, "Votes");
        vm.assertEq(verifier, address(token));
    }

    function test_token_RevertIf_HoldersAndAmountsDiffer() external {
        vm.expectRevert(abi.encodeWithSelector(GovernanceToken.LengthMismatch.selector, 1, 0));
        new GovernanceToken("Votes", "VOTE", new address[](1), new uint256[](0));
    }

    function test_token_RevertIf_ItHasNoName() external {
        vm.expectRevert(GovernanceToken.EmptyName.selector);
        new GovernanceToken("", "VOTE", new address[](0), new uint256[](0));
    }

    function test_initialize_RevertIf_Initialised() external {
        vm.expectRevert(GovernanceToken.AlreadyInitialized.selector);
        token.initialize("Votes", "VOTE", new address[](0), new uint256[](0));
    }

    function test_delegateBySig_AnyoneMaySendIt() external {
        address holder = vm.addr(7);
        vm.prank(ALICE);
        token.transfer(holder, 60);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Votes"),
                keccak256("1"),
                block.chainid,
                address(token)
            )
        );
        bytes32 typeHash = keccak256("Delegation(address delegatee,uint256 nonce,uint256 expiry)");
        bytes32 structHash = keccak256(abi.encode(typeHash, BOB, 0, block.timestamp));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(7, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
        token.delegateBySig(BOB, 0, block.timestamp, v, r, s);
        vm.assertEq(token.delegates(holder), BOB);
        vm.assertEq(token.getVotes(BOB), 90);
    }

    function test_nft_OneVoteEach() external {
        address[] memory holders = new address[](3);
        (holders[0], holders[1], holders[2]) = (ALICE, BOB, ALICE);
        GovernanceNft nft = new GovernanceNft("Seats", "SEAT", holders);
        vm.assertEq(nft.ownerOf(1), ALICE);
        vm.assertEq(nft.ownerOf(2), BOB);
        vm.assertEq(nft.ownerOf(3), ALICE);
        vm.assertEq(nft.clock(), block.timestamp);
        vm.assertEq(nft.CLOCK_MODE(), "mode=timestamp");
        vm.prank(ALICE);
        nft.delegate(ALICE);
        vm.assertEq(nft.getVotes(ALICE), 2);
        vm.prank(ALICE);
        nft.transferFrom(ALICE, BOB, 3);
        vm.assertEq(nft.getVotes(ALICE), 1);
        skip(1);
        vm.assertEq(nft.getPastTotalSupply(block.timestamp - 1), 3);
    }
}
