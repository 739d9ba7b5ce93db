// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice An owner, a guardian and a notice: what `AppAuth`, `KmsAuth` and `KmsCommittee` share.
///
/// What loosens waits for the notice, what tightens is immediate (G-2); the guardian can only tighten (G-3).
interface IGoverned {
    event NoticeSet(uint40 notice, uint40 from);
    event GuardianSet(address indexed guardian, uint40 from);
    event OwnershipTransferStarted(address indexed newOwner, uint40 acceptableFrom);
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    /// @notice The caller has neither the owner's nor, where that suffices, the guardian's power.
    error NotAuthorized(address caller);
    /// @notice The call would leave everything as it is.
    error NothingToChange();
    error ZeroOwner();
    /// @notice `given` seconds are more than the `max` of any delay.
    error DurationTooLong(uint40 given, uint40 max);
    error NotYetAcceptable(uint40 acceptableFrom);

    /// @notice Changes the notice. Lengthening takes effect at once, shortening after the present notice. Owner only.
    function setNotice(uint40 notice) external;

    /// @notice Names another guardian, zero for none, after the notice. Owner only.
    function setGuardian(address guardian) external;

    /// @notice Lets `newOwner` accept after the notice. Replaces a transfer that was not accepted; naming the present
    /// owner drops it. Owner only.
    function transferOwnership(address newOwner) external;

    /// @notice Makes the caller the owner. Only who was named, and only after the notice.
    function acceptOwnership() external;

    /// @notice Who has every power; never zero.
    function owner() external view returns (address);
    /// @notice Who may accept the ownership, and from when. Zero for both when nobody is about to become the owner.
    function pendingOwner() external view returns (address newOwner, uint40 acceptableFrom);
    /// @notice Who may tighten at once; zero for nobody.
    function guardian() external view returns (address);
    /// @notice Who becomes the guardian, and when; zero for the second when no change is pending.
    function pendingGuardian() external view returns (address newGuardian, uint40 from);
    /// @notice Seconds between the decision to loosen and its effect.
    function notice() external view returns (uint40);
    /// @notice The shorter notice that is pending, and when it begins; zero for the second when none is.
    function pendingNotice() external view returns (uint40 newNotice, uint40 from);
}
