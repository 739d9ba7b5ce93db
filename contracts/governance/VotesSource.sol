// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC5805} from "@openzeppelin/contracts/interfaces/IERC5805.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

import {IAppGovernor} from "../interfaces/IAppGovernor.sol";

/// @notice Where an `AppGovernor` keeps its token. A base of its own, since its constructor must come before those of the
/// Governor's extensions, which ask the token for the time.
abstract contract VotesSource {
    IERC5805 internal _votes;

    constructor(IVotes token_) {
        _setVotes(token_);
    }

    /// @dev A token that cannot tell past votes would leave the app without anyone who can decide, for good.
    function _setVotes(IVotes token_) internal {
        if (address(token_).code.length == 0) revert IAppGovernor.NotAVotesToken(address(token_));
        _votes = IERC5805(address(token_));
        // That it answers is what is asked.
        // slither-disable-next-line unused-return
        try token_.getPastTotalSupply(_timeOf(_votes) - 1) {}
        catch {
            revert IAppGovernor.NotAVotesToken(address(token_));
        }
    }

    /// @dev As GovernorVotes takes it: a token without a clock of its own counts blocks.
    function _timeOf(IERC5805 votes) private view returns (uint256) {
        try votes.clock() returns (uint48 time) {
            return time;
        } catch {
            return block.number;
        }
    }
}
