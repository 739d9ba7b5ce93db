// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../interfaces/IGoverned.sol";
import {currentTime} from "../types/Timed.sol";

/// @notice Devices that are allowed or denied. A denial beats everything, "any device" included, until it is lifted.
library DeviceList {
    uint40 private constant FOREVER = type(uint40).max;

    /// @param allowedFrom 0 when the device is not listed
    /// @param deniedUntil 0 when it was never denied
    struct Device {
        uint40 allowedFrom;
        uint40 deniedUntil;
    }

    struct Context {
        mapping(bytes32 deviceId => Device) devices;
    }

    /// @notice Allows the device from `from`, when a denial ends as well.
    function allow(Context storage self, bytes32 deviceId, uint40 from) internal {
        Device storage device = self.devices[deviceId];
        if (device.allowedFrom != 0) revert IGoverned.NothingToChange();
        bool denied = device.deniedUntil != 0;
        (device.allowedFrom, device.deniedUntil) = (from, denied ? from : 0);
    }

    /// @notice Denies the device at once, and drops a permission, present or announced.
    function deny(Context storage self, bytes32 deviceId) internal {
        Device storage device = self.devices[deviceId];
        if (device.deniedUntil == FOREVER) revert IGoverned.NothingToChange();
        (device.allowedFrom, device.deniedUntil) = (0, FOREVER);
    }

    /// @notice Whether the device is denied, and whether it is listed as allowed, now.
    function query(Context storage self, bytes32 deviceId) internal view returns (bool denied, bool listed) {
        Device memory device = self.devices[deviceId];
        uint40 time = currentTime();
        denied = time < device.deniedUntil;
        listed = device.allowedFrom != 0 && time >= device.allowedFrom;
    }
}
