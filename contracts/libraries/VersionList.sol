// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../interfaces/IGoverned.sol";
import {IVersions} from "../interfaces/IVersions.sol";
import {Version, VersionState} from "../types/Boot.sol";
import {currentTime} from "../types/Timed.sol";

/// @notice A list of versions with a timed life, used for code hashes and for OS images.
///
///   None --schedule--> Scheduled --time--> Active --supersede/retire--> Retiring --time--> Retired --schedule--> ...
///     any state --revoke--> Revoked (for good)
///
/// Time alone moves a version on, so no keeper is needed. A version may be scheduled again while it is still retiring, but
/// only when it would have lived through the notice anyway: then its retirement is dropped and nothing is allowed sooner
/// than announced (G-2). Revoking a version does not bring back those that it superseded: that would loosen (G-3).
library VersionList {
    /// @notice How many versions can be scheduled, active or retiring at once; it bounds every loop here.
    uint256 internal constant MAX_LIVE = 16;

    /// @param versions every version that was ever known
    /// @param live those that may still come into force or end; the retired ones are swept by the next `schedule`
    struct Context {
        mapping(bytes32 versionHash => Version) versions;
        bytes32[] live;
    }

    /// @notice Lets `versionHash` be in force from `from`, or drops its retirement when that lies at `from` or later.
    /// @return activeFrom since when, or from when, it is in force
    function schedule(Context storage self, bytes32 versionHash, uint40 from) internal returns (uint40 activeFrom) {
        Version memory version = self.versions[versionHash];
        VersionState state = stateAt(version, currentTime());
        if (state == VersionState.Revoked) revert IVersions.Revoked(versionHash);
        if (state == VersionState.None || state == VersionState.Retired) {
            _sweep(self);
            if (self.live.length == MAX_LIVE) revert IVersions.TooManyVersions(MAX_LIVE);
            self.live.push(versionHash);
            self.versions[versionHash] = Version({activeFrom: from, retireAt: 0, revoked: false});
            return from;
        }
        if (version.retireAt == 0) revert IGoverned.NothingToChange();
        if (version.retireAt < from) revert IVersions.StillRetiring(versionHash, version.retireAt);
        self.versions[versionHash].retireAt = 0;
        return version.activeFrom;
    }

    /// @notice Lets every live version but `versionHash` retire at `retireAt`, unless it ends sooner by itself.
    /// @return retiring those whose end has changed
    function supersede(Context storage self, bytes32 versionHash, uint40 retireAt)
        internal
        returns (bytes32[] memory retiring)
    {
        uint256 length = self.live.length;
        retiring = new bytes32[](length);
        uint256 count = 0;
        for (uint256 i = 0; i < length; ++i) {
            bytes32 other = self.live[i];
            if (other == versionHash || !_shorten(self.versions[other], retireAt)) continue;
            retiring[count++] = other;
        }
        // Cut the array to what was filled.
        assembly ("memory-safe") {
            mstore(retiring, count)
        }
    }

    /// @notice Lets `versionHash` retire at `retireAt`, not before now and not later than it was going to.
    /// @return effective when it retires
    function retire(Context storage self, bytes32 versionHash, uint40 retireAt) internal returns (uint40 effective) {
        uint40 time = currentTime();
        Version storage version = self.versions[versionHash];
        if (version.revoked) revert IVersions.Revoked(versionHash);
        effective = retireAt < time ? time : retireAt;
        if (!_shorten(version, effective)) revert IGoverned.NothingToChange();
    }

    /// @notice Ends `versionHash` for good, also when it was never known.
    function revoke(Context storage self, bytes32 versionHash) internal {
        Version storage version = self.versions[versionHash];
        if (version.revoked) revert IGoverned.NothingToChange();
        version.revoked = true;
        uint256 length = self.live.length;
        for (uint256 i = 0; i < length; ++i) {
            if (self.live[i] == versionHash) {
                _removeAt(self, i, length);
                return;
            }
        }
    }

    /// @notice Whether `versionHash` was never scheduled and never revoked.
    function isUnknown(Context storage self, bytes32 versionHash) internal view returns (bool) {
        return stateAt(self.versions[versionHash], currentTime()) == VersionState.None;
    }

    /// @notice The state of `version` at `time`.
    function stateAt(Version memory version, uint40 time) internal pure returns (VersionState) {
        if (version.revoked) return VersionState.Revoked;
        if (version.activeFrom == 0) return VersionState.None;
        if (version.retireAt != 0 && time >= version.retireAt) return VersionState.Retired;
        if (time < version.activeFrom) return VersionState.Scheduled;
        return version.retireAt == 0 ? VersionState.Active : VersionState.Retiring;
    }

    /// @notice Whether `version` is in force at `time`, and until when if nothing is changed.
    function inForce(Version memory version, uint40 time) internal pure returns (VersionState state, uint64 until) {
        state = stateAt(version, time);
        if (state == VersionState.Active) until = type(uint64).max;
        if (state == VersionState.Retiring) until = version.retireAt;
    }

    function _shorten(Version storage version, uint40 retireAt) private returns (bool) {
        uint40 present = version.retireAt;
        if (present != 0 && present <= retireAt) return false;
        version.retireAt = retireAt;
        return true;
    }

    function _sweep(Context storage self) private {
        uint40 time = currentTime();
        uint256 length = self.live.length;
        for (uint256 i = length; i > 0; --i) {
            VersionState state = stateAt(self.versions[self.live[i - 1]], time);
            if (state == VersionState.Retired) _removeAt(self, i - 1, length--);
        }
    }

    function _removeAt(Context storage self, uint256 index, uint256 length) private {
        if (index != length - 1) self.live[index] = self.live[length - 1];
        self.live.pop();
    }
}
