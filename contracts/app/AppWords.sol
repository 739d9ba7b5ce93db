// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Governed} from "../Governed.sol";
import {Gate} from "../types/Gate.sol";
import {Upgrades} from "../types/Upgrades.sol";

/// @notice The two words of storage that every decision reads, whatever it is about. They are declared in one place because
/// their packing is what makes a decision and a registration cheap: the first shares the owner's slot, the second is zero,
/// and so costs nothing, until one of its powers is used.
abstract contract AppWords is Governed {
    Upgrades internal _upgrades;
    Gate internal _gate;

    uint40 internal _pausedUntil;
    uint40 internal _previousUntil;
    uint64 internal _rotations;
    bool internal _guardianPauseUsed;
    bool internal _closed;
    /// @dev Whether anything of `Requirements` was ever asked for: without it, its storage is not read.
    bool internal _hasRequirements;
}
