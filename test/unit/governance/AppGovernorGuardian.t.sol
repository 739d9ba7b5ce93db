// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {GovernorProposalGuardian} from "@openzeppelin/contracts/governance/extensions/GovernorProposalGuardian.sol";

import {GovernorFixture} from "../support/GovernorFixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice The proposal guardian can cancel and nothing else (G-3), and not keep its office by that.
contract AppGovernorGuardianTest is GovernorFixture {
    function _replacement() private view returns (bytes memory) {
        return abi.encodeCall(governor.setProposalGuardian, (BOB));
    }

    function _cancel(address caller, address target, bytes memory data) private {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        vm.prank(caller);
        governor.cancel(targets, values, datas, keccak256("why"));
    }

    function test_cancel_TheGuardianCancelsInEveryStage_G3() external {
        uint256 snapshot = vm.snapshotState();
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.prank(CAROL);
        uint256 id = governor.propose(targets, values, datas, "why");
        vm.expectEmit(address(governor));
        emit IGovernor.ProposalCanceled(id);
        _cancel(VETOER, address(app), _schedule());
        vm.revertToState(snapshot);

        id = _propose(address(app), _schedule());
        _cancel(VETOER, address(app), _schedule());
        assertProposal(id, IGovernor.ProposalState.Canceled);
        vm.revertToState(snapshot);

        id = _passed(address(app), _schedule());
        _cancel(VETOER, address(app), _schedule());
        assertProposal(id, IGovernor.ProposalState.Canceled);
    }

    function test_cancel_TheGuardianCannotVetoItsReplacement() external {
        uint256 id = _passed(address(governor), _replacement());
        vm.assertTrue(governor.replacesGuardian(id));
        _queue(address(governor), _replacement());
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, id, VETOER));
        _cancel(VETOER, address(governor), _replacement());
        skip(VETO);
        vm.expectEmit(address(governor));
        emit GovernorProposalGuardian.ProposalGuardianSet(VETOER, BOB);
        _execute(address(governor), _replacement());
        vm.assertEq(governor.proposalGuardian(), BOB);
    }

    function test_cancel_TheProposerTakesAReplacementBackBeforeTheVote() external {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) =
            _calls(address(governor), _replacement());
        vm.prank(CAROL);
        uint256 id = governor.propose(targets, values, datas, "why");
        _cancel(CAROL, address(governor), _replacement());
        assertProposal(id, IGovernor.ProposalState.Canceled);
    }

    function test_cancel_TheGuardianVetoesAReplacementThatDoesMore() external {
        address[] memory targets = new address[](2);
        bytes[] memory datas = new bytes[](2);
        (targets[0], targets[1]) = (address(governor), address(app));
        (datas[0], datas[1]) = (_replacement(), _schedule());
        vm.prank(CAROL);
        uint256 id = governor.propose(targets, new uint256[](2), datas, "why");
        vm.assertFalse(governor.replacesGuardian(id));
        vm.prank(VETOER);
        governor.cancel(targets, new uint256[](2), datas, keccak256("why"));
        assertProposal(id, IGovernor.ProposalState.Canceled);
    }

    function test_cancel_TheGuardianVetoesOtherSettingsAndOtherGovernors() external {
        vm.assertFalse(
            governor.replacesGuardian(_propose(address(governor), abi.encodeCall(governor.setVetoWindow, 0)))
        );
        vm.assertFalse(governor.replacesGuardian(_propose(address(app), _replacement())));
        vm.assertFalse(governor.replacesGuardian(_propose(address(governor), hex"00")));
    }

    function test_cancel_WithoutGuardianTheProposerMay() external {
        bytes memory nobody = abi.encodeCall(governor.setProposalGuardian, (address(0)));
        _passed(address(governor), nobody);
        _queue(address(governor), nobody);
        skip(VETO);
        _execute(address(governor), nobody);
        uint256 id = _passed(address(app), _schedule());
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, id, VETOER));
        _cancel(VETOER, address(app), _schedule());
        _cancel(CAROL, address(app), _schedule());
        assertProposal(id, IGovernor.ProposalState.Canceled);
    }

    function test_setProposalGuardian_RevertIf_NotByAVote() external {
        vm.prank(VETOER);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, VETOER));
        governor.setProposalGuardian(BOB);
    }

    function test_guardian_CannotProposeVoteOrChangeSettings_G3() external {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), _schedule());
        vm.prank(VETOER);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, VETOER, 0, 10));
        governor.propose(targets, values, datas, "why");

        uint256 id = _propose(address(app), _schedule());
        _vote(VETOER, id, 1);
        (, uint256 forVotes,) = governor.proposalVotes(id);
        vm.assertEq(forVotes, 0);

        bytes4[6] memory settings = [
            governor.setVotingDelay.selector,
            governor.setVotingPeriod.selector,
            governor.setProposalThreshold.selector,
            governor.updateQuorumNumerator.selector,
            governor.setLateQuorumVoteExtension.selector,
            governor.setVetoWindow.selector
        ];
        for (uint256 i = 0; i < settings.length; ++i) {
            vm.prank(VETOER);
            (bool success, bytes memory reason) = address(governor).call(abi.encodeWithSelector(settings[i], 1));
            vm.assertFalse(success);
            vm.assertEq(reason, abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, VETOER));
        }
    }
}
