// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {TeeKind} from "./Boot.sol";

/// @notice Since when each kind of TEE is allowed, 40 bits per kind, 0 for never; `None` has no place in it.
type TeeSet is uint120;

using TeeSetLib for TeeSet global;

/// @notice Reads and writes one kind.
library TeeSetLib {
    /// @notice Since when `tee` is allowed; 0 when it is not.
    function allowedFrom(TeeSet self, TeeKind tee) internal pure returns (uint40) {
        if (tee == TeeKind.None) return 0;
        return uint40(TeeSet.unwrap(self) >> _shift(tee));
    }

    /// @notice The set with `tee` allowed since `from`.
    function with(TeeSet self, TeeKind tee, uint40 from) internal pure returns (TeeSet) {
        uint120 mask = ~(uint120(type(uint40).max) << _shift(tee));
        return TeeSet.wrap((TeeSet.unwrap(self) & mask) | (uint120(from) << _shift(tee)));
    }

    function _shift(TeeKind tee) private pure returns (uint8) {
        return (uint8(tee) - 1) * 40;
    }
}
