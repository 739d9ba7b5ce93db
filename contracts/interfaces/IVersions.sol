// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice What can be wrong with a change to a timed list of code hashes or OS images.
interface IVersions {
    /// @notice `versionHash` was revoked: that is for good.
    error Revoked(bytes32 versionHash);
    /// @notice `versionHash` retires at `retireAt`, before the notice ends: schedule it again after that.
    error StillRetiring(bytes32 versionHash, uint40 retireAt);
    /// @notice At most `max` versions can be live (scheduled, active or retiring) at once.
    error TooManyVersions(uint256 max);
}
