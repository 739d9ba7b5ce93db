// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../interfaces/IGoverned.sol";

/// @notice The block's timestamp in the width that every time has here.
function currentTime() view returns (uint40) {
    return uint40(block.timestamp);
}

/// @notice A number that may change at a time to come: value, next and from, 40 bits each; `from` 0 when settled.
/// One word, so that it shares a storage slot with its neighbours.
type TimedUint is uint120;

/// @notice An address that may change at a time to come; `from` 0 when settled.
struct TimedAddress {
    address value;
    uint40 from;
    address next;
}

using TimedUintLib for TimedUint global;

/// @notice A stricter value is taken at once and cancels what was pending; a looser one waits.
library TimedUintLib {
    /// @notice A settled value.
    function settled(uint40 value) internal pure returns (TimedUint) {
        return TimedUint.wrap(uint120(value) << 80);
    }

    /// @notice The value in force at `time`.
    function valueAt(TimedUint self, uint40 time) internal pure returns (uint40) {
        (uint40 value, uint40 next, uint40 from) = _unpack(self);
        return from != 0 && time >= from ? next : value;
    }

    /// @notice Takes `to` at once, or from `looseFrom` when it is looser than what is in force.
    /// @return changed what to store
    /// @return from when `to` takes effect
    function change(TimedUint self, uint40 to, bool looser, uint40 looseFrom)
        internal
        view
        returns (TimedUint changed, uint40 from)
    {
        uint40 time = currentTime();
        _checkIsChange(self, to);
        if (!looser) return (settled(to), time);
        return (TimedUint.wrap((uint120(self.valueAt(time)) << 80) | (uint120(to) << 40) | looseFrom), looseFrom);
    }

    /// @dev What is in force may be asked for again while something else is pending: that cancels the change.
    function _checkIsChange(TimedUint self, uint40 to) private pure {
        (uint40 value, uint40 next, uint40 from) = _unpack(self);
        if (to == (from == 0 ? value : next)) revert IGoverned.NothingToChange();
    }

    function _unpack(TimedUint self) private pure returns (uint40 value, uint40 next, uint40 from) {
        uint120 word = TimedUint.unwrap(self);
        return (uint40(word >> 80), uint40(word >> 40), uint40(word));
    }
}

/// @notice Which address is in force, and how it changes.
library TimedAddressLib {
    /// @notice The address in force at `time`.
    function valueAt(TimedAddress storage self, uint40 time) internal view returns (address) {
        uint40 from = self.from;
        return from != 0 && time >= from ? self.next : self.value;
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
