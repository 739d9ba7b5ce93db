// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {TcbStatus} from "../types/Boot.sol";

/// @notice Reads a TCB status as attestation libraries write it.
library TcbStatusLib {
    /// @notice The status that `text` names; `None` for "Revoked" and for whatever is not known.
    function parse(string calldata text) internal pure returns (TcbStatus) {
        bytes32 hash = keccak256(bytes(text));
        if (hash == keccak256("UpToDate")) return TcbStatus.UpToDate;
        if (hash == keccak256("SWHardeningNeeded")) return TcbStatus.SWHardeningNeeded;
        if (hash == keccak256("ConfigurationNeeded")) return TcbStatus.ConfigurationNeeded;
        if (hash == keccak256("ConfigurationAndSWHardeningNeeded")) return TcbStatus.ConfigurationAndSWHardeningNeeded;
        if (hash == keccak256("OutOfDate")) return TcbStatus.OutOfDate;
        if (hash == keccak256("OutOfDateConfigurationNeeded")) return TcbStatus.OutOfDateConfigurationNeeded;
        return TcbStatus.None;
    }
}
