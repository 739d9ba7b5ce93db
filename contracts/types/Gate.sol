// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {TcbStatus, TeeKind} from "./Boot.sol";

/// @notice What an app allows without waiting for anything: the TCB floor (bits 0 to 2), one bit per kind of TEE (bits 3 to
/// 5), any device (bit 6). One byte, so that it shares the owner's storage slot. What is still to come lies elsewhere, and a
/// gate is never looser than that.
type Gate is uint8;

using GateLib for Gate global;

/// @notice Reads and writes the parts of a gate.
library GateLib {
    uint8 private constant FLOOR = 7;
    uint8 private constant ANY_DEVICE = 1 << 6;

    /// @notice The worst TCB status that passes.
    function tcbFloor(Gate self) internal pure returns (TcbStatus) {
        return TcbStatus(Gate.unwrap(self) & FLOOR);
    }

    /// @notice Whether `tee` passes; `None` never does.
    function allows(Gate self, TeeKind tee) internal pure returns (bool) {
        return tee != TeeKind.None && Gate.unwrap(self) & _bit(tee) != 0;
    }

    /// @notice Whether every device passes that is not denied.
    function anyDevice(Gate self) internal pure returns (bool) {
        return Gate.unwrap(self) & ANY_DEVICE != 0;
    }

    function withFloor(Gate self, TcbStatus floor) internal pure returns (Gate) {
        return Gate.wrap((Gate.unwrap(self) & ~FLOOR) | uint8(floor));
    }

    function withTee(Gate self, TeeKind tee) internal pure returns (Gate) {
        return Gate.wrap(Gate.unwrap(self) | _bit(tee));
    }

    function withoutTee(Gate self, TeeKind tee) internal pure returns (Gate) {
        return Gate.wrap(Gate.unwrap(self) & ~_bit(tee));
    }

    function withAnyDevice(Gate self) internal pure returns (Gate) {
        return Gate.wrap(Gate.unwrap(self) | ANY_DEVICE);
    }

    function withoutAnyDevice(Gate self) internal pure returns (Gate) {
        return Gate.wrap(Gate.unwrap(self) & ~ANY_DEVICE);
    }

    function _bit(TeeKind tee) private pure returns (uint8) {
        return uint8(4 << uint8(tee));
    }
}
