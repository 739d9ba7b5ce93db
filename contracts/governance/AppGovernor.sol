// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {GovernorCountingSimple} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorPreventLateQuorum} from "@openzeppelin/contracts/governance/extensions/GovernorPreventLateQuorum.sol";
import {GovernorProposalGuardian} from "@openzeppelin/contracts/governance/extensions/GovernorProposalGuardian.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

/// @notice Token holders vote; what passed can be vetoed for a while, then anyone may execute it.
///
///   propose --delay--> Active --period--> Succeeded --queue--> Queued (veto window) --execute--> Executed
///                                   \--> Defeated        any of them --veto--> Canceled
///
/// What passed and is not queued, or is queued and not executed, within `EXECUTION_WINDOW` expires: an old mandate is none.
///
/// There is no timelock: the app that is governed makes loosening wait by itself, and a timelock would delay an
/// emergency revocation as well. An emergency proposal needs a governor whose veto window is short or zero.
///
/// Powers. Proposal guardian: cancel any proposal that is not executed. Votes: everything else, its settings included.
/// Non-powers. The guardian cannot propose, vote or execute by its office.
contract AppGovernor is
    Governor,
    GovernorSettings,
    GovernorCountingSimple,
    GovernorVotes,
    GovernorVotesQuorumFraction,
    GovernorPreventLateQuorum,
    GovernorProposalGuardian
{
    /// @param votingDelay seconds between a proposal and the snapshot of votes
    /// @param votingPeriod seconds during which votes are cast
    /// @param proposalThreshold votes that a proposer needs
    /// @param quorumNumerator percent of the supply that must take part
    /// @param lateQuorumExtension seconds that remain at least once the quorum is reached
    /// @param vetoWindow seconds between queueing and execution
    /// @param proposalGuardian who may cancel; zero: each proposer its own
    struct Settings {
        uint48 votingDelay;
        uint32 votingPeriod;
        uint256 proposalThreshold;
        uint256 quorumNumerator;
        uint48 lateQuorumExtension;
        uint48 vetoWindow;
        address proposalGuardian;
    }

    /// @notice The veto window can be at most this long.
    uint48 public constant MAX_VETO_WINDOW = 30 days;

    /// @notice How long a proposal that passed can be queued, and then executed.
    uint48 public constant EXECUTION_WINDOW = 14 days;

    uint48 private _vetoWindow;

    event VetoWindowSet(uint48 vetoWindow);

    /// @notice The proposal can be vetoed until `eta`.
    error VetoWindowOpen(uint256 proposalId, uint48 eta);
    error VetoWindowTooLong(uint48 given, uint48 max);

    constructor(string memory name_, IVotes token_, Settings memory settings)
        Governor(name_)
        GovernorSettings(settings.votingDelay, settings.votingPeriod, settings.proposalThreshold)
        GovernorVotes(token_)
        GovernorVotesQuorumFraction(settings.quorumNumerator)
        GovernorPreventLateQuorum(settings.lateQuorumExtension)
    {
        _setVetoWindow(settings.vetoWindow);
        _setProposalGuardian(settings.proposalGuardian);
    }

    /// @notice Sets the veto window of proposals that are queued from now on. Only by a vote.
    function setVetoWindow(uint48 vetoWindow_) external onlyGovernance {
        _setVetoWindow(vetoWindow_);
    }

    /// @notice Seconds between queueing and execution.
    function vetoWindow() external view returns (uint48) {
        return _vetoWindow;
    }

    /// @inheritdoc Governor
    function state(uint256 proposalId) public view override returns (ProposalState) {
        ProposalState present = super.state(proposalId);
        if (present == ProposalState.Succeeded && clock() > proposalDeadline(proposalId) + EXECUTION_WINDOW) {
            return ProposalState.Expired;
        }
        if (present == ProposalState.Queued && clock() > proposalEta(proposalId) + EXECUTION_WINDOW) {
            return ProposalState.Expired;
        }
        return present;
    }

    /// @notice Always: the veto window opens with `queue`.
    function proposalNeedsQueuing(uint256) public pure override returns (bool) {
        return true;
    }

    /// @inheritdoc GovernorSettings
    function proposalThreshold() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.proposalThreshold();
    }

    /// @inheritdoc GovernorPreventLateQuorum
    function proposalDeadline(uint256 proposalId)
        public
        view
        override(Governor, GovernorPreventLateQuorum)
        returns (uint256)
    {
        return super.proposalDeadline(proposalId);
    }

    function _setVetoWindow(uint48 vetoWindow_) private {
        if (vetoWindow_ > MAX_VETO_WINDOW) revert VetoWindowTooLong(vetoWindow_, MAX_VETO_WINDOW);
        _vetoWindow = vetoWindow_;
        emit VetoWindowSet(vetoWindow_);
    }

    function _queueOperations(uint256, address[] memory, uint256[] memory, bytes[] memory, bytes32)
        internal
        view
        override
        returns (uint48)
    {
        return clock() + _vetoWindow;
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override {
        _checkVetoWindowClosed(proposalId);
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _checkVetoWindowClosed(uint256 proposalId) private view {
        // The core keeps it as a uint48.
        uint48 eta = uint48(proposalEta(proposalId));
        if (clock() < eta) revert VetoWindowOpen(proposalId, eta);
    }

    function _tallyUpdated(uint256 proposalId) internal override(Governor, GovernorPreventLateQuorum) {
        super._tallyUpdated(proposalId);
    }

    function _validateCancel(uint256 proposalId, address caller)
        internal
        view
        override(Governor, GovernorProposalGuardian)
        returns (bool)
    {
        return super._validateCancel(proposalId, caller);
    }
}
