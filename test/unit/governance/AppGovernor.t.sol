// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

import {AppGovernor} from "../../../contracts/governance/AppGovernor.sol";
import {GovernanceToken} from "../../../contracts/governance/GovernanceToken.sol";
import {IAppGovernor} from "../../../contracts/interfaces/IAppGovernor.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract AppGovernorTest is Fixture {
    uint48 private constant DELAY = 1 hours;
    uint32 private constant PERIOD = 3 days;
    uint48 private constant VETO = 1 days;
    address private constant VETOER = address(0xF0);
    address private constant ALICE = address(0xF1);
    address private constant BOB = address(0xF2);
    address private constant CAROL = address(0xF3);

    GovernanceToken private token;
    AppGovernor private governor;

    function setUp() public override {
        super.setUp();
        (address[] memory holders, uint256[] memory amounts) = (new address[](3), new uint256[](3));
        (holders[0], holders[1], holders[2]) = (ALICE, BOB, CAROL);
        (amounts[0], amounts[1], amounts[2]) = (60, 30, 10);
        token = new GovernanceToken("Votes", "VOTE", holders, amounts);
        for (uint256 i = 0; i < holders.length; ++i) {
            vm.prank(holders[i]);
            token.delegate(holders[i]);
        }
        governor = new AppGovernor("App DAO", token, _settings());
        vm.prank(OWNER);
        app.transferOwnership(address(governor));
        skip(NOTICE);
        vm.prank(address(governor));
        app.acceptOwnership();
    }

    function _settings() private pure returns (IAppGovernor.Settings memory) {
        return IAppGovernor.Settings({
            votingDelay: DELAY,
            votingPeriod: PERIOD,
            proposalThreshold: 10,
            quorumNumerator: 40,
            lateQuorumExtension: 1 days,
            vetoWindow: VETO,
            proposalGuardian: VETOER
        });
    }

    function _calls(address target, bytes memory data)
        private
        pure
        returns (address[] memory targets, uint256[] memory values, bytes[] memory datas)
    {
        (targets, values, datas) = (new address[](1), new uint256[](1), new bytes[](1));
        (targets[0], datas[0]) = (target, data);
    }

    function _schedule() private view returns (bytes memory) {
        return abi.encodeCall(app.scheduleCode, (CODE_2, "uri", true, 1 hours));
    }

    function _propose(address target, bytes memory data) private returns (uint256 id) {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        vm.prank(CAROL);
        id = governor.propose(targets, values, datas, "why");
        skip(DELAY + 1);
    }

    function _vote(address voter, uint256 id, uint8 support) private {
        vm.prank(voter);
        governor.castVote(id, support);
    }

    function _passed(address target, bytes memory data) private returns (uint256 id) {
        id = _propose(target, data);
        _vote(ALICE, id, 1);
        skip(PERIOD);
    }

    function _queue(address target, bytes memory data) private {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        governor.queue(targets, values, datas, keccak256("why"));
    }

    function _execute(address target, bytes memory data) private {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        governor.execute(targets, values, datas, keccak256("why"));
    }

    function assertProposal(uint256 id, IGovernor.ProposalState expected) private view {
        vm.assertEq(uint256(governor.state(id)), uint256(expected), "proposal state");
    }

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

    function test_token_CountsTimeInSeconds() external view {
        vm.assertEq(token.clock(), block.timestamp);
        vm.assertEq(token.CLOCK_MODE(), "mode=timestamp");
        vm.assertEq(governor.clock(), block.timestamp);
        vm.assertEq(token.totalSupply(), 100);
    }

    function test_token_RevertIf_HoldersAndAmountsDiffer() external {
        vm.expectRevert(abi.encodeWithSelector(GovernanceToken.LengthMismatch.selector, 1, 0));
        new GovernanceToken("Votes", "VOTE", new address[](1), new uint256[](0));
    }
}
