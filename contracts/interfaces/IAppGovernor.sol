// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

/// @notice Token holders vote; what passed can be vetoed for a while, then anyone may execute it. Besides what is here:
/// OpenZeppelin's IGovernor, with its extensions for settings, quorum, late quorum and the proposal guardian.
///
///   propose --delay--> Active --period--> Succeeded --queue--> Queued (veto window) --execute--> Executed
///                                   \--> Defeated        any of them --veto--> Canceled
///
/// What passed and is not queued, or is queued and not executed, in time expires: an old mandate is none.
///
/// Delay, period and late quorum are in units of the token's clock (ERC-6372): seconds, or blocks. The veto window and the
/// time to execute are in seconds always. Any IVotes token will do, ERC-20 or ERC-721.
///
/// There is no timelock: the app that is governed makes loosening wait by itself, and a timelock would delay an
/// emergency revocation as well. An emergency proposal needs a governor whose veto window is short or zero.
///
/// Powers. Proposal guardian: cancel a proposal that is not executed, except the one that names another guardian. Votes:
/// everything else, its settings included. Anyone: queue and execute what passed.
/// Non-powers. The guardian cannot propose, vote or execute by its office, nor hold on to it: a proposal that does nothing
/// but `setProposalGuardian` is beyond its veto. Nobody can spend what the governor holds but by a vote.
interface IAppGovernor {
    /// @param votingDelay time between a proposal and the snapshot of votes, in units of the token's clock
    /// @param votingPeriod time during which votes are cast, likewise
    /// @param proposalThreshold votes that a proposer needs
    /// @param quorumNumerator percent of the supply that must take part, 1 to 100
    /// @param lateQuorumExtension time that remains at least once the quorum is reached, in units of the token's clock
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

    event VetoWindowSet(uint48 vetoWindow);

    error AlreadyInitialized();
    /// @notice `token` does not answer as an IVotes: nobody could ever vote.
    error NotAVotesToken(address token);
    /// @notice The proposal can be vetoed until `eta`.
    error VetoWindowOpen(uint256 proposalId, uint48 eta);
    error VetoWindowTooLong(uint48 given, uint48 max);
    /// @notice Without a quorum a single vote would decide.
    error ZeroQuorum();

    /// @notice Sets up a clone, once. Whoever deploys a clone calls this in the same transaction, as `GovernanceFactory`
    /// does.
    function initialize(string calldata name, IVotes token, Settings calldata settings) external;

    /// @notice Proposes `app.scheduleCode(codeHash, sourceUri, supersede, handover)` under the text of `describe`, so that
    /// text and call cannot differ. Whoever may `propose` may.
    function proposeCode(
        address app,
        bytes32 codeHash,
        string calldata sourceUri,
        bool supersede,
        uint40 handover,
        string calldata note
    ) external returns (uint256 proposalId);

    /// @notice The text of a proposal to run `codeHash`, built from `sourceUri`, in `app`: see `ProposalText`.
    function describe(address app, bytes32 codeHash, string calldata sourceUri, string calldata note)
        external
        view
        returns (string memory);

    /// @notice Sets the veto window of proposals that are queued from now on. Only by a vote.
    function setVetoWindow(uint48 vetoWindow) external;

    /// @notice Seconds between queueing and execution.
    function vetoWindow() external view returns (uint48);

    /// @notice Whether the proposal does nothing but name another guardian, so that the guardian cannot veto it.
    function replacesGuardian(uint256 proposalId) external view returns (bool);
}
