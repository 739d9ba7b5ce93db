// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BootRequest} from "../types/Boot.sol";

/// @notice An extra rule that an app can require besides its own.
///
/// Powers. Say no to a boot that the app itself would allow. Non-powers. A yes allows nothing by itself.
interface ICondition {
    /// @notice Whether this rule lets the boot pass. Anything but a clean `true` is a no, a revert included.
    function isAllowed(BootRequest calldata request) external view returns (bool);
}
