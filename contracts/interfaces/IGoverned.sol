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
    error DurationTooLong(uint40 given, uint40 max);
    error NotYetAcceptable(uint40 acceptableFrom);

    /// @notice Lengthening takes effect at once, shortening after the present notice.
    function setNotice(uint40 notice) external;

    /// @notice Names another guardian, zero for none, after the notice.
    function setGuardian(address guardian) external;

    /// @notice Lets `newOwner` accept after the notice. Replaces a transfer that was not accepted; naming the present
    /// owner drops it.
    function transferOwnership(address newOwner) external;

    function acceptOwnership() external;

    function owner() external view returns (address);
    /// @notice Zero for both when nobody is about to become the owner.
    function pendingOwner() external view returns (address newOwner, uint40 acceptableFrom);
    function guardian() external view returns (address);
    function notice() external view returns (uint40);
}
