// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IVersions} from "../interfaces/IVersions.sol";
import {currentTime} from "./Timed.sol";

/// @notice The present era (16 bits) and when the versions of the era before it end (40 bits).
///
/// An upgrade that supersedes the present versions closes their era at one time and opens the next. A version knows only
/// its era, so that superseding any number of them costs the same, and no list of versions is kept.
type Upgrades is uint56;

/// @notice When the versions of still earlier eras end, where that was still to come when a later upgrade was decided:
/// the era for which this word was written (16 bits, lowest) and the ends of the second, third … era before it (40 bits each).
/// With another era in it, and where an end is zero, all of those ended before the last upgrade was decided.
struct EarlierEnds {
    uint256 word;
}

using UpgradesLib for Upgrades global;

/// @notice Closes eras. The ends never decrease from one era to the next: an upgrade that ends its own era sooner than an
/// earlier one was going to end, ends that one then as well.
library UpgradesLib {
    /// @notice How many eras can be on their way to an end at once.
    uint256 internal constant MAX_PENDING = 7;
    /// @notice An end that is past, and of which nobody kept the time.
    uint40 internal constant LONG_AGO = 1;

    uint256 private constant EARLIER = MAX_PENDING - 1;
    uint256 private constant END_MASK = type(uint40).max;

    /// @notice The present era.
    function era(Upgrades self) internal pure returns (uint16) {
        return uint16(Upgrades.unwrap(self) >> 40);
    }

    /// @notice The era that the next upgrade opens.
    function nextEra(Upgrades self) internal pure returns (uint16) {
        uint16 present = era(self);
        if (present == type(uint16).max) revert IVersions.TooManyUpgrades(type(uint16).max);
        return present + 1;
    }

    /// @notice When the versions of `ofEra` end by an upgrade; 0 for the present era, which has no end yet.
    function endOf(Upgrades self, EarlierEnds storage earlier, uint16 ofEra) internal view returns (uint40) {
        uint256 age = era(self) - ofEra;
        if (age == 0) return 0;
        if (age == 1) return _lastEnd(self);
        uint256 word = earlier.word;
        if (age > MAX_PENDING || uint16(word) != era(self)) return LONG_AGO;
        uint40 end = _at(word, age - 2);
        return end == 0 ? LONG_AGO : end;
    }

    /// @notice Opens the next era, and ends the versions of all eras before it at `end` at the latest. `end` is not past.
    function supersede(Upgrades self, EarlierEnds storage earlier, uint40 end) internal returns (Upgrades) {
        uint16 next = nextEra(self);
        uint40 last = _lastEnd(self);
        // Where the last end has passed, so have all before it: then there is nothing to keep.
        if (last > currentTime()) earlier.word = _push(earlier.word, era(self), last, end);
        return Upgrades.wrap((uint56(next) << 40) | end);
    }

    function _push(uint256 word, uint16 present, uint40 last, uint40 end) private view returns (uint256 pushed) {
        if (uint16(word) != present) word = 0;
        if (_at(word, EARLIER - 1) > currentTime()) revert IVersions.TooManyUpgrades(MAX_PENDING);
        pushed = (uint256(present) + 1) | (_min(last, end) << 16);
        for (uint256 i = 0; i + 1 < EARLIER; ++i) {
            pushed |= _min(_at(word, i), end) << (16 + 40 * (i + 1));
        }
    }

    function _lastEnd(Upgrades self) private pure returns (uint40) {
        return uint40(Upgrades.unwrap(self));
    }

    function _at(uint256 word, uint256 index) private pure returns (uint40) {
        return uint40((word >> (16 + 40 * index)) & END_MASK);
    }

    function _min(uint40 a, uint40 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
