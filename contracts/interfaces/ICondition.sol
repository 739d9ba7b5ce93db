// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BootRequest} from "../types/Boot.sol";

/// @notice A rule of its own that an app requires beside those of `AppAuth`.
///
/// Powers. Say no. Non-powers. A condition cannot allow what the app's own rules deny, cannot write, cannot spend more than
/// `Requirements.GAS_CAP` and cannot make a decision fail: a revert, a short or odd answer and running out of gas are a no.
interface ICondition {
    /// @notice Whether this boot may get the app's keys, as far as this rule goes. `request` has what the caller asked:
    /// the tee is TDX and the generation and ticket are zero where upstream's question was asked.
    function isAllowed(BootRequest calldata request) external view returns (bool);
}
