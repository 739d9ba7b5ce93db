// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppAuth} from "../../../contracts/interfaces/IAppAuth.sol";
import {AppBootInfo} from "../../../contracts/types/Boot.sol";

/// @notice An app contract of somebody else, which answers as it is told.
contract ForeignAppStub is IAppAuth {
    enum Answer {
        Yes,
        No,
        Reverts,
        BurnsAllGas,
        Short,
        OddBool,
        VeryLong,
        YesWhenStarved
    }

    Answer public answer;

    function set(Answer to) external {
        answer = to;
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == 0x01ffc9a7 || id == type(IAppAuth).interfaceId;
    }

    function isAppAllowed(AppBootInfo calldata) external view returns (bool, string memory) {
        if (answer == Answer.No) return (false, "no");
        if (answer == Answer.Reverts) _revert();
        if (answer == Answer.BurnsAllGas) {
            while (true) {}
        }
        if (answer == Answer.Short) _answer(1, 0x20);
        if (answer == Answer.OddBool) _answer(2, 0x60);
        if (answer == Answer.VeryLong) _answer(1, 200_000);
        // As a contract does that takes the failure of an inner call, for want of gas, for a yes.
        if (answer == Answer.YesWhenStarved) return (gasleft() < 990_000, "");
        return (true, "");
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
