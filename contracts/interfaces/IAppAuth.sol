// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppBootInfo} from "../types/Boot.sol";

/// @notice Upstream dstack's question to an app. ERC-165 id 0x1e079198.
interface IAppAuth {
    /// @notice Whether keys may be released to this boot now, and if not, why.
    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool isAllowed, string memory reason);
}
