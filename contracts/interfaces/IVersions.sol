// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice What can be wrong with a change to a timed code hash or OS image.
interface IVersions {
    /// @notice `versionHash` was revoked: that is for good.
    error Revoked(bytes32 versionHash);
    /// @notice `versionHash` retires at `retireAt`, before the notice ends: schedule it again after that.
    error StillRetiring(bytes32 versionHash, uint40 retireAt);
    /// @notice At most `max` superseding upgrades can wait for the versions before them to end, and 65,535 happen at all.
    error TooManyUpgrades(uint256 max);
    /// @notice The version would lapse before it was ever in force.
    error LapsesTooSoon(uint40 given, uint40 least);
}
