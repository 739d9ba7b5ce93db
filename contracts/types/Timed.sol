// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../interfaces/IGoverned.sol";

/// @notice The block's timestamp in the width that every time has here.
function currentTime() view returns (uint40) {
    return uint40(block.timestamp);
}

/// @notice An address that may change at a time to come; `from` 0 when settled.
struct TimedAddress {
    address value;
    uint40 from;
    address next;
}

/// @notice Which address is in force, and how it changes.
library TimedAddressLib {
    /// @notice The address in force at `time`.
    function valueAt(TimedAddress storage self, uint40 time) internal view returns (address) {
        uint40 from = self.from;
        return from != 0 && time >= from ? self.next : self.value;
    }

    /// @notice Which address is to come after `time`, and when; zero for both when none is.
    function pending(TimedAddress storage self, uint40 time) internal view returns (address next, uint40 from) {
        if (time < self.from) return (self.next, self.from);
    }

    /// @notice Whether no address is in force and none is to come.
    function isEmpty(TimedAddress storage self) internal view returns (bool) {
        return self.value == address(0) && self.from == 0;
    }

    /// @notice Puts `to` in force at once.
    function setNow(TimedAddress storage self, address to) internal {
        self.value = to;
        self.from = 0;
        self.next = address(0);
    }

    /// @notice Puts `to` in force from `looseFrom`. What is in force already stays at once, and what was pending is dropped.
    /// @return from when `to` is in force
    function change(TimedAddress storage self, address to, uint40 looseFrom) internal returns (uint40 from) {
        uint40 time = currentTime();
        address current = valueAt(self, time);
        address goal = self.from == 0 ? self.value : self.next;
        if (to == goal) revert IGoverned.NothingToChange();
        if (to == current) {
            setNow(self, to);
            return time;
        }
        (self.value, self.next, self.from) = (current, to, looseFrom);
        return looseFrom;
    }
}
