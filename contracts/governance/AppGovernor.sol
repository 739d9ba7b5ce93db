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
import {IERC5805} from "@openzeppelin/contracts/interfaces/IERC5805.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IAppGovernor} from "../interfaces/IAppGovernor.sol";
import {IAppPolicy} from "../interfaces/IAppPolicy.sol";
import {CloneDomain} from "./CloneDomain.sol";
import {ProposalText} from "./ProposalText.sol";
import {VotesSource} from "./VotesSource.sol";

/// @notice A Governor with a veto window, which follows the clock of its token. Powers and non-powers: `IAppGovernor`.
contract AppGovernor is
    IAppGovernor,
    VotesSource,
    Governor,
    GovernorSettings,
    GovernorCountingSimple,
    GovernorVotes,
    GovernorVotesQuorumFraction,
    GovernorPreventLateQuorum,
    GovernorProposalGuardian,
    CloneDomain
{
    /// @notice The veto window can be at most this long.
    uint48 public constant MAX_VETO_WINDOW = 30 days;

    /// @notice How long a proposal that is queued can be executed, in seconds, and how long one that passed can be queued.
    /// Where the token counts blocks, it can be queued for as long again as the voting took.
    uint48 public constant EXECUTION_WINDOW = 14 days;

    uint48 private _vetoWindow;
    string private _title;

    /// @inheritdoc IAppGovernor
    mapping(uint256 proposalId => bool) public replacesGuardian;

    constructor(string memory name_, IVotes token_, Settings memory settings)
        VotesSource(token_)
        Governor("")
        GovernorSettings(settings.votingDelay, settings.votingPeriod, settings.proposalThreshold)
        GovernorVotes(token_)
        GovernorVotesQuorumFraction(settings.quorumNumerator)
        GovernorPreventLateQuorum(settings.lateQuorumExtension)
    {
        _title = name_;
        _setVetoWindow(settings.vetoWindow);
        _setProposalGuardian(settings.proposalGuardian);
    }

    /// @inheritdoc IAppGovernor
    function initialize(string calldata name_, IVotes token_, Settings calldata settings) external {
        if (address(_votes) != address(0)) revert AlreadyInitialized();
        _setVotes(token_);
        _title = name_;
        _setVotingDelay(settings.votingDelay);
        _setVotingPeriod(settings.votingPeriod);
        _setProposalThreshold(settings.proposalThreshold);
        _updateQuorumNumerator(settings.quorumNumerator);
        _setLateQuorumVoteExtension(settings.lateQuorumExtension);
        _setVetoWindow(settings.vetoWindow);
        _setProposalGuardian(settings.proposalGuardian);
    }

    /// @inheritdoc IAppGovernor
    function setVetoWindow(uint48 vetoWindow_) external onlyGovernance {
        _setVetoWindow(vetoWindow_);
    }

    /// @inheritdoc IAppGovernor
    function proposeCode(
        address app,
        bytes32 codeHash,
        string calldata sourceUri,
        bool supersede,
        uint40 handover,
        string calldata note
    ) external returns (uint256) {
        address[] memory targets = new address[](1);
        bytes[] memory calldatas = new bytes[](1);
        targets[0] = app;
        calldatas[0] = abi.encodeCall(IAppPolicy.scheduleCode, (codeHash, sourceUri, supersede, handover));
        return propose(targets, new uint256[](1), calldatas, ProposalText.describe(app, codeHash, sourceUri, note));
    }

    /// @inheritdoc IAppGovernor
    function describe(address app, bytes32 codeHash, string calldata sourceUri, string calldata note)
        external
        view
        returns (string memory)
    {
        return ProposalText.describe(app, codeHash, sourceUri, note);
    }

    /// @inheritdoc IAppGovernor
    function vetoWindow() external view returns (uint48) {
        return _vetoWindow;
    }

    /// @inheritdoc Governor
    function state(uint256 proposalId) public view override returns (ProposalState) {
        ProposalState present = super.state(proposalId);
        if (present == ProposalState.Succeeded && clock() > _queueDeadline(proposalId)) return ProposalState.Expired;
        // Windows of days: the seconds that a block proposer can shift mean nothing.
        // slither-disable-next-line timestamp
        if (present == ProposalState.Queued && block.timestamp > proposalEta(proposalId) + EXECUTION_WINDOW) {
            return ProposalState.Expired;
        }
        return present;
    }

    /// @notice Always: the veto window opens with `queue`.
    function proposalNeedsQueuing(uint256) public pure override returns (bool) {
        return true;
    }

    /// @inheritdoc Governor
    function name() public view override returns (string memory) {
        return _title;
    }

    /// @inheritdoc GovernorVotes
    function token() public view override returns (IERC5805) {
        return _votes;
    }

    /// @notice The votes that must take part, rounded up: a small supply must not round it down to none.
    function quorum(uint256 timepoint) public view override(Governor, GovernorVotesQuorumFraction) returns (uint256) {
        uint256 supply = token().getPastTotalSupply(timepoint);
        return Math.mulDiv(supply, quorumNumerator(timepoint), quorumDenominator(), Math.Rounding.Ceil);
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

    /// @inheritdoc CloneDomain
    function eip712Domain()
        public
        view
        override(EIP712, CloneDomain)
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory)
    {
        return super.eip712Domain();
    }

    function _setVetoWindow(uint48 vetoWindow_) private {
        if (vetoWindow_ > MAX_VETO_WINDOW) revert VetoWindowTooLong(vetoWindow_, MAX_VETO_WINDOW);
        _vetoWindow = vetoWindow_;
        emit VetoWindowSet(vetoWindow_);
    }

    function _updateQuorumNumerator(uint256 newQuorumNumerator) internal override {
        if (newQuorumNumerator == 0) revert ZeroQuorum();
        super._updateQuorumNumerator(newQuorumNumerator);
    }

    function _propose(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        string memory description,
        address proposer
    ) internal override returns (uint256 proposalId) {
        proposalId = super._propose(targets, values, calldatas, description, proposer);
        if (_namesGuardianOnly(targets, calldatas)) replacesGuardian[proposalId] = true;
    }

    /// @dev In seconds, whatever the token's clock: that is what the name of OpenZeppelin's `etaSeconds` says.
    function _queueOperations(uint256, address[] memory, uint256[] memory, bytes[] memory, bytes32)
        internal
        view
        override
        returns (uint48)
    {
        return uint48(block.timestamp) + _vetoWindow;
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

    function _tallyUpdated(uint256 proposalId) internal override(Governor, GovernorPreventLateQuorum) {
        super._tallyUpdated(proposalId);
    }

    /// @dev Who could veto its own replacement could not be got rid of. Then only what every Governor allows remains: the
    /// proposer may cancel before the vote begins.
    function _validateCancel(uint256 proposalId, address caller)
        internal
        view
        override(Governor, GovernorProposalGuardian)
        returns (bool)
    {
        if (replacesGuardian[proposalId]) return Governor._validateCancel(proposalId, caller);
        return super._validateCancel(proposalId, caller);
    }

    function _hashTypedDataV4(bytes32 structHash) internal view override(EIP712, CloneDomain) returns (bytes32) {
        return super._hashTypedDataV4(structHash);
    }

    function _domainName() internal view override returns (string memory) {
        return _title;
    }

    /// @dev A clock that shows the block's timestamp counts seconds; how long a block takes is not known here.
    function _queueDeadline(uint256 proposalId) private view returns (uint256) {
        uint256 deadline = proposalDeadline(proposalId);
        // Equality tells which clock it is; nobody gains by hitting it.
        // slither-disable-next-line incorrect-equality,timestamp
        if (clock() == block.timestamp) return deadline + EXECUTION_WINDOW;
        return deadline + (deadline - proposalSnapshot(proposalId));
    }

    function _checkVetoWindowClosed(uint256 proposalId) private view {
        // The core keeps it as a uint48.
        uint48 eta = uint48(proposalEta(proposalId));
        // Likewise.
        // slither-disable-next-line timestamp
        if (block.timestamp < eta) revert VetoWindowOpen(proposalId, eta);
    }

    function _namesGuardianOnly(address[] memory targets, bytes[] memory calldatas) private view returns (bool) {
        return targets.length == 1 && targets[0] == address(this)
            && bytes4(calldatas[0]) == GovernorProposalGuardian.setProposalGuardian.selector;
    }
}
