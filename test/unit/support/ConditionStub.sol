// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ICondition} from "../../../contracts/interfaces/ICondition.sol";
import {BootRequest} from "../../../contracts/types/Boot.sol";

/// @notice A condition that answers as it is told; at first it says yes to every instance but `OUTCAST`.
contract ConditionStub is ICondition {
    enum Answer {
        ByInstance,
        No,
        Reverts,
        BurnsAllGas,
        Short,
        OddBool,
        VeryLong,
        YesWhenStarved
    }

    address public constant OUTCAST = address(0xBAD);

    Answer public answer;

    function set(Answer to) external {
        answer = to;
    }

    function isAllowed(BootRequest calldata request) external view returns (bool) {
        if (answer == Answer.No) return false;
        if (answer == Answer.Reverts) _revert();
        if (answer == Answer.BurnsAllGas) {
            while (true) {}
        }
        if (answer == Answer.Short) _answer(1, 0x1f);
        if (answer == Answer.OddBool) _answer(2, 0x20);
        if (answer == Answer.VeryLong) _answer(1, 100_000);
        // As a condition does that takes the failure of an inner call, for want of gas, for a yes.
        if (answer == Answer.YesWhenStarved) return gasleft() < 90_000;
        return request.info.instanceId != OUTCAST;
    }

    /// @dev With what would be a yes as an answer.
    function _revert() private pure {
        assembly {
            mstore(0, 1)
            revert(0, 0x60)
        }
    }

    function _answer(uint256 first, uint256 length) private pure {
        assembly {
            mstore(0, first)
            return(0, length)
        }
    }
}
