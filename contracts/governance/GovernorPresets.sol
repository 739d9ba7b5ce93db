// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppGovernor} from "../interfaces/IAppGovernor.sol";

/// @notice Settings to start from, for tokens that count time in seconds, as `GovernanceToken` and `GovernanceNft` do.
///
/// |          | delay | vote   | late quorum | veto window | quorum |
/// |----------|-------|--------|-------------|-------------|--------|
/// | demo     | 1 min | 5 min  | 1 min       | 1 min       | 1 %    |
/// | standard | 1 day | 5 days | 2 days      | 2 days      | 4 %    |
/// | cautious | 2 days| 7 days | 3 days      | 5 days      | 10 %   |
///
/// What an app's users can rely on is the app's notice, which comes on top.
library GovernorPresets {
    /// @notice For trying things out: a decision takes minutes. Nothing of worth belongs under it.
    function demo(uint256 proposalThreshold, address proposalGuardian)
        internal
        pure
        returns (IAppGovernor.Settings memory)
    {
        return IAppGovernor.Settings({
            votingDelay: 1 minutes,
            votingPeriod: 5 minutes,
            proposalThreshold: proposalThreshold,
            quorumNumerator: 1,
            lateQuorumExtension: 1 minutes,
            vetoWindow: 1 minutes,
            proposalGuardian: proposalGuardian
        });
    }

    /// @notice About eight days from a proposal to its execution.
    function standard(uint256 proposalThreshold, address proposalGuardian)
        internal
        pure
        returns (IAppGovernor.Settings memory)
    {
        return IAppGovernor.Settings({
            votingDelay: 1 days,
            votingPeriod: 5 days,
            proposalThreshold: proposalThreshold,
            quorumNumerator: 4,
            lateQuorumExtension: 2 days,
            vetoWindow: 2 days,
            proposalGuardian: proposalGuardian
        });
    }

    /// @notice Two weeks from a proposal to its execution, and a tenth of the votes.
    function cautious(uint256 proposalThreshold, address proposalGuardian)
        internal
        pure
        returns (IAppGovernor.Settings memory)
    {
        return IAppGovernor.Settings({
            votingDelay: 2 days,
            votingPeriod: 7 days,
            proposalThreshold: proposalThreshold,
            quorumNumerator: 10,
            lateQuorumExtension: 3 days,
            vetoWindow: 5 days,
            proposalGuardian: proposalGuardian
        });
    }
}
