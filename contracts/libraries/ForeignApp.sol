// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppAuth} from "../interfaces/IAppAuth.sol";
import {AppBootInfo} from "../types/Boot.sol";

/// @notice Asks an app contract whose code is not ours. It cannot make a decision fail, nor make it cost without bound.
library ForeignApp {
    /// @notice What a foreign app may spend on its answer.
    uint256 internal constant GAS_CAP = 1_000_000;

    /// @dev So much must be left that the whole cap can be handed on: a call passes on no more than 63/64.
    uint256 private constant GAS_NEEDED = GAS_CAP * 64 / 63 + 10_000;

    /// @notice Whether `app` says yes in upstream's ABI. A revert, a short or an odd answer is a no, and so is a caller's
    /// gas that does not reach for the whole cap: a starved app could answer otherwise than a fed one.
    function allows(address app, AppBootInfo calldata info) internal view returns (bool) {
        bytes memory question = abi.encodeCall(IAppAuth.isAppAllowed, (info));
        if (gasleft() < GAS_NEEDED) return false;
        bool success;
        uint256 size;
        uint256 answer;
        uint256 gasCap = GAS_CAP;
        // Only the first word of the answer is taken in, so that a long one costs nothing here.
        assembly ("memory-safe") {
            success := staticcall(gasCap, app, add(question, 0x20), mload(question), 0x00, 0x20)
            size := returndatasize()
            answer := mload(0x00)
        }
        return success && size >= 0x40 && answer == 1;
    }
}
