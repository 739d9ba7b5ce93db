// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../interfaces/IGoverned.sol";
import {IVersions} from "../interfaces/IVersions.sol";
import {Version, VersionState} from "../types/Boot.sol";
import {currentTime} from "../types/Timed.sol";

/// @notice Versions with a timed life, used for code hashes and for OS images.
///
///   None --schedule--> Scheduled --time--> Active --supersede/retire/lapse--> Retiring --time--> Retired --schedule--> ...
///     any state --revoke--> Revoked (for good)
///
/// Time alone moves a version on, so no keeper is needed. A version may be scheduled again while it is still retiring, but
/// only when it would have lived through the notice anyway: then its retirement is dropped and nothing is allowed sooner
/// than announced (G-2). Revoking a version does not bring back those that it superseded: that would loosen (G-3).
///
/// There is no list of what is live: a version's own slot and the end of its era (`Upgrades`) say everything, and the events
/// tell which versions there are. Callers pass in `present`, the version with the end of its era taken into account.
library VersionList {
    /// @param retireAt the version's own end, 0 for none; the end of its era may come sooner
    /// @param era counts the superseding upgrades before the version was scheduled last
    struct Entry {
        uint40 activeFrom;
        uint40 retireAt;
        bool revoked;
        uint16 era;
    }

    /// @notice Lets `versionHash` be in force from `from`, or drops its retirement when that lies at `from` or later.
    /// @param expiresAt when the version lapses unless it is scheduled again before; 0 for never
    /// @return activeFrom since when, or from when, it is in force
    function schedule(
        Entry storage self,
        Version memory present,
        bytes32 versionHash,
        uint40 from,
        uint40 expiresAt,
        uint16 era
    ) internal returns (uint40 activeFrom) {
        VersionState state = stateAt(present, currentTime());
        if (state == VersionState.Revoked) revert IVersions.Revoked(versionHash);
        if (state == VersionState.None || state == VersionState.Retired) {
            activeFrom = from;
        } else {
            _checkProlongs(present, versionHash, from, expiresAt);
            activeFrom = present.activeFrom;
        }
        if (expiresAt != 0 && expiresAt <= activeFrom) revert IVersions.LapsesTooSoon(expiresAt, activeFrom + 1);
        (self.activeFrom, self.retireAt, self.era) = (activeFrom, expiresAt, era);
    }

    /// @notice Lets `versionHash` retire at `retireAt`, not before now and not later than it was going to.
    /// @return effective when it retires
    function retire(Entry storage self, Version memory present, bytes32 versionHash, uint40 retireAt)
        internal
        returns (uint40 effective)
    {
        uint40 time = currentTime();
        if (present.revoked) revert IVersions.Revoked(versionHash);
        effective = retireAt < time ? time : retireAt;
        if (present.retireAt != 0 && present.retireAt <= effective) revert IGoverned.NothingToChange();
        self.retireAt = effective;
    }

    /// @notice Ends the version for good, also when it was never known.
    function revoke(Entry storage self) internal {
        if (self.revoked) revert IGoverned.NothingToChange();
        self.revoked = true;
    }

    /// @notice The version as it is when its era ends at `eraEnd`, 0 for never.
    function endingWith(Entry memory self, uint40 eraEnd) internal pure returns (Version memory) {
        uint40 retireAt = self.retireAt;
        bool sooner = eraEnd != 0 && (retireAt == 0 || eraEnd < retireAt);
        if (sooner && self.activeFrom != 0) retireAt = eraEnd;
        return Version({activeFrom: self.activeFrom, retireAt: retireAt, revoked: self.revoked});
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

    /// @dev A version that has not retired is scheduled again in order to live longer, which loosens: the notice must be over
    /// before its present end.
    function _checkProlongs(Version memory present, bytes32 versionHash, uint40 from, uint40 expiresAt) private pure {
        bool longer = present.retireAt != 0 && (expiresAt == 0 || expiresAt > present.retireAt);
        if (!longer) revert IGoverned.NothingToChange();
        if (present.retireAt < from) revert IVersions.StillRetiring(versionHash, present.retireAt);
    }
}
