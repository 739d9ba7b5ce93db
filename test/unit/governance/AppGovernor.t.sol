// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

import {AppGovernor} from "../../../contracts/governance/AppGovernor.sol";
import {IAppGovernor} from "../../../contracts/interfaces/IAppGovernor.sol";
import {GovernorFixture} from "../support/GovernorFixture.sol";
import {vm} from "../support/Vm.sol";

contract AppGovernorTest is GovernorFixture {
    function test_execute_AVoteSchedulesCode() external {
        uint256 id = _passed(address(app), _schedule());
        assertProposal(id, IGovernor.ProposalState.Succeeded);
        vm.expectEmit(address(governor));
        emit IGovernor.ProposalQueued(id, block.timestamp + VETO);
        _queue(address(app), _schedule());
        assertProposal(id, IGovernor.ProposalState.Queued);
        skip(VETO);
        vm.prank(STRANGER);
        _execute(address(app), _schedule());
        assertProposal(id, IGovernor.ProposalState.Executed);
        vm.assertEq(_version(CODE_2).activeFrom, currentTime() + NOTICE);
    }

    function test_execute_RevertIf_TheVetoWindowIsOpen() external {
        uint256 id = _passed(address(app), _schedule());
        _queue(address(app), _schedule());
        uint48 eta = uint48(block.timestamp) + VETO;
        vm.warp(eta - 1);
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.expectRevert(abi.encodeWithSelector(IAppGovernor.VetoWindowOpen.selector, id, eta));
        governor.execute(targets, values, datas, keccak256("why"));
    }

    function test_execute_RevertIf_NotQueued() external {
        uint256 id = _passed(address(app), _schedule());
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernor.GovernorUnexpectedProposalState.selector,
                id,
                IGovernor.ProposalState.Succeeded,
                bytes32(1 << uint8(IGovernor.ProposalState.Queued))
            )
        );
        governor.execute(targets, values, datas, keccak256("why"));
    }

    function test_cancel_TheGuardianVetoesWhatIsQueued() external {
        uint256 id = _passed(address(app), _schedule());
        _queue(address(app), _schedule());
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.prank(VETOER);
        governor.cancel(targets, values, datas, keccak256("why"));
        assertProposal(id, IGovernor.ProposalState.Canceled);
    }

    function test_cancel_RevertIf_NotTheGuardian() external {
        uint256 id = _passed(address(app), _schedule());
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, id, CAROL));
        governor.cancel(targets, values, datas, keccak256("why"));
    }

    function test_state_DefeatedWithoutQuorum() external {
        uint256 id = _propose(address(app), _schedule());
        _vote(BOB, id, 1);
        skip(PERIOD);
        assertProposal(id, IGovernor.ProposalState.Defeated);
    }

    function test_state_DefeatedByTheMajority() external {
        uint256 id = _propose(address(app), _schedule());
        _vote(BOB, id, 1);
        _vote(ALICE, id, 0);
        skip(PERIOD);
        assertProposal(id, IGovernor.ProposalState.Defeated);
    }

    function test_state_ALateQuorumExtendsTheVote() external {
        uint256 id = _propose(address(app), _schedule());
        skip(PERIOD - 2);
        _vote(ALICE, id, 1);
        skip(1 days - 1);
        assertProposal(id, IGovernor.ProposalState.Active);
        skip(2);
        assertProposal(id, IGovernor.ProposalState.Succeeded);
    }

    function test_state_AnOldMandateExpires() external {
        uint256 id = _passed(address(app), _schedule());
        vm.warp(governor.proposalDeadline(id) + 14 days);
        assertProposal(id, IGovernor.ProposalState.Succeeded);
        _queue(address(app), _schedule());
        skip(VETO + 14 days);
        assertProposal(id, IGovernor.ProposalState.Queued);
        skip(1);
        assertProposal(id, IGovernor.ProposalState.Expired);
    }

    function test_queue_RevertIf_TheMandateExpired() external {
        uint256 id = _passed(address(app), _schedule());
        vm.warp(governor.proposalDeadline(id) + 14 days + 1);
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernor.GovernorUnexpectedProposalState.selector,
                id,
                IGovernor.ProposalState.Expired,
                bytes32(1 << uint8(IGovernor.ProposalState.Succeeded))
            )
        );
        governor.queue(targets, values, datas, keccak256("why"));
    }

    function test_setVetoWindow_OnlyByAVote() external {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, STRANGER));
        governor.setVetoWindow(0);

        bytes memory data = abi.encodeCall(governor.setVetoWindow, (2 hours));
        _passed(address(governor), data);
        _queue(address(governor), data);
        skip(VETO);
        vm.expectEmit(address(governor));
        emit IAppGovernor.VetoWindowSet(2 hours);
        _execute(address(governor), data);
        vm.assertEq(governor.vetoWindow(), 2 hours);
    }

    function test_constructor_RevertIf_TheVetoWindowIsTooLong() external {
        IAppGovernor.Settings memory settings = _settings();
        settings.vetoWindow = 30 days + 1;
        vm.expectRevert(abi.encodeWithSelector(IAppGovernor.VetoWindowTooLong.selector, 30 days + 1, 30 days));
        new AppGovernor("App DAO", token, settings);
    }

    function test_propose_RevertIf_TooFewVotes() external {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, STRANGER, 0, 10));
        governor.propose(targets, values, datas, "why");
    }

    function test_constructor_RevertIf_NoQuorum() external {
        IAppGovernor.Settings memory settings = _settings();
        settings.quorumNumerator = 0;
        vm.expectRevert(IAppGovernor.ZeroQuorum.selector);
        new AppGovernor("App DAO", token, settings);
        settings.quorumNumerator = 101;
        vm.expectRevert(
            abi.encodeWithSelector(GovernorVotesQuorumFraction.GovernorInvalidQuorumFraction.selector, 101, 100)
        );
        new AppGovernor("App DAO", token, settings);
    }

    function test_updateQuorumNumerator_RevertIf_AVoteAsksForNone() external {
        bytes memory data = abi.encodeCall(governor.updateQuorumNumerator, (0));
        _passed(address(governor), data);
        _queue(address(governor), data);
        skip(VETO);
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(governor), data);
        vm.expectRevert(IAppGovernor.ZeroQuorum.selector);
        governor.execute(targets, values, datas, keccak256("why"));
    }

    function test_constructor_RevertIf_TheTokenHasNoVotes() external {
        IAppGovernor.Settings memory settings = _settings();
        vm.expectRevert(abi.encodeWithSelector(IAppGovernor.NotAVotesToken.selector, STRANGER));
        new AppGovernor("App DAO", IVotes(STRANGER), settings);
        vm.expectRevert(abi.encodeWithSelector(IAppGovernor.NotAVotesToken.selector, address(app)));
        new AppGovernor("App DAO", IVotes(address(app)), settings);
    }

    function test_initialize_RevertIf_Initialised() external {
        vm.expectRevert(IAppGovernor.AlreadyInitialized.selector);
        governor.initialize("Other DAO", token, _settings());
    }

    function test_eip712Domain_HasTheGovernorsName() external view {
        (bytes1 fields, string memory name, string memory version, uint256 chainId, address verifier,,) =
            governor.eip712Domain();
        vm.assertEq(bytes32(fields), bytes32(hex"0f"));
        vm.assertEq(name, "App DAO");
        vm.assertEq(name, governor.name());
        vm.assertEq(version, "1");
        vm.assertEq(chainId, block.chainid);
        vm.assertEq(verifier, address(governor));
    }

    function test_castVoteBySig_AnyoneMaySendIt() external {
        address voter = vm.addr(7);
        vm.prank(ALICE);
        token.transfer(voter, 60);
        vm.prank(voter);
        token.delegate(voter);
        uint256 id = _propose(address(app), _schedule());
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("App DAO"),
                keccak256("1"),
                block.chainid,
                address(governor)
            )
        );
        bytes32 typeHash = keccak256("Ballot(uint256 proposalId,uint8 support,address voter,uint256 nonce)");
        bytes32 structHash = keccak256(abi.encode(typeHash, id, 1, voter, 0));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(7, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
        vm.prank(STRANGER);
        governor.castVoteBySig(id, 1, voter, abi.encodePacked(r, s, v));
        vm.assertTrue(governor.hasVoted(id, voter));
    }

    function test_relay_OnlyByAVote() external {
        vm.deal(address(governor), 5);
        vm.prank(VETOER);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, VETOER));
        governor.relay(STRANGER, 5, "");

        uint256 before = STRANGER.balance;
        bytes memory data = abi.encodeCall(governor.relay, (STRANGER, 5, ""));
        _passed(address(governor), data);
        _queue(address(governor), data);
        skip(VETO);
        _execute(address(governor), data);
        vm.assertEq(STRANGER.balance - before, 5);
        vm.assertEq(address(governor).balance, 0);
    }

    function test_execute_RevertIf_Reentered() external {
        bytes memory data = _passThroughExecute();
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(this), data);
        vm.prank(CAROL);
        uint256 id = governor.propose(targets, values, datas, "why");
        skip(DELAY + 1);
        _vote(ALICE, id, 1);
        skip(PERIOD);
        _queue(address(this), data);
        skip(VETO);
        governor.execute(targets, values, datas, keccak256("why"));
        vm.assertEq(
            reentry,
            abi.encodeWithSelector(
                IGovernor.GovernorUnexpectedProposalState.selector,
                id,
                IGovernor.ProposalState.Executed,
                bytes32(1 << uint8(IGovernor.ProposalState.Queued))
            )
        );
    }

    bytes private reentry;

    /// @dev The proposal's own call: tries to execute the proposal once more.
    function executeAgain() external {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) =
            _calls(address(this), _passThroughExecute());
        try governor.execute(targets, values, datas, keccak256("why")) {
            revert("executed twice");
        } catch (bytes memory reason) {
            reentry = reason;
        }
    }

    function _passThroughExecute() private pure returns (bytes memory) {
        return abi.encodeCall(AppGovernorTest.executeAgain, ());
    }
}
